"""Evaluate a run on test images, and leave results, report, figures and tables in it."""

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
from torch import nn

from convscope.data.dataset import Dataset
from convscope.data.preprocess import normalise, window
from convscope.documents import to_json_bytes
from convscope.errors import InputError
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import evaluate_predictions, view_score
from convscope.evaluation.report import render_html
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.evaluation.results import Evaluation
from convscope.evaluation.robustness import affordable_images, robustness, stratified_indices
from convscope.evaluation.tables import write_tables
from convscope.evaluation.views import VIEWS
from convscope.events import Listener, counting
from convscope.explain.activations import feature_maps
from convscope.explain.filters import first_filters
from convscope.files import own_directory, write_atomically
from convscope.layers.fusing import kernels_in_use
from convscope.model_summary import Anatomy, anatomy
from convscope.run import Run, load_model, read_metrics
from convscope.text import printable

SHOWN_IMAGES = 4


def evaluate_run(
    run: Run,
    test: Dataset,
    *,
    write: bool,
    robust: bool,
    listen: Listener,
) -> Evaluation:
    """Measure the run's model on `test`; `listen` hears the accuracy before the longer work begins.

    The accuracy is that of a single view of each image. Beside it stand the views that
    `suitable_views` names, and with `robust` the curves of as many images as are affordable.

    Args:
        run: a complete run.
        test: images with classes of the run, matched by name.
        write: whether results and report go into the run directory.
        robust: whether robustness curves are measured.
        listen: called with the evaluation before views and curves are measured, and with the
            progress of those.

    Raises:
        InputError: classes that the run does not know, images of another shape, broken weights.
    """
    compute = run.document.compute  # as in its training
    by_kernels = bool(compute.get("kernels")) and compute.get("memory_format") == "contiguous"
    with kernels_in_use() if by_kernels else nullcontext():
        return _evaluate(run, test, write, robust, listen)


def _evaluate(run: Run, test: Dataset, write: bool, robust: bool, listen: Listener) -> Evaluation:
    test = bind_classes(test, run.document.classes)
    model = load_model(run)
    preprocessing = run.document.preprocessing
    summary = anatomy(model, preprocessing.input_shape)
    scores = log_probabilities(
        model,
        test.images,
        preprocessing,
        progress=counting(listen, "evaluating"),
    )
    evaluation = replace(
        evaluate_predictions(
            scores,
            test.labels,
            test.classes,
            dataset=test.name,
            split=test.split,
            files=test.files,
        ),
        wrong=tuple(np.flatnonzero(scores.argmax(1) != test.labels).tolist()),
        images_sha256=digest(test),
    )
    listen(evaluation)
    if views := suitable_views(run):
        averaged = log_probabilities(
            model,
            test.images,
            preprocessing,
            views=views,
            progress=counting(listen, f"{views} views"),
        )
        score = view_score(averaged, test.labels, name=views, count=VIEWS[views])
        evaluation = replace(evaluation, views=(score,))
    if robust:
        curves = robustness(
            model,
            test.images,
            test.labels,
            preprocessing,
            limit=affordable_images(summary.multiply_adds),
            progress=counting(listen, "robustness curves"),
        )
        evaluation = replace(evaluation, robustness=curves)
    if write:
        write_report(run, model, test, evaluation, summary)
    return evaluation


def suitable_views(run: Run) -> str | None:
    """The set of views that suits a run: what its training has taught the network to bear.

    Ten crops where training cut windows out of larger pictures; mirror images where it mirrored;
    else None. The recipe of a run may come from a stranger, so nothing about it is taken for
    granted.
    """
    if run.document.preprocessing.crop is not None:
        return "ten-crop"
    augmentation = run.document.recipe.get("augmentation")
    flip = augmentation.get("flip") if isinstance(augmentation, Mapping) else None
    mirrored = flip is True or flip == "alternating"
    return "mirrored" if mirrored else None


def bind_classes(test: Dataset, classes: tuple[str, ...]) -> Dataset:
    """`test` with its labels renumbered to the order of `classes`, matched by name.

    A class without images is fine; one that is not among `classes` cannot be scored.

    Raises:
        InputError: naming the unknown classes.
    """
    unknown = [name for name in test.classes if name not in classes]
    if unknown:
        shown = ", ".join(printable(name, 40) for name in unknown[:5])
        valid = ", ".join(printable(name, 40) for name in classes[:20])
        raise InputError(
            f"'{printable(test.name)}' has classes that the model does not know: {shown}. "
            f"It was trained on: {valid}. Rename or remove the folders of the others"
        )
    position = np.array([classes.index(name) for name in test.classes], dtype=np.int64)
    return replace(test, labels=position[test.labels], classes=classes)


def digest(dataset: Dataset) -> str:
    """SHA-256 over images and labels: two evaluations with the same one saw the same test."""
    content = hashlib.sha256()
    for start in range(0, len(dataset), 1000):  # in parts: the images may lie on disk
        content.update(np.ascontiguousarray(dataset.images[start : start + 1000]).data)
    content.update(np.ascontiguousarray(dataset.labels).data)
    return content.hexdigest()


def write_report(
    run: Run, model: nn.Module, test: Dataset, evaluation: Evaluation, summary: Anatomy
) -> None:
    """Write `results.json`, `report.html`, `tables/` and `figures/` into the run directory."""
    from convscope.evaluation.figures import write_figures  # matplotlib takes a second to load

    report = _report_input(run, model, test, evaluation, summary)
    write_atomically(run.path / "report.html", render_html(report).encode())
    write_tables(report, own_directory(run.path / "tables"))
    figures = own_directory(run.path / "figures")
    written = write_figures(report, figures)
    for name in ("confusion", "robustness", "mistakes"):  # those that an evaluation may lack
        stale = figures / f"{name}.png"
        if stale not in written and stale.is_file():
            stale.unlink()
    # Last, since a run with results is taken for one that has its report.
    write_atomically(run.path / "results.json", to_json_bytes(evaluation.to_json()))


def _report_input(
    run: Run, model: nn.Module, test: Dataset, evaluation: Evaluation, summary: Anatomy
) -> ReportInput:
    document = run.document
    chosen = [mistake.index for mistake in evaluation.mistakes]
    return ReportInput(
        title=f"{document.recipe.get('name', document.model.name)} on {document.data.name}",
        model=document.model.name,
        evaluation=evaluation,
        history=read_metrics(run),
        mistake_images=test.images[np.array(chosen, dtype=np.int64)],
        filters=first_filters(model),
        feature_maps=_feature_maps(run, model, test),
        anatomy=summary.to_json(),
        recipe=document.recipe,
        environment=document.environment,
        provenance=document.data.provenance,
        command=document.command,
        training_seconds=document.training.get("seconds"),
        created=document.created,
    )


def _feature_maps(run: Run, model: nn.Module, test: Dataset) -> list[FeatureMaps]:
    chosen = stratified_indices(test.labels, SHOWN_IMAGES)
    images = test.images[chosen]
    preprocessing = run.document.preprocessing
    layers = feature_maps(model, normalise(images, preprocessing))
    rows, columns = window(images.shape, images.dtype, preprocessing)
    return [
        FeatureMaps(
            image=images[i][:, rows, columns],
            true=test.classes[test.labels[index]],
            layers={name: maps[i] for name, maps in layers.items()},
        )
        for i, index in enumerate(chosen)
    ]
