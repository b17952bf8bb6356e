"""From a run to an ONNX file: written only once it answers as the trained network does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.comparison import read_results
from convscope.data.dataset import Dataset
from convscope.data.preprocess import normalise
from convscope.errors import InputError
from convscope.evaluation.metrics import mcnemar, wilson_interval
from convscope.exporting.network import to_graph
from convscope.exporting.provenance import about_data, about_recipe
from convscope.exporting.quantising import (
    Range,
    Sample,
    quantise,
    tensors_to_measure,
    with_outputs,
)
from convscope.exporting.verifying import compare
from convscope.files import Buffer
from convscope.onnx_file.check import check_graph
from convscope.onnx_file.document import (
    INPUT,
    KEY,
    PIXELS,
    SCORES,
    Accuracy,
    OnnxDocument,
)
from convscope.onnx_file.graph import LARGEST_METADATA, Graph, to_pieces
from convscope.onnx_file.protobuf import Damaged
from convscope.predictors.of_onnx import Session
from convscope.run import Run, load_model

CALIBRATION_IMAGES = 512
"""Training images on which the ranges of int8 are measured."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class OnnxExport:
    """A network that is ready to be written.

    Attributes:
        pieces: the bytes of the file.
        document: its metadata.
        difference: the largest between its scores and torch's, over the largest score; of an
            int8 file, that of the float32 network it was made of.
    """

    pieces: list[Buffer]
    document: OnnxDocument
    difference: float


def export_onnx(
    run: Run,
    *,
    now: str,
    version: str,
    raw: bool = True,
    licence: str = "",
    load: Callable[[], tuple[Dataset, Dataset]] | None = None,
    progress: Progress | None = None,
) -> OnnxExport:
    """The network of a run as an ONNX file, compared with torch.

    Args:
        run: a complete run.
        now: the time, for the metadata. version: of convscope.
        raw: whether the file takes uint8 pixels and does the preprocessing; else it takes what
            `preprocess.normalise` gives.
        licence: of the weights.
        load: for int8, gives training images, to choose ranges on, and test images, to measure
            it on beside float32; both with the run's classes. None is float32.
        progress: called with a label, images done and all.

    Raises:
        InputError: the run has no weights, or a network that cannot be written.
        ConvscopeError: the file answers otherwise than the network.
    """
    model = load_model(run)
    document = _describe(run, PIXELS if raw else INPUT, now, version, licence)
    graph = to_graph(
        model, document.preprocessing, len(document.classes), input_name=document.input
    )
    batch = _check(graph, document)
    session = Session(graph, "the exported network")
    difference = compare(session, model, document.preprocessing, document.input, batch)
    if load is not None:
        training, test = load()
        graph = _in_eight_bits(graph, document, training, batch, progress)
        small = Session(graph, "the exported network")
        document = _measured(document, session, small, test, batch, progress)
        _check(graph, document)
    pieces = to_pieces(graph, _metadata(document), version=version)
    return OnnxExport(pieces, document, difference)


def _metadata(document: OnnxDocument) -> dict[str, str]:
    text = document.to_text()
    if len(text.encode()) > LARGEST_METADATA:
        raise InputError(f"run.json says more than the {LARGEST_METADATA:,} bytes a file may hold")
    return {KEY: text}


def _describe(run: Run, name: Any, now: str, version: str, licence: str) -> OnnxDocument:
    of = run.document
    return OnnxDocument(
        convscope=version,
        created=now,
        model=of.model.name,
        arguments=of.model.arguments,
        classes=of.classes,
        preprocessing=of.preprocessing,
        input=name,
        licence=licence,
        data=about_data(of),
        recipe=about_recipe(of),
        accuracy=_of_run(run),
    )


def _of_run(run: Run) -> Accuracy | None:
    if not (run.path / "results.json").exists():
        return None
    results = read_results(run)
    return Accuracy(
        split=results.split,
        dataset=results.dataset,
        images_sha256=results.images_sha256,
        n=results.n,
        accuracy=results.accuracy,
        interval=results.accuracy_interval,
    )


def _check(graph: Graph, document: OnnxDocument) -> int:
    """What is exported must be what `predict` accepts."""
    try:
        return check_graph(graph, document)
    except Damaged as error:
        raise InputError(f"the network cannot be exported: {error}") from None


def _in_eight_bits(
    graph: Graph,
    document: OnnxDocument,
    training: Dataset,
    batch: int,
    progress: Progress | None,
) -> Graph:
    names = tensors_to_measure(graph)
    session = Session(with_outputs(graph, names), "the network")
    count = min(CALIBRATION_IMAGES, len(training))
    chosen = np.sort(np.random.default_rng(0).choice(len(training), count, replace=False))
    images = training.subset(chosen, split="calibration").images
    sample, step = Sample(count), max(1, min(32, batch // 4))
    for start in range(0, count, step):
        part = _given(document, np.array(images[start : start + step]))
        for name, numbers in zip(names, session.run(names, part), strict=True):
            sample.add(name, numbers)
        if progress is not None:
            progress("calibrating", start + len(part), count)
    ranges: dict[str, Range] = sample.ranges()
    return quantise(graph, ranges)


def _measured(
    document: OnnxDocument,
    session: Session,
    small: Session,
    test: Dataset,
    batch: int,
    progress: Progress | None,
) -> OnnxDocument:
    """The document with the accuracies of both networks on the same test images."""
    whole, part = np.zeros(len(test), bool), np.zeros(len(test), bool)
    step = min(100, batch)
    for start in range(0, len(test), step):
        some = slice(start, start + step)
        given, labels = _given(document, np.array(test.images[some])), test.labels[some]
        for right, one in ((whole, session), (part, small)):
            right[some] = one.run([SCORES], given)[0].argmax(axis=1) == labels
        if progress is not None:
            progress("measuring int8 and float32", start + len(labels), len(test))
    return document.model_copy(
        update={
            "precision": "int8",
            "accuracy": _accuracy(part, test),
            "float_accuracy": _accuracy(whole, test),
            "p_value": mcnemar(int((whole & ~part).sum()), int((part & ~whole).sum())),
        }
    )


def _accuracy(right: npt.NDArray[np.bool_], test: Dataset) -> Accuracy:
    count = int(right.sum())
    return Accuracy(
        split=test.split,
        dataset=test.name,
        n=len(right),
        accuracy=count / len(right),
        interval=wilson_interval(count, len(right)),
    )


def _given(document: OnnxDocument, images: npt.NDArray[np.uint8]) -> dict[str, Any]:
    raw = document.input == PIXELS
    return {document.input: images if raw else normalise(images, document.preprocessing)}
