"""The explanation of one image as files: pictures for people, JSON for programs.

feature-maps.png   the image, the maps of every layer, the likeliest classes
attributions.png   which pixels speak for the class, by four methods (with captum)
neighbours.png     the training images that the network finds most alike (with training images)
explanation.json   the numbers behind them
"""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convscope.data.catalog import CATALOG
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing, normalise, read_resized, window
from convscope.documents import to_json_bytes
from convscope.errors import InputError, unknown_name
from convscope.explain.attribution import METHODS, attribute
from convscope.explain.neighbours import feature_blocks, features_of, nearest
from convscope.explain.receptive import field_of
from convscope.explain.tracing import Step, trace
from convscope.explain.unit import number
from convscope.files import cannot_write, is_inside, write_atomically
from convscope.run import Run, load_model, open_run
from convscope.text import printable

FILES = ("feature-maps.png", "attributions.png", "neighbours.png", "explanation.json")

_TOP = 8
"""How many of the likeliest classes are shown."""

FloatArray = npt.NDArray[np.float32]


def explain_image(
    run: str | Path | Run,
    image_path: str | Path,
    out: str | Path,
    *,
    class_name: str | None = None,
    training: Dataset | None = None,
    neighbours: int = 9,
    compared: int = 10_000,
    methods: Sequence[str] | None = None,
) -> list[Path]:
    """Explain what a run's network makes of one picture; files of the same names are replaced.

    Args:
        run: a run directory.
        image_path: a picture file.
        out: the directory to write into; made where it is missing. Not inside the data.
        class_name: the class whose score is explained; by default the likeliest.
        training: the images among which the nearest are looked for; None leaves them out.
        neighbours: how many of them are shown, from 1.
        compared: how many of them are compared at most; of more, evenly spaced ones.
        methods: of attribution; by default all, or none where captum is not installed.

    Returns:
        The files written, `explanation.json` last.

    Raises:
        InputError: the run, the picture, the class, a method or the place cannot be used.
    """
    run, image_path, out = open_run(run), Path(image_path), Path(out)
    document = run.document
    _check_place(run, image_path, out)
    model = load_model(run)
    pixels = _read(image_path, document.preprocessing)[None]
    image = torch.from_numpy(normalise(pixels, document.preprocessing)[0])
    steps = trace(model, image)
    probabilities = steps[-1].output.double().softmax(0).numpy()
    order = np.argsort(-probabilities, kind="stable").tolist()
    names = document.classes
    chosen = order[0] if class_name is None else _index(names, class_name)
    if methods is None:
        methods = METHODS if importlib.util.find_spec("captum") else ()
    found = {method: attribute(model, image, chosen, method) for method in methods}
    near = None
    if training is not None:
        near = _nearest(model, document.preprocessing, image, training, neighbours, compared)
    guesses = {names[k]: float(probabilities[k]) for k in order[:_TOP]}
    pictures = _pictures(image, steps, guesses, found, names[chosen], near)
    facts = {
        "image": printable(image_path, 1000),
        "model": document.model.name,
        "predicted": names[order[0]],
        "explained": names[chosen],
        "probabilities": {name: number(value) for name, value in guesses.items()},
        "layers": [_layer(steps, step) for step in steps],
        "attributions": {method: _summary(values) for method, values in found.items()},
        "neighbours": None if near is None else near["json"],
        "files": list(pictures),
    }
    return _write(out, {**pictures, "explanation.json": to_json_bytes(facts)})


def _check_place(run: Run, image_path: Path, out: Path) -> None:
    """Raise InputError where writing would change data, or the picture itself."""
    source = run.document.data.source
    if source and source not in CATALOG and is_inside(out, source):
        raise InputError(
            f"{printable(out)} lies inside the data: give a place outside of {printable(source)}"
        )
    if os.path.realpath(image_path) in {os.path.realpath(out / name) for name in FILES}:
        raise InputError(f"{printable(image_path)} would be replaced: give another place")


def _read(path: Path, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    try:
        return read_resized(path, preprocessing)
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from None


def _index(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise unknown_name("class", printable(name), [printable(one) for one in names])
    return names.index(name)


def _nearest(
    model: nn.Module, p: Preprocessing, image: Tensor, training: Dataset, count: int, compared: int
) -> dict[str, Any]:
    """The nearest training images: their pixels, captions, and what the JSON says of them."""
    if compared < 1:
        raise InputError(f"compared is {compared}; allowed: a whole number from 1")
    total = min(compared, len(training))
    chosen = np.linspace(0, len(training) - 1, total).round().astype(np.int64)
    features = np.concatenate(list(feature_blocks(model, training.images, chosen, p)))
    places, distances = nearest(features, features_of(model, image[None])[0], count)
    indices = chosen[places]
    images = training.images[indices]
    rows, columns = window(images.shape, images.dtype, p)
    classes = [training.classes[k] for k in training.labels[indices]]
    captions = [
        (name, f"no. {index}, distance {distance:.3g}")
        for name, index, distance in zip(classes, indices, distances, strict=True)
    ]
    found = [
        {"split": training.split, "index": int(i), "class": name, "distance": number(float(d))}
        for i, name, d in zip(indices, classes, distances, strict=True)
    ]
    return {
        "pixels": list(images[:, :, rows, columns]),
        "captions": captions,
        "json": {"compared": total, "of": len(training), "nearest": found},
    }


def _pictures(
    image: Tensor,
    steps: Sequence[Step],
    guesses: Mapping[str, float],
    found: Mapping[str, FloatArray],
    class_name: str,
    near: Mapping[str, Any] | None,
) -> dict[str, bytes]:
    """The PNG files by name."""
    from convscope.explain import pictures  # matplotlib takes a second to load

    seen = image.numpy()
    with pictures.plain_style():
        figures = {"feature-maps.png": pictures.maps_figure(seen, _maps(steps), guesses)}
        if found:
            figures["attributions.png"] = pictures.attributions_figure(seen, found, class_name)
        if near is not None:
            guess = next(iter(guesses))
            figures["neighbours.png"] = pictures.neighbours_figure(
                seen, guess, near["pixels"], near["captions"]
            )
        return {name: pictures.png(figure) for name, figure in figures.items()}


def _maps(steps: Sequence[Step]) -> dict[str, FloatArray]:
    """The maps of more than one pixel; an activation's stand for those of the layer before."""
    layers: dict[str, FloatArray] = {}
    for step in steps:
        if step.output.ndim == 3 and step.output[0].numel() > 1:
            replaces = layers and step.kind == "activation"
            name = next(reversed(layers)) if replaces else step.name
            layers[name] = step.output.numpy()
    return layers


def _layer(steps: Sequence[Step], step: Step) -> dict[str, Any]:
    output = step.output
    return {
        "name": step.name,
        "kind": step.kind,
        "shape": list(output.shape),
        "min": number(float(output.min())),
        "mean": number(float(output.mean())),
        "max": number(float(output.max())),
        "receptive": _receptive(steps, step.name),
    }


def _receptive(steps: Sequence[Step], name: str) -> dict[str, Any] | None:
    try:
        field = field_of(steps, name, 0, 0)
    except InputError:  # a network that branches
        return None
    return {"size": list(field.size), "jump": list(field.jump), "start": [field.top, field.left]}


def _summary(values: FloatArray) -> dict[str, Any]:
    """The range of an attribution, and the pixel with the largest magnitude."""
    strength = np.abs(values).reshape(-1, *values.shape[-2:]).max(axis=0)
    row, column = np.unravel_index(int(strength.argmax()), strength.shape)
    return {
        "min": number(float(values.min())),
        "max": number(float(values.max())),
        "strongest": [int(row), int(column)],
    }


def _write(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    if out.exists() and not out.is_dir():
        raise InputError(f"{printable(out)} is no directory: give another place")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(out, error) from None
    if (out / "explanation.json").is_file():  # pictures of an earlier one that this one lacks
        for name in set(FILES) - set(files):
            (out / name).unlink(missing_ok=True)
    for name, data in files.items():
        write_atomically(out / name, data)
    return [out / name for name in files]
