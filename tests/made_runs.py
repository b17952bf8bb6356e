"""Runs for tests of what opens them: untrained or hand-made networks in real run directories."""

from pathlib import Path
from typing import Any

from convscope.data.preprocess import Preprocessing
from convscope.run import (
    DataReference,
    ModelReference,
    Run,
    RunDocument,
    build_model,
    save_weights,
    write_run,
)

DIGITS = tuple("0123456789")
MNIST = Preprocessing(
    channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1307,), std=(0.3081,)
)


def make_run(
    path: Path,
    *,
    model: str = "lenet5",
    arguments: dict[str, Any] | None = None,
    preprocessing: Preprocessing = MNIST,
    classes: tuple[str, ...] = DIGITS,
    source: str = "mnist-sample",
    created: str = "2026-01-01T00:00:00+00:00",
    weights: bool = True,
    seed: int = 3,
) -> Run:
    """A complete run of a network with random weights."""
    path.mkdir(parents=True)
    document = RunDocument(
        created=created,
        convscope="test",
        model=ModelReference(
            name=model,
            arguments={"channels": preprocessing.channels, "classes": len(classes)}
            | (arguments or {}),
        ),
        preprocessing=preprocessing,
        classes=classes,
        recipe={"name": "made-up"},
        data=DataReference(name="made-up", source=source, sizes={"train": 4000, "test": 1000}),
        status="complete" if weights else "training",
    )
    run = write_run(path, document)
    if weights:
        save_weights(run, build_model(document, seed=seed).state_dict(), "weights.safetensors")
    return run
