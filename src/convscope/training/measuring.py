"""Measure how to compute; large networks in a process of their own, which leaves nothing behind.

Trying each way allocates tensors of sizes that training never asks for. The C library keeps their
memory, in pieces that later tensors do not fit: training then takes more memory than it needs. Of
small networks these are a few megabytes, and starting a process takes a second.
"""

import json
import signal
import subprocess
from math import prod
from pathlib import Path

import torch
from torch import nn

from convscope.documents import parse_json
from convscope.environment import can_start_python, python_command
from convscope.errors import InputError
from convscope.run import Run, build_model, open_run
from convscope.training.choosing import choose_compute
from convscope.training.compute import Compute, compute_from_json
from convscope.training.recipe import Recipe, recipe_from_json

FEW_NUMBERS = 16e6
"""Parameters and layers' results of a batch, together, of a network that is measured here."""
RESULTS = 32
"""About so many numbers leave the layers of a network for each number of its input."""


def compute_of(run: Run, recipe: Recipe) -> Compute:
    """How to compute: what the run records, or else what the recipe asks for, chosen now.

    Raises:
        InputError: a damaged record, or a device that this machine lacks.
    """
    if run.document.compute:
        return compute_from_json(run.document.compute)
    found = None
    if _leaves_a_choice(run, recipe) and not _is_small(run, recipe):
        found = _measured_elsewhere(run.path)
    return found or _measured_here(run, recipe)


def _leaves_a_choice(run: Run, recipe: Recipe) -> bool:
    if recipe.leaves_a_choice:
        return True
    modules = _without_numbers(run).modules()
    return recipe.kernels == "auto" and any(isinstance(one, nn.BatchNorm2d) for one in modules)


def _is_small(run: Run, recipe: Recipe) -> bool:
    results = RESULTS * recipe.batch_size * prod(run.document.preprocessing.input_shape)
    weights = sum(one.numel() for one in _without_numbers(run).parameters())
    return results + weights < FEW_NUMBERS


def _without_numbers(run: Run) -> nn.Module:
    """The network, of which only the sizes are known."""
    with torch.device("meta"):
        return build_model(run.document)


def _measured_here(run: Run, recipe: Recipe) -> Compute:
    alone = run.document.environment.get("processes", 1) == 1
    model = build_model(run.document)
    return choose_compute(recipe, model, run.document.preprocessing.input_shape, alone=alone)


def _measured_elsewhere(path: Path) -> Compute | None:
    """The choice as a fresh process makes it; None where it cannot.

    It cannot where Python is part of another program, and where the model is registered by a
    script, which a fresh process does not know of.
    """
    if not can_start_python():
        return None
    words = python_command(__name__, str(path))
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=600
        )
        return compute_from_json(parse_json(done.stdout, "the measurement"))
    except (OSError, subprocess.SubprocessError, InputError):
        return None


def main(path: str) -> None:
    """The measuring process: print the choice for the run at `path` as JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this process
    run = open_run(path)
    chosen = _measured_here(run, recipe_from_json(run.document.recipe))
    print(json.dumps(chosen.model_dump(mode="json")))
