"""What if: filters switched off, another pooling, padding or activation, the same weights."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn

from convscope.data.dataset import Dataset
from convscope.errors import InputError
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.robustness import affordable_images, stratified_indices
from convscope.explain.interventions import replaced, switched_off
from convscope.lab.layers import guess
from convscope.lab.session import Picture, Session
from convscope.model_summary import anatomy


def read_off(value: object) -> dict[str, list[int]]:
    """Layers and the maps of each that are switched off, from JSON.

    Raises:
        InputError: another form.
    """
    if not isinstance(value, dict) or not all(
        isinstance(maps, list) and all(type(number) is int for number in maps)
        for maps in value.values()
    ):
        raise InputError('"off" must be an object of layers with lists of maps: {"c1": [0, 2]}')
    return {name: maps for name, maps in value.items() if maps}


def what_if(
    session: Session,
    picture: Picture | None,
    off: Mapping[str, list[int]],
    changes: Mapping[str, Any],
    test: Dataset | None,
) -> dict[str, Any]:
    """What `POST …/what-if` answers: scores before and after, and with `test` the accuracy.

    Args:
        picture: whose scores are asked for, if any.
        off: maps of layers that give zeros.
        changes: arguments of the run's model, replaced.
        test: images of which as many as are affordable are measured, of each class alike.

    Raises:
        InputError: an unknown layer, map or argument, or shapes that no longer fit the weights.
    """
    nothing = {"scores": None, "probabilities": None, "top": None}
    before: dict[str, Any] = dict(nothing)
    after: dict[str, Any] = dict(nothing)
    accuracy = None
    with session.network() as original:
        changed = _changed(session, original, changes)
        if picture is not None:
            before = guess(session, _scores(original, picture))
        if test is not None:
            chosen = stratified_indices(test.labels, _affordable(session, original))
            old = _accuracy(session, original, test, chosen)
        with ExitStack() as stack:
            if off:
                stack.enter_context(switched_off(changed, dict(off)))
            if picture is not None:
                after = guess(session, _scores(changed, picture))
            if test is not None:
                new = _accuracy(session, changed, test, chosen)
                accuracy = {"before": old, "after": new, "n": len(chosen)}
    return {**after, "before": before, "accuracy": accuracy}


def _changed(session: Session, original: nn.Module, changes: Mapping[str, Any]) -> nn.Module:
    if not changes:
        return original
    model = session.run.document.model
    return replaced(model.name, model.arguments, original.state_dict(), dict(changes))


def _scores(network: nn.Module, picture: Picture) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = network(picture.tensor[None])[0]
    return scores


def _affordable(session: Session, network: nn.Module) -> int:
    shape = session.run.document.preprocessing.input_shape
    return affordable_images(anatomy(network, shape).multiply_adds)


def _accuracy(
    session: Session, network: nn.Module, test: Dataset, chosen: np.ndarray[Any, Any]
) -> float:
    preprocessing = session.run.document.preprocessing
    scores = log_probabilities(network, test.images[chosen], preprocessing)
    return float((scores.argmax(axis=1) == test.labels[chosen]).mean())
