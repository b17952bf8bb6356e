"""All that changes while a network trains, and its checkpoint: one file, written atomically.

A run that is resumed from a checkpoint goes on bit for bit as if it had never stopped. So
everything that later steps depend on is here, and nothing that depends on the clock.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from convscope.documents import parse_json
from convscope.errors import InputError
from convscope.run import Run, save_weights
from convscope.text import printable
from convscope.training.compute import Compute
from convscope.training.distributed import ALONE, Group
from convscope.training.optimizers import WeightAverage, build_optimizer
from convscope.training.precision import HalfWeights
from convscope.training.recipe import Recipe
from convscope.training.watch import WINDOW
from convscope.weights import read_note, read_tensors, write_tensors

Tensors = dict[str, torch.Tensor]


@dataclass
class Counters:
    """Where training stands: plain numbers, kept as JSON.

    Attributes:
        epoch: epochs finished.
        step: steps finished in the current epoch.
        loss_sum: sum of loss × images over those steps; `correct` and `seen` likewise.
        recent: losses of the latest steps, at most `watch.WINDOW`, for the watch on the loss.
        history: one row for each finished epoch.
        best_epoch: epoch (from 1) with the best validation accuracy so far; 0 is none.
    """

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    recent: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0


class TrainingState:
    """Model, optimizer, average of the weights, best weights, counters.

    Attributes:
        model: with the float32 weights that are moved and saved.
        network: what computes: the model itself, or its twin with bf16 weights.
    """

    def __init__(
        self, model: nn.Module, recipe: Recipe, compute: Compute, group: Group = ALONE
    ) -> None:
        self.model, self.group = model, group
        self.half = HalfWeights(model) if compute.precision == "bf16" else None
        self.network = self.half.network if self.half else model
        self.optimizer = build_optimizer(
            recipe.optimizer,
            model.parameters(),
            compute.dtype(),
            kernels=compute.uses_kernels,
            halves=self.half is not None and compute.uses_norm_kernels,
        )
        self.average = WeightAverage(model, recipe.averaging) if recipe.averaging else None
        self.best: Tensors = {}
        self.counters = Counters()
        self._trained = list(model.parameters())

    def update(self) -> None:
        """Move the weights by the gradients of the network, which are used up."""
        if self.half:
            self.half.step(self.optimizer)
        else:
            self.optimizer.step()
            for parameter in self._trained:
                parameter.grad = None

    @contextmanager
    def averaged(self) -> Iterator[nn.Module]:
        """A context that gives the network with the weights to validate."""
        if self.average is None:
            yield self.network
            return
        with self.average.applied_to(self.model):
            self._refresh()
            yield self.network
        self._refresh()

    def _refresh(self) -> None:
        if self.half:
            self.half.refresh()

    def current_weights(self) -> Tensors:
        """The weights to validate and to save: the average where there is one.

        Where the network is split over processes, this one's part; `save_weights` joins them.
        """
        return self.average.state if self.average else dict(self.model.state_dict())

    def remember_best(self) -> None:
        """Copy the current weights as the best so far."""
        self.best = {key: value.clone() for key, value in self.current_weights().items()}
        self.counters.best_epoch = self.counters.epoch

    def tensors(self) -> Tensors:
        """Every tensor of the state, under names that say what it is."""
        found = {f"model/{key}": value for key, value in self.model.state_dict().items()}
        for key, value in self.best.items():
            found[f"best/{key}"] = value
        for key, value in self.average.state.items() if self.average else ():
            found[f"average/{key}"] = value
        for index, parameter in enumerate(self._parameters()):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None:
                    found[f"optimizer/{index}/{key}"] = value
        return found

    def save(self, run: Run) -> None:
        """Write the checkpoint of `run`; after it returns, a power cut loses nothing.

        All processes call it, and the first one writes.
        """
        counters = json.dumps(vars(self.counters), allow_nan=False)
        whole = self.group.whole(self.tensors())
        if self.group.first:
            write_tensors(run.checkpoint, whole, note=counters)

    def save_weights(self, run: Run, weights: Tensors, name: str) -> None:
        """Write `weights` into `run` as `name`, likewise."""
        whole = self.group.whole(weights)
        if self.group.first:
            save_weights(run, whole, name)

    def load(self, run: Run) -> None:
        """Take the state from the checkpoint of `run`.

        Raises:
            InputError: the checkpoint is damaged or another model's.
        """
        group = self.group
        told = group.tell(vars(_read_counters(run)) if group.first else None)
        self.counters = Counters(**told)
        self._allocate_optimizer_state()
        if self.counters.best_epoch:
            self.best = {key: value.clone() for key, value in self.model.state_dict().items()}
        own = self.tensors()
        expected = group.whole(own)
        group.deliver(read_tensors(run.checkpoint, expected) if group.first else {}, own)
        self._refresh()

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def _allocate_optimizer_state(self) -> None:
        """Make the optimizer's tensors exist, by one step of size zero with gradients of zero."""
        for parameter in self._parameters():
            parameter.grad = torch.zeros_like(parameter)
        for group in self.optimizer.param_groups:
            group["lr"] = 0.0
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)


def _read_counters(run: Run) -> Counters:
    shown = printable(run.checkpoint)
    found = parse_json(read_note(run.checkpoint).encode(), shown)
    fresh = vars(Counters())
    if not isinstance(found, dict) or found.keys() != fresh.keys():
        raise InputError(f"{shown} is damaged: it does not say where training stood")
    for key, value in fresh.items():
        if type(found[key]) is not type(value):
            raise InputError(f"{shown} is damaged: '{key}' is {printable(found[key], 40)}")
    counters = Counters(**found)
    if not _plausible(counters):
        raise InputError(f"{shown} is damaged: what it says of the training cannot be")
    return counters


def _plausible(counters: Counters) -> bool:
    rows = counters.history
    numbers = [*counters.recent, *(value for row in rows for value in _values(row))]
    return (
        0 <= counters.best_epoch <= counters.epoch == len(rows)
        and counters.step >= 0
        and 0 <= counters.correct <= counters.seen
        and (counters.step > 0) == (counters.seen > 0)
        and len(counters.recent) <= WINDOW
        and all(isinstance(value, int | float) for value in numbers)
    )


def _values(row: object) -> list[object]:
    return list(row.values()) if isinstance(row, dict) else [row, None]
