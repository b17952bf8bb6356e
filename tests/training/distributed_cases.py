"""What `test_distributed.py` lets one process do, and two: python distributed_cases.py DIRECTORY.

The two processes do everything in one start, since loading torch takes longer than the work.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F

from conftest import small_recipe, start_run
from convscope import models
from convscope.data.dataset import Dataset
from convscope.data.loading import load
from convscope.data.synthetic import read_shapes
from convscope.errors import Interrupted, TrainingError
from convscope.run import Run
from convscope.training import columns, loop
from convscope.training.batch_statistics import share_batches
from convscope.training.distributed import ALONE, Group, joined
from convscope.training.fit import fit
from convscope.training.gradients import GradientSums
from convscope.training.recipe import Recipe
from convscope.training.signals import StopRequest
from convscope.training.watch import check_loss

ODD = 183
"""Images: no multiple of two, nor of any batch size below; batches of 14 leave one."""

PLAIN: dict[str, Any] = {"batch_size": 31, "epochs": 9, "augmentation": {"shift": 1.5}}
NORMALISED: dict[str, Any] = {
    "model": {
        "name": "alexnet-cifar",
        "arguments": {"width": 4, "hidden": 16, "channels": 1, "hidden_norm": True},
    },
    "inputs": {"fit": "resize"},
    "optimizer": {"kind": "sgd", "lr": 0.001, "momentum": 0.9},
    "batch_size": 20,
    "epochs": 1,
    "max_steps": 4,  # the last bits grow: weights that differ by 1e-7 give other losses soon
    "averaging": 0.9,
}
ONE_LEFT: dict[str, Any] = {"batch_size": 14, "epochs": 2}
STOCHASTIC: dict[str, Any] = {
    "model": {"name": "lenet5", "arguments": {"pool": {"layer": "pool", "kind": "stochastic"}}},
    "batch_size": 31,
    "epochs": 2,
}
COLUMNS: dict[str, Any] = {
    "model": {
        "name": "alexnet-2012",
        "arguments": {"input_size": 67, "classes": 10, "channels": 3},
    },
    "inputs": {"fit": "resize", "normalisation": "alexnet-2012"},
    "optimizer": {"kind": "sgd", "lr": 0.001, "momentum": 0.9, "weight_decay": 5e-4},
    "batch_size": 5,
    "max_steps": 3,
    "epochs": 1,
    "parallel": "columns",
}


def digits(n: int = ODD) -> Dataset:
    train = load("mnist-sample").train
    return train.subset(np.arange(0, len(train), len(train) // n)[:n], split="train")


def shapes() -> Dataset:
    return read_shapes(size=(67, 67), train=23, test=10)["train"]


@contextmanager
def watched() -> Iterator[tuple[list[float], list[list[int]]]]:
    """Collects the loss of every step, and the images that each step of this process has seen."""
    losses: list[float] = []
    seen: list[list[int]] = []
    plain_check, plain_inputs = check_loss, loop.Loop._inputs

    def checking(recent: Any, *rest: Any) -> None:
        losses.append(recent[-1])
        plain_check(recent, *rest)

    def noting(self: loop.Loop, table: Any, chosen: torch.Tensor) -> torch.Tensor:
        seen.append(chosen.tolist())
        return plain_inputs(self, table, chosen)

    with (
        mock.patch.object(loop, "check_loss", checking),
        mock.patch.object(loop.Loop, "_inputs", noting),
    ):
        yield losses, seen


def trained(
    path: Path, changes: dict[str, Any], data: Dataset, group: Group = ALONE, **more: Any
) -> dict[str, Any]:
    """Train with the recipe; the losses of all steps, and the images of each."""
    recipe = small_recipe(**changes)
    run = made(path, recipe, data)
    with watched() as (losses, seen):
        list(fit(run, data, data, group=group, **more))
    return {"losses": losses, "seen": seen}


def made(path: Path, recipe: Recipe, data: Dataset) -> Run:
    size = 67 if recipe.model.name == "alexnet-2012" else 32
    return start_run(path, recipe, data, (data.images.shape[1], size, size))


def column_case(variant: str) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """A network with an odd number of classes, images and labels."""
    arguments = {"input_size": 67, "classes": 7, "variant": variant}
    model = models.build("alexnet-2012", arguments, seed=3).train()
    generator = torch.Generator().manual_seed(4)
    images = 255 * torch.rand(3, 3, 67, 67, generator=generator) - 128
    return model, images, torch.tensor([6, 0, 3])


def scores_and_gradients(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, group: Group
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(11)  # of the dropout
    with group.drawing(len(images)):
        scores = model(images)
    F.cross_entropy(scores, labels).backward()  # type: ignore[no-untyped-call]
    own = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return scores.detach(), own


def normalised_gradients(n: int, group: Group) -> dict[str, torch.Tensor]:
    """Gradients and statistics of a network with batch normalisation and dropout, `n` images."""
    arguments = {**NORMALISED["model"]["arguments"], "dropout": 0.5}
    model = models.build("alexnet-cifar", arguments, seed=1).train()
    if group.size > 1:
        share_batches(model)
    sums = GradientSums(model.parameters(), group)
    images = torch.randn(n, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(n) % 10
    part = group.share(n)
    torch.manual_seed(12)  # of the dropout
    with group.drawing(n):
        scores = model(images[part])
    loss = F.cross_entropy(scores, labels[part], reduction="sum") / n
    loss.backward()  # type: ignore[no-untyped-call]
    sums.finish()
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return found | dict(model.named_buffers())


def two_column_case(variant: str, group: Group) -> dict[str, torch.Tensor]:
    model, images, labels = column_case(variant)
    columns.split_columns(model, group)
    columns.Traffic.bytes = 0
    scores, own = scores_and_gradients(model, images, labels, group)
    return group.whole(own) | {"scores": scores, "bytes": torch.tensor(columns.Traffic.bytes)}


def stopped_by_the_other(path: Path, data: Dataset, group: Group) -> str:
    """A signal reaches process 1 alone; both stop at the same step, the first has saved."""
    run = made(path, small_recipe(**PLAIN), data)
    stop = StopRequest()
    try:
        for row in fit(run, data, data, group=group, stop=stop):
            if row.finished and group.rank == 1:
                stop.received = signal.SIGTERM
    except Interrupted as error:
        return f"{error.exit_code}: {error}"
    return "not stopped"


def failing(path: Path, data: Dataset, group: Group) -> str:
    run = made(path, small_recipe(optimizer={"lr": 1e6}, epochs=100), data)
    try:
        list(fit(run, data, group=group))
    except TrainingError as error:
        return str(error)
    return "no error"


def counted_bytes(group: Group) -> int:
    model = torch.nn.Linear(10, 3)
    sums = GradientSums(model.parameters(), group)
    before = GradientSums.handed_over
    model(torch.ones(1, 10)).sum().backward()
    sums.finish()
    return GradientSums.handed_over - before


def main(out: Path) -> None:
    torch.set_num_threads(1)
    with joined() as group:
        own = out / f"process{group.rank}"
        data = digits()
        found: dict[str, Any] = {
            "plain": trained(own / "plain", PLAIN, data, group),
            "again": trained(own / "again", PLAIN, data, group),
            "normalised": trained(own / "normalised", NORMALISED, data, group),
            "one left": trained(own / "one left", ONE_LEFT, data, group),
            "stochastic": trained(own / "stochastic", STOCHASTIC, data, group),
            "columns": trained(own / "columns", COLUMNS, shapes(), group, checkpoint_seconds=0.0),
            "stopped": stopped_by_the_other(own / "stopped", data, group),
            "failing": failing(own / "failing", data, group),
            "bytes": counted_bytes(group),
        }
        for variant in ("paper", "code"):
            two = Group(group.rank, 2, group.rank, 2, "columns")
            torch.save(two_column_case(variant, two), own / f"{variant}.pt")
        for n in (1, 7):
            torch.save(normalised_gradients(n, group), own / f"normalised{n}.pt")
        (own / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
