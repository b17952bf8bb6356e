"""Run directories of strangers, made out of a good one: name → what spoils it."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostile_images import Payload


def _document(path: Path, **changes: Any) -> None:
    document = json.loads((path / "run.json").read_bytes())
    (path / "run.json").write_text(json.dumps(document | changes))


def _model(path: Path, **arguments: Any) -> None:
    _document(path, model={"name": "lenet5", "arguments": {"channels": 1, **arguments}})


def _put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _weights(path: Path, data: bytes) -> None:
    _put(path / "weights.safetensors", data)


def _link(path: Path, name: str, target: str) -> None:
    (path / name).unlink()
    (path / name).symlink_to(target)


def _pipe(path: Path, name: str) -> None:
    (path / name).unlink()
    os.mkfifo(path / name)


def _preprocessing(path: Path, **changes: Any) -> None:
    document = json.loads((path / "run.json").read_bytes())
    _document(path, preprocessing=document["preprocessing"] | changes)


RUNS: dict[str, Callable[[Path], None]] = {
    "pickled weights": lambda path: _weights(path, pickle.dumps(Payload())),
    "a header of 2⁶⁴ − 1 bytes": lambda path: _weights(path, b"\xff" * 8 + b"{}"),
    "half the weights": lambda path: _weights(
        path, (path / "weights.safetensors").read_bytes()[:100_000]
    ),
    "weights that are a link": lambda path: _link(path, "weights.safetensors", "/etc/passwd"),
    "weights that are a pipe": lambda path: _pipe(path, "weights.safetensors"),
    "a description that is a link": lambda path: _link(path, "run.json", "/etc/passwd"),
    "a description that is a pipe": lambda path: _pipe(path, "run.json"),
    "a deep description": lambda path: _put(path / "run.json", b"[" * 10**5),
    "10⁹ classes": lambda path: _model(path, classes=10**9),
    "a picture of 10⁹": lambda path: _model(path, input_size=10**9),
    "a larger network than its weights": lambda path: _model(path, input_size=1024),
    "an unknown network": lambda path: _document(path, model={"name": "os.system"}),
    "other classes": lambda path: _document(path, classes=["a", "b"]),
    "no description": lambda path: (path / "run.json").unlink(),
    "a pickled description": lambda path: _put(path / "run.json", pickle.dumps(Payload())),
    "a number of 10⁶ digits": lambda path: _put(
        path / "run.json", b'{"format": 1' + b"0" * 10**6 + b"}"
    ),
    "a deviation of 0": lambda path: _preprocessing(path, std=[0]),
    "a picture of 10⁹ × 10⁹": lambda path: _preprocessing(path, size=[10**9, 10**9]),
    "no weights": lambda path: _weights(path, b""),
    "weights without their last byte": lambda path: _weights(
        path, (path / "weights.safetensors").read_bytes()[:-1]
    ),
}
