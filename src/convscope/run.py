"""The Run: a directory with everything that training leaves and everything after it reads.

    run.json             model, preprocessing, classes, recipe, data, environment, progress
    weights.safetensors  the model (best on validation, or last: the recipe says)
    last.safetensors     or best.safetensors: the other of the two, where they differ
    checkpoint.safetensors   while training: all that a resumed run needs
    metrics.jsonl        one row an epoch
    split.json           for data split by us: the names of the test files
    results.json         the evaluation;  report.html, figures/, tables/: the same to look at

A run is rebuilt from JSON and safetensors alone: nothing in it is ever executed.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.overrides import TorchFunctionMode

from convscope import models
from convscope.data.preprocess import Preprocessing
from convscope.documents import parse_json, read_regular_file, to_json_bytes
from convscope.errors import InputError
from convscope.files import own_directory, write_atomically
from convscope.text import printable
from convscope.weights import read_tensors, write_tensors

FORMAT = 1


class ModelReference(BaseModel):
    """A registered model and the arguments it was built with, as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(max_length=200)
    arguments: dict[str, Any] = Field(default_factory=dict)


class DataReference(BaseModel):
    """Where the images came from, so that `evaluate` finds the same ones again."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(max_length=1000)
    source: str = Field(max_length=10_000)
    seed: int = 0
    skip_bad: bool = False
    cache: Literal["auto", "always", "never"] = "auto"
    sizes: dict[str, int] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)


class RunDocument(BaseModel):
    """What `run.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    status: Literal["training", "complete"] = "training"
    created: str = Field(max_length=100)
    convscope: str = Field(max_length=100)
    command: str = Field(default="", max_length=100_000)
    model: ModelReference
    preprocessing: Preprocessing
    classes: tuple[str, ...] = Field(min_length=2, max_length=100_000)
    recipe: dict[str, Any]
    data: DataReference
    environment: dict[str, Any] = Field(default_factory=dict)
    compute: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, int | float | None] = Field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A run directory and its checked description."""

    path: Path
    document: RunDocument

    @property
    def weights(self) -> Path:
        return self.path / "weights.safetensors"

    @property
    def epochs(self) -> list[int]:
        """The epochs whose weights were kept, in order; see `epoch_weights`."""
        try:
            names = [path.stem for path in (self.path / "epochs").glob("*.safetensors")]
        except OSError:
            return []
        return sorted(int(name) for name in names if re.fullmatch(r"[1-9][0-9]{0,8}", name))

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def with_changes(self, **changes: Any) -> "Run":
        """The run with fields of its document replaced, and `run.json` rewritten."""
        document = self.document.model_copy(update=changes)
        return write_run(self.path, document)


def write_run(path: Path, document: RunDocument) -> Run:
    """Write `run.json` into the directory `path`, all or nothing."""
    write_atomically(path / "run.json", to_json_bytes(document.model_dump(mode="json")))
    return Run(path, document)


def open_run(path: str | Path | Run) -> Run:
    """The run in directory `path`, its description checked, its weights not yet read.

    Raises:
        InputError: there is no run there, or its `run.json` is damaged or of another format.
    """
    if isinstance(path, Run):
        return path
    path = Path(path)
    shown = printable(path)
    if not os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise InputError(f"{shown} is no run directory: `convscope train` makes one under runs/")
    if not (path / "run.json").exists():
        raise InputError(f"{shown} holds no run.json: give the directory that `train` printed")
    document = parse_json(read_regular_file(path / "run.json"), f"{shown}/run.json")
    if isinstance(document, dict) and document.get("format") != FORMAT:
        raise InputError(
            f"{shown}/run.json has format {printable(document.get('format'))}; "
            f"this version reads format {FORMAT}: upgrade convscope"
        )
    try:
        return Run(path, RunDocument.model_validate(document))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in problem["loc"]) or "the whole"
        raise InputError(
            f"{shown}/run.json is damaged: {printable(where)}: {printable(problem['msg'])}"
        ) from None


def load_model(run: str | Path | Run, weights: str = "weights.safetensors") -> nn.Module:
    """The trained network of a run, in evaluation mode, on the CPU.

    The model is first built without memory, its shapes compared with the file's header, and only
    then allocated: a false file can ask for no more memory than its own size.

    Raises:
        InputError: no such model, or weights that are missing, damaged or another model's.
    """
    run = open_run(run)
    path = run.path / weights
    if not path.exists() and run.document.status != "complete":
        raise InputError(
            f"{printable(run.path)} holds no trained weights yet: "
            f"`convscope train --resume {printable(run.path)}` goes on with it"
        )
    with _NoDraws(), torch.device("meta"):
        skeleton = build_model(run.document)
    tensors = read_tensors(path, skeleton.state_dict())
    with _NoDraws():
        model = build_model(run.document)
    model.load_state_dict(tensors)  # copied: the tensors are views of the file
    return model.eval()


class _NoDraws(TorchFunctionMode):
    """Leaves initial weights out: to draw sixty million of them, all to be replaced, takes longer
    than to read them."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def build_model(document: RunDocument, seed: int = 0) -> nn.Module:
    """The untrained network that a run describes."""
    model = models.build(document.model.name, document.model.arguments, seed=seed)
    wanted, given = tuple(model.input_shape), document.preprocessing.input_shape
    if wanted != given:
        raise InputError(
            f"the run's preprocessing gives {_by(given)} pixels, "
            f"but its model takes {_by(wanted)}: run.json was changed by hand?"
        )
    if model.classes != len(document.classes):
        raise InputError(
            f"the run has {len(document.classes)} classes, but its model scores {model.classes}: "
            "run.json was changed by hand?"
        )
    return model


def epoch_weights(epoch: int) -> str:
    """The file in a run's directory with the weights after an epoch, counted from 1."""
    return f"epochs/{epoch}.safetensors"


def save_weights(run: Run, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Write a state dict into the run as `name`; all else about the model stands in `run.json`."""
    path = run.path / name
    if path.parent != run.path:
        own_directory(path.parent)
    write_tensors(path, state)


def write_metrics(run: Run, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of all epochs so far as JSON lines."""
    lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
    write_atomically(run.path / "metrics.jsonl", lines.encode())


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """The rows that `write_metrics` wrote; empty where there are none yet."""
    path = run.path / "metrics.jsonl"
    if not path.exists():
        return []
    lines = read_regular_file(path).splitlines()
    rows = [parse_json(line, printable(path)) for line in lines]
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{printable(path)} is damaged: each line must be a JSON object")
    return rows


def write_split(path: Path, test_files: Sequence[str]) -> None:
    """Record which files are the test set, by name: it stays the same when files are added."""
    write_atomically(path / "split.json", to_json_bytes({"test": list(test_files)}))


def read_split(run: Run) -> tuple[str, ...] | None:
    """The recorded names of the test files; None where the data themselves say what is test."""
    path = run.path / "split.json"
    if not path.exists():
        return None
    document = parse_json(read_regular_file(path), printable(path))
    names = document.get("test") if isinstance(document, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{printable(path)} is damaged: it must hold a list of names under 'test'")
    return tuple(names)


def _by(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape)
