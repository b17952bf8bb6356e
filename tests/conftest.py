"""What several tests share: real digits, a run on a few of them, the command line."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from convscope.cli import main
from convscope.data.dataset import Dataset, Splits
from convscope.data.loading import load
from convscope.data.split import stratified
from convscope.kernels import build, library
from convscope.run import DataReference, ModelReference, Run, RunDocument, write_run
from convscope.training.inputs import plan_preprocessing
from convscope.training.recipe import ModelChoice, Optimizer, Recipe

# Time limits of single examples would fail on a busy machine and say nothing of the code.
settings.register_profile("convscope", deadline=None)
settings.load_profile("convscope")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small networks gain nothing from more, and machines that run tests are busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Splits:
    """The 5,000 real digits."""
    return load("mnist-sample")


@pytest.fixture(scope="session")
def few_digits(digits: Splits) -> Dataset:
    """200 of them, 20 of each class."""
    _, chosen = stratified(digits.train.labels, 200 / len(digits.train), 0)
    return digits.train.subset(np.sort(chosen), split="train")


@pytest.fixture(params=build.TARGETS)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of the kernels in use: each that this processor can run, in turn."""
    name: str = request.param
    if name not in library.available():
        pytest.skip(f"this processor cannot run {name}, or the kernels are not compiled")
    monkeypatch.setenv(library.VARIABLE, name)
    return name


def small_recipe(**changes: object) -> Recipe:
    """Two epochs of seven steps with one thread; by the kernels where there are such."""
    recipe = Recipe(
        name="small",
        model=ModelChoice(name="lenet5"),
        epochs=2,
        batch_size=30,
        optimizer=Optimizer(kind="adam", lr=0.002),
        validation=0.0,
        kernels="on",
        threads=1,
    )
    return Recipe.model_validate(recipe.model_dump() | changes)


def start_run(
    path: Path, recipe: Recipe, train: Dataset, input_shape: tuple[int, int, int] = (1, 32, 32)
) -> Run:
    """A run directory for `fit`, as `train` makes it."""
    path.mkdir(parents=True)
    document = RunDocument(
        created="2026-01-01T00:00:00+00:00",
        convscope="test",
        model=ModelReference(name=recipe.model.name, arguments=recipe.model.arguments),
        preprocessing=plan_preprocessing(recipe.inputs, train.images, input_shape),
        classes=train.classes,
        recipe=recipe.model_dump(mode="json"),
        data=DataReference(name=train.name, source="mnist-sample"),
    )
    return write_run(path, document)


def fingerprint(path: Path) -> dict[str, str]:
    """SHA-256 of what a training run computes: its weights and metrics."""
    names = ["weights.safetensors", "last.safetensors", "best.safetensors", "metrics.jsonl"]
    names += [f"epochs/{epoch.name}" for epoch in sorted((path / "epochs").glob("*"))]
    return {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in names
        if (path / name).exists()
    }


Inside = Callable[..., tuple[int, str, str]]


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Inside:
    """Run the command line in this process: exit code, standard output, standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["convscope", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
