"""Probes of place: the border of the picture, where a thing is, and whether the net knows it."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convscope.data.batches import to_input
from convscope.errors import InputError
from convscope.studies.probes import Measures, Trained, probe
from convscope.studies.squares import TEST, draw

Pixels = npt.NDArray[np.uint8]

PENALTIES = (0.01, 0.1, 1.0, 10.0)
"""Of the linear fit, for each picture, of features scaled to variance 1; the best is taken."""


@probe("border")
def border(trained: Trained, *, images: int = 500) -> Measures:
    """Digits pushed against each side of the picture, whose ink then touches the edge.

    `border_accuracy`: the mean over left, right, top and bottom; `centre_accuracy`: of the same
    images as they are; `border_loss`: the fall from one to the other.
    """
    pixels, labels = trained.some_test(images)
    clean = float((trained.predict(pixels) == labels).mean())
    fill = trained.preprocessing.fill
    pushed = [push(pixels, side, fill) for side in ("left", "right", "top", "bottom")]
    right = float(np.mean([trained.predict(one) == labels for one in pushed]))
    return {"centre_accuracy": clean, "border_accuracy": right, "border_loss": clean - right}


def push(pixels: Pixels, side: str, fill: int = 0) -> Pixels:
    """Each image (N × C × H × W) moved until what differs from `fill` touches `side`."""
    moved = np.full_like(pixels, fill)
    for target, image in zip(moved, pixels, strict=True):
        ink = (np.abs(image.astype(np.int16) - fill) > 40).any(axis=0)
        along = ink.any(axis=0 if side in ("left", "right") else 1)
        places = np.flatnonzero(along)
        if not len(places):
            target[:] = image
            continue
        axis = 2 if side in ("left", "right") else 1
        last = image.shape[axis] - 1
        by = -int(places[0]) if side in ("left", "top") else last - int(places[-1])
        target[:] = np.roll(image, by, axis=axis)
    return moved


@probe("swapped")
def swapped(trained: Trained) -> Measures:
    """Of `squares`: `swapped_accuracy`, with the places of the classes changed over, and
    `place_reliance`, the fall of the accuracy to it. See `squares.py`."""
    if trained.train.name != "squares":
        raise InputError(f"probe swapped is for the images 'squares', not {trained.train.name}")
    same, other = draw("test", TEST, 0), draw("test", TEST, 0, swapped=True)
    first = float((trained.predict(np.asarray(same.images)) == same.labels).mean())
    second = float((trained.predict(np.asarray(other.images)) == other.labels).mean())
    return {"swapped_accuracy": second, "place_reliance": first - second}


@probe("locate", version=2)
def locate(
    trained: Trained,
    *,
    layers: dict[str, str],
    most: int = 5,
    fitted: int = 1200,
    tested: int = 400,
) -> Measures:
    """How well a linear fit finds, from the maps of a layer, by how much a picture was moved.

    For each name and layer, `locate_NAME`: the mean distance in pixels between the true and the
    found shift, on pictures that were not fitted. Guessing the mean gives `locate_guess`.

    Args:
        trained: the network.
        layers: a name for the reader, and the module whose output is looked at.
        most: the largest shift along each axis, in pixels.
        fitted, tested: pictures for the fit and for the measurement.
    """
    generator = np.random.Generator(np.random.PCG64(0))
    pixels = np.concatenate([trained.train.images[:fitted], trained.test.images[:tested]], axis=0)
    tested = len(pixels) - min(fitted, len(trained.train))
    moves = generator.integers(-most, most + 1, (len(pixels), 2))
    fill = trained.preprocessing.fill
    moved = np.stack([_moved(image, move, fill) for image, move in zip(pixels, moves, strict=True)])
    found: Measures = {}
    wanted = moves.astype(np.float64)
    guess = wanted[-tested:] - wanted[:-tested].mean(axis=0)
    found["locate_guess"] = float(np.hypot(*guess.T).mean())
    for name, layer in layers.items():
        features = maps_of(trained.model, layer, moved, trained)
        error = wanted[-tested:] - ridge(features[:-tested], wanted[:-tested], features[-tested:])
        found[f"locate_{name}"] = float(np.hypot(*error.T).mean())
    return found


def _moved(image: Pixels, move: npt.NDArray[np.int64], fill: int) -> Pixels:
    rows, columns = int(move[0]), int(move[1])
    _, height, width = image.shape
    wide = np.pad(
        image, ((0, 0), (abs(rows), abs(rows)), (abs(columns), abs(columns))), constant_values=fill
    )
    top, left = abs(rows) - rows, abs(columns) - columns
    return wide[:, top : top + height, left : left + width]


def maps_of(
    model: nn.Module, layer: str, pixels: Pixels, trained: Trained
) -> npt.NDArray[np.float64]:
    """The output of a module for each image, flattened: N × features."""
    modules = dict(model.named_modules())
    if layer not in modules:
        raise InputError(f"the model has no layer '{layer}'; it has {', '.join(modules)[:300]}")
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
        del module, inputs
        kept.append(output.flatten(1))

    handle = modules[layer].register_forward_hook(keep)
    try:
        with torch.inference_mode():
            for start in range(0, len(pixels), 250):
                batch = torch.from_numpy(np.ascontiguousarray(pixels[start : start + 250]))
                model(to_input(batch, trained.preprocessing))
    finally:
        handle.remove()
    return torch.cat(kept).double().numpy()


def ridge(
    features: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    unseen: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """What a linear fit with an intercept predicts for `unseen`: N × features to N × values.

    Its penalty is the one that does best on the last quarter of the known pictures.
    """
    quarter = len(features) // 4
    if not quarter:
        return _ridge(features, wanted, unseen, PENALTIES[0])
    errors = {}
    for penalty in PENALTIES:
        found = _ridge(features[:-quarter], wanted[:-quarter], features[-quarter:], penalty)
        errors[penalty] = float(np.square(found - wanted[-quarter:]).sum())
    return _ridge(features, wanted, unseen, min(errors, key=lambda penalty: errors[penalty]))


def _ridge(
    features: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    unseen: npt.NDArray[np.float64],
    penalty: float,
) -> npt.NDArray[np.float64]:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    known, new = (features - mean) / scale, (unseen - mean) / scale
    centre = wanted.mean(axis=0)
    n, width = known.shape
    penalty *= n
    if width > n:  # the smaller of the two systems: the same solution
        weights = known.T @ np.linalg.solve(known @ known.T + penalty * np.eye(n), wanted - centre)
    else:
        gram = known.T @ known + penalty * np.eye(width)
        weights = np.linalg.solve(gram, known.T @ (wanted - centre))
    fitted: npt.NDArray[np.float64] = new @ weights + centre
    return fitted
