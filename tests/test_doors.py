"""Hostile runs, models and pictures through every door that a trained network has."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import convscope
from convscope.errors import InputError
from hostile_images import hostile_files

EXAMPLE = Path(convscope.__file__).parent / "lab" / "example"
DOORS: dict[str, Callable[[Path, Path], object]] = {
    "predict": lambda run, picture: list(convscope.predict(run, [picture])),
    "open_predictor": lambda run, _: convscope.open_predictor(run),
    "export": lambda run, picture: convscope.export(run, out=picture.with_name("x.onnx")),
    "export int8": lambda run, picture: convscope.export(
        run, out=picture.with_name("x.onnx"), int8=True
    ),
    "evaluate": lambda run, _: convscope.evaluate(run, data="mnist-sample", robustness=False),
}


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code of the file was run')",))


def _document(path: Path, **changes: Any) -> None:
    run = json.loads((path / "run.json").read_bytes())
    (path / "run.json").write_text(json.dumps(run | changes))


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


RUNS: dict[str, Callable[[Path], None]] = {
    "pickled weights": lambda path: _weights(path, pickle.dumps(_Evil())),
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
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A good picture, in an otherwise empty folder."""
    path = tmp_path / "out" / "picture.png"
    path.parent.mkdir()
    Image.new("L", (28, 28), 200).save(path)
    return path


@pytest.mark.parametrize("spoil", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_hostile_runs_are_refused_with_a_reason(
    door: Callable[[Path, Path], object],
    spoil: Callable[[Path], None],
    picture: Path,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    shutil.copytree(EXAMPLE, run)
    spoil(run)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        door(run, picture)
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_results_stop_an_export(picture: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text('{"accuracy": 2}')
    with pytest.raises(InputError, match="these results are damaged"):
        convscope.export(tmp_path / "run", out=picture.with_name("x.onnx"))
    assert list(picture.parent.iterdir()) == [picture]


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example run's network, as a file."""
    return convscope.export(EXAMPLE, out=tmp_path_factory.mktemp("exported") / "digits.onnx").path


def test_hostile_pictures_are_reported_and_the_rest_go_on(
    digits_file: Path, picture: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    reasons: dict[str, tuple[str, str]] = {}
    for name, (data, reason) in hostile_files().items():
        (folder / f"{len(reasons):03}.png").write_bytes(data)
        reasons[str(folder / f"{len(reasons):03}.png")] = (name, reason)
    Image.open(picture).save(folder / "zzz.png")
    for model in (digits_file, EXAMPLE):
        *bad, good = convscope.predict(model, [folder])
        assert good.guesses
        assert [one.source for one in bad] == list(reasons)
        for one in bad:
            assert reasons[one.source][1] in one.error, reasons[one.source][0]


def test_the_command_needs_no_torch(digits_file: Path, picture: Path) -> None:
    program = (
        "import sys, convscope.cli\n"
        f"sys.argv = ['convscope', 'predict', {str(digits_file)!r}, {str(picture)!r}]\n"
        "try: convscope.cli.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'matplotlib', 'safetensors', 'rich', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{picture}: ")
    assert done.stderr == ""


def test_a_file_answers_as_its_run(digits_file: Path, picture: Path) -> None:
    (one,) = convscope.predict(digits_file, [picture], top=10)
    (other,) = convscope.predict(EXAMPLE, [picture], top=10)
    assert [guess.name for guess in one.guesses] == [guess.name for guess in other.guesses]
    for guess, expected in zip(one.guesses, other.guesses, strict=True):
        assert guess.probability == pytest.approx(expected.probability, abs=1e-6)
