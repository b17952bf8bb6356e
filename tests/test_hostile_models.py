"""Every door that opens a stranger's model, and every way in which it may be false.

What each loader checks in detail stands in `test_run`, `test_weights` and `onnx_file/test_check`;
here every door is tried, so that none has a way of its own around them.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import convscope
from convscope.errors import InputError
from convscope.explain.writing import explain_image
from convscope.predictor import EXAMPLE
from hostile_images import encode, pixels
from hostile_onnx import corpus
from hostile_runs import RUNS

FILES = {name: data for name, data, _ in corpus()}

Door = Callable[[Path, Path], object]


def export_in_eight_bits(model: Path, picture: Path) -> object:
    return convscope.export(model, out=picture.with_name("x.onnx"), int8=True)


FILE_DOORS: dict[str, Door] = {
    "open_predictor": lambda model, _: convscope.open_predictor(model),
    "predict": lambda model, picture: list(convscope.predict(model, [picture])),
    "serve": lambda model, _: convscope.serve(model, port=0),
}
RUN_DOORS: dict[str, Door] = FILE_DOORS | {
    "evaluate": lambda run, _: convscope.evaluate(run, data="mnist-sample", robustness=False),
    "export": lambda run, picture: convscope.export(run, out=picture.with_name("x.onnx")),
    "export int8": export_in_eight_bits,
    "explain": lambda run, picture: explain_image(run, picture, picture.with_name("out")),
    "show": lambda run, picture: convscope.show(run, picture),
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A good picture, in an otherwise empty folder."""
    path = tmp_path / "out" / "picture.png"
    path.parent.mkdir()
    path.write_bytes(encode(pixels()))
    return path


@pytest.fixture(autouse=True)
def _does_not_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that began to serve would never come back."""

    def served(*_: object) -> None:
        raise AssertionError("it was served")

    monkeypatch.setattr("convscope.web.process.Process.run", served)


def is_refused(act: Callable[[], object], root: Path) -> None:
    """In words, on one line, and with nothing written or removed."""
    before = sorted(root.rglob("*"))
    with pytest.raises(InputError) as caught:
        act()
    assert str(caught.value).isprintable()
    assert sorted(root.rglob("*")) == before


QUICK = ("open_predictor", "predict", "serve")


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize(
    "door",
    [pytest.param(door, marks=[pytest.mark.slow] * (door not in QUICK)) for door in RUN_DOORS],
)
def test_every_door_refuses_every_false_run(
    picture: Path, tmp_path: Path, door: str, name: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(EXAMPLE, run)
    RUNS[name](run)
    is_refused(lambda: RUN_DOORS[door](run, picture), tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("door", FILE_DOORS)
def test_every_door_refuses_every_false_onnx_file(
    picture: Path, tmp_path: Path, door: str, name: str
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(FILES[name])
    is_refused(lambda: FILE_DOORS[door](file, picture), tmp_path)
