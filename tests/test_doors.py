"""`predict` and `export` as doors: bad pictures are told and the rest go on, and no torch."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import convscope
from convscope.errors import InputError
from convscope.predictor import EXAMPLE
from hostile_images import hostile_files


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A good picture, in an otherwise empty folder."""
    path = tmp_path / "out" / "picture.png"
    path.parent.mkdir()
    Image.new("L", (28, 28), 200).save(path)
    return path


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
