"""Every door that opens a stranger's model, and every way in which it may be false.

What each loader checks in detail stands in `test_run`, `test_weights` and the tests of the ONNX
loader; here every door is tried, so that none has a way of its own around them.
"""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import convscope
import lab_server
from conftest import small_recipe
from convscope.errors import InputError
from convscope.explain.writing import explain_image
from convscope.predictor import open_predictor
from convscope.serving.server import serve
from hostile_images import Payload, encode, pixels
from made_runs import make_run

Spoil = Callable[[Path], None]


def change(path: Path, *keys: str, value: Any) -> None:
    """Put a value into run.json."""
    document = json.loads((path / "run.json").read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (path / "run.json").write_text(json.dumps(document))


def rewrite(name: str, data: bytes) -> Spoil:
    def write(path: Path) -> None:
        (path / name).write_bytes(data)

    return write


def shorten(path: Path) -> None:
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def pipe(path: Path) -> None:
    """Whoever opens it waits for ever."""
    (path / "weights.safetensors").unlink()
    os.mkfifo(path / "weights.safetensors")


def link(path: Path) -> None:
    (path / "weights.safetensors").unlink()
    (path / "weights.safetensors").symlink_to("/etc/passwd")


RUNS: dict[str, Spoil] = {
    "no description": lambda path: (path / "run.json").unlink(),
    "pickle for a description": rewrite("run.json", pickle.dumps(Payload())),
    "deep description": rewrite("run.json", b"[" * 10**6),
    "huge number": rewrite("run.json", b'{"format": 1' + b"0" * 10**6 + b"}"),
    "another model": lambda path: change(path, "model", "name", value="os.system"),
    "a billion classes": lambda path: change(path, "model", "arguments", "classes", value=10**9),
    "a huge picture": lambda path: change(path, "preprocessing", "size", value=[10**9, 10**9]),
    "NaN for a mean": lambda path: change(path, "preprocessing", "mean", value=[float("nan")]),
    "pickle for weights": rewrite("weights.safetensors", pickle.dumps(Payload())),
    "header of 2^64 - 1": rewrite("weights.safetensors", b"\xff" * 64),
    "empty weights": rewrite("weights.safetensors", b""),
    "short weights": shorten,
    "pipe for weights": pipe,
    "link out of the run": link,
}

FILES: dict[str, bytes] = {
    "empty": b"",
    "text": b"no model at all",
    "pickle": pickle.dumps(Payload()),
    "zip": b"PK\x03\x04" + b"\0" * 60,
    "length of 2^63": b"\x3a" + b"\xff" * 9 + b"\x7f",
    "nested": b"\x3a\x80\x80\x80\x80\x08" * 10_000,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = make_run(tmp_path_factory.mktemp("good") / "run")
    return made.with_changes(recipe=small_recipe().model_dump(mode="json")).path


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "p.png"
    path.write_bytes(encode(pixels()))
    return path


def serve_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that began to serve would never come back."""

    def served(*_: object) -> None:
        raise AssertionError("it was served")

    monkeypatch.setattr("convscope.web.process.Process.run", served)
    serve(model, port=0)


RUN_DOORS: dict[str, Callable[[Path, Path], object]] = {
    "open_predictor": lambda run, _: open_predictor(run),
    "predict": lambda run, picture: list(convscope.predict(run, [picture])),
    "evaluate": lambda run, _: convscope.evaluate(run, robustness=False),
    "export": lambda run, _: convscope.export(run),
    "explain": lambda run, picture: explain_image(run, picture, run.parent / "out"),
    "show": lambda run, picture: convscope.show(run, picture),
}


def is_refused(act: Callable[[], object], root: Path) -> None:
    """In words, on one line, and without a file more or less than before."""
    before = contents(root)
    with pytest.raises(InputError) as caught:
        act()
    assert str(caught.value).isprintable()
    assert contents(root) == before


def contents(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("door", [*RUN_DOORS, "serve"])
def test_every_door_refuses_every_false_run(
    good: Path,
    picture: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    door: str,
    name: str,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(good, run)
    RUNS[name](run)
    if door == "serve":
        is_refused(lambda: serve_it(run, monkeypatch), tmp_path)
    else:
        is_refused(lambda: RUN_DOORS[door](run, picture), tmp_path)


def test_the_lab_lives_on_among_false_runs(good: Path, tmp_path: Path) -> None:
    """Each is told to the page in words, and the good one beside them is shown."""
    for number, spoil in enumerate(RUNS.values()):
        shutil.copytree(good, tmp_path / f"{number}")
        spoil(tmp_path / f"{number}")
    shutil.copytree(good, tmp_path / "good")
    with lab_server.serving(tmp_path) as lab:
        for number, name in enumerate(RUNS):
            answer = lab.client.post(f"/api/runs/{number}/forward", content=encode(pixels()))
            assert answer.status_code in (400, 404), name
            assert answer.json()["error"].isprintable()
        answer = lab.client.post("/api/runs/good/forward", content=encode(pixels()))
        assert answer.status_code == 200


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("door", ["open_predictor", "predict", "serve"])
def test_every_door_refuses_every_false_onnx_file(
    picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, name: str
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(FILES[name])
    if door == "serve":
        is_refused(lambda: serve_it(file, monkeypatch), tmp_path)
    else:
        is_refused(lambda: RUN_DOORS[door](file, picture), tmp_path)
