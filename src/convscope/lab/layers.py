"""What the layers of a run made of a picture, and their weights, as the page gets them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from convscope.errors import InputError, unknown_name
from convscope.evaluation.metrics import require_finite
from convscope.explain.tracing import Step, find
from convscope.lab.answers import Frame, limits, one_tensor
from convscope.lab.session import Session, Traced
from convscope.layers.convolution import Convolution
from convscope.layers.rbf import RBF
from convscope.text import printable
from convscope.web.answers import Refusal

MOST_MAPS, TOP = 4096, 5


def forward(session: Session, traced: Traced, limit: int | None) -> bytes:
    """The binary answer of `POST …/forward`: input, all activations, scores.

    Args:
        limit: of layers with more maps than this only the strongest, by their mean magnitude.
    """
    frame = Frame()
    picture = traced.picture
    pixels = picture.tensor.numpy()
    header: dict[str, Any] = {
        "image": picture.key,
        "input": {"shape": list(pixels.shape), "offset": frame.add(pixels)},
        "layers": [],
    }
    for step in traced.steps:
        values = step.output.numpy()
        entry: dict[str, Any] = {"name": step.name, "shape": list(values.shape)} | limits(values)
        if limit is not None and values.ndim == 3 and len(values) > limit:
            maps = strongest(values, limit)
            entry |= {"maps": maps.tolist(), "of": len(values)}
            values = values[maps]
            entry["shape"] = list(values.shape)
        entry["offset"] = frame.add(values)
        header["layers"].append(entry)
    truth = picture.truth
    header |= guess(session, traced.steps[-1].output) | {
        "truth": None if truth is None else session.classes[truth],
        "truth_index": truth,
        "milliseconds": round(traced.milliseconds, 3),
    }
    return frame.to_bytes(header)


def strongest(values: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """The `count` maps of C × H × W with the largest mean magnitude, the strongest first."""
    strength = np.abs(values).mean(axis=(1, 2))
    return np.argsort(-strength, kind="stable")[:count]


def guess(session: Session, output: Tensor) -> dict[str, Any]:
    """Scores, probabilities (their softmax) and the most probable classes.

    Raises:
        InputError: scores that are not finite.
    """
    scores = output.double().flatten()
    require_finite(scores.numpy()[None])
    probabilities = torch.softmax(scores, dim=0).tolist()
    best = torch.argsort(scores, descending=True, stable=True)[:TOP].tolist()
    return {
        "scores": scores.tolist(),
        "probabilities": probabilities,
        "top": [
            {"class": session.classes[k], "index": k, "probability": probabilities[k]} for k in best
        ],
    }


def maps(traced: Traced, name: str, start: int, count: int) -> bytes:
    """The binary answer of `GET …/layer/{name}`: maps `start` to `start + count` of one layer."""
    values = step_of(traced.steps, name).output.numpy()
    part = values[_range(start, count, len(values))]
    return one_tensor(name, part, **{"from": start, "total": len(values)})


def weights(session: Session, name: str, start: int, count: int) -> bytes:
    """The binary answer of `GET …/weights/{layer}`: the kernels of some maps of one layer."""
    module = step_of(session.blank, name).module
    if isinstance(module, RBF):
        values: Tensor = module.codes
    elif isinstance(module, Convolution):
        values = module.dense_weight()
    else:
        found = getattr(module, "weight", None)
        if not isinstance(found, Tensor):
            raise Refusal(404, f"layer '{printable(name, 80)}' has no weights")
        values = found
    bias = getattr(module, "bias", None)
    part = _range(start, count, len(values))
    more: dict[str, Any] = {
        "from": start,
        "total": len(values),
        "bias": bias.detach()[part].tolist() if isinstance(bias, Tensor) else None,
    }
    if isinstance(module, Convolution) and module.table is not None:
        more["table"] = [list(seen) for seen in module.table[part]]
    return one_tensor(name, values.detach()[part].float().numpy(), **more)


def step_of(steps: Sequence[Step], name: str) -> Step:
    """The step of a layer.

    Raises:
        Refusal: 404, there is none of that name.
    """
    try:
        return steps[find(steps, name)]
    except InputError:
        error = unknown_name("layer", printable(name, 80), {step.name for step in steps})
        raise Refusal(404, str(error)) from None


def _range(start: int, count: int, total: int) -> slice:
    if not 0 <= start < total or not 1 <= count <= MOST_MAPS:
        raise InputError(
            f"from {start}, count {count}; allowed: from 0 to {total - 1}, count 1 to {MOST_MAPS}"
        )
    return slice(start, start + count)
