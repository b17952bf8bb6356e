"""Prediction: the same pixels as in training, in batches that memory can hold."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from convscope import prediction
from convscope.data.images import decode
from convscope.data.preprocess import Preprocessing, resize
from convscope.errors import InputError
from convscope.evaluation.inference import log_probabilities
from convscope.prediction import model_and_pictures, predict
from convscope.predictor import EXAMPLE
from convscope.predictors.interface import Images
from convscope.predictors.of_run import RunPredictor
from convscope.run import (
    DataReference,
    ModelReference,
    Run,
    RunDocument,
    build_model,
    load_model,
    save_weights,
    write_run,
)

CLASSES = ("cat", "dog", "owl")
HOW = Preprocessing(
    channels=3,
    size=(48, 48),
    aspect="cover",
    crop=(40, 40),
    resize=(28, 28),
    padding=(2, 2, 2, 2),
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A complete run of an untrained network."""
    path = tmp_path / "run"
    path.mkdir()
    document = RunDocument(
        created="2026-01-01T00:00:00+00:00",
        convscope="test",
        model=ModelReference(name="lenet5", arguments={"channels": 3, "classes": 3}),
        preprocessing=HOW,
        classes=CLASSES,
        recipe={},
        data=DataReference(name="made-up", source="made-up"),
        status="complete",
    )
    made = write_run(path, document)
    save_weights(made, build_model(document, seed=3).state_dict(), "weights.safetensors")
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Eleven pictures of mixed sizes and modes."""
    rng, paths = np.random.default_rng(0), []
    for index in range(11):
        height, width = rng.integers(20, 120, 2)
        shape = (height, width) if index % 3 == 0 else (height, width, 3)
        path = tmp_path / f"{index:02}.png"
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
        paths.append(path)
    return paths


def test_the_whole_preprocessing_is_applied(run: Run, pictures: list[Path]) -> None:
    """Cover, crop and resize: the same as evaluation does with the same files."""
    kept = np.stack([resize(decode(path), HOW) for path in pictures])
    assert kept.shape == (11, 3, 48, 48)
    expected = np.exp(log_probabilities(load_model(run), kept, HOW))
    for found, row in zip(predict(run, pictures, top=3), expected, strict=True):
        assert [guess.name for guess in found.guesses] == [CLASSES[i] for i in np.argsort(-row)]
        probabilities = [guess.probability for guess in found.guesses]
        assert probabilities == pytest.approx(sorted(row, reverse=True), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "sizes"),
    [
        ("BATCH", 4, [4, 4, 3]),
        ("BATCH_BYTES", 5 * 3 * 48 * 48, [5, 5, 1]),
        ("BATCH_BYTES", 1, [1] * 11),
        ("BATCH", 64, [11]),
    ],
)
def test_pictures_are_held_in_batches(
    run: Run,
    pictures: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int,
    sizes: list[int],
) -> None:
    whole = list(predict(run, pictures))
    monkeypatch.setattr(prediction, name, value)
    seen = []
    answer = RunPredictor.probabilities

    def counted(self: RunPredictor, images: Images) -> npt.NDArray[np.float32]:
        seen.append(len(images))
        return answer(self, images)

    monkeypatch.setattr(RunPredictor, "probabilities", counted)
    for part, one in zip(predict(run, pictures), whole, strict=True):
        assert part.source == one.source
        assert [guess.name for guess in part.guesses] == [guess.name for guess in one.guesses]
    assert seen == sizes


def test_what_cannot_be_read_does_not_stop_the_others(
    run: Run, pictures: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    found = list(predict(run, [pictures[0], broken, pictures[1]]))
    assert [bool(one.guesses) for one in found] == [True, False, True]
    assert found[1].source == str(broken)
    assert found[1].error.startswith("not an image of an allowed kind")
    alone = list(predict(run, [broken]))
    assert alone[0].error == found[1].error


def test_wrong_arguments_are_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="top is 0: allowed are whole numbers from 1"):
        predict(run, ["a.png"], top=0)
    with pytest.raises(InputError, match="no pictures given"):
        predict(run, [])
    with pytest.raises(InputError, match=r"no file or folder .*none\.png: check the path"):
        predict(run, [tmp_path / "none.png"])
    with pytest.raises(InputError, match=r"no file matches .*\*\.jpg: check the pattern"):
        predict(run, [tmp_path / "*.jpg"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    with pytest.raises(InputError, match=r"no pictures .* 1 files with other endings"):
        predict(run, [tmp_path / "texts"])
    with pytest.raises(InputError, match="no file or folder"):
        predict(run, ["\0"])


def test_folders_and_patterns_give_their_pictures_in_order(
    run: Run, pictures: list[Path], tmp_path: Path
) -> None:
    inner = tmp_path / "of [all] kinds"
    (inner / "deep").mkdir(parents=True)
    (inner / ".hidden").mkdir()
    for number, name in enumerate(("b.PNG", "a.png", "deep/c.png", ".hidden/d.png", "notes.txt")):
        (inner / name).write_bytes(pictures[number].read_bytes())

    def sources(*given: str | Path) -> list[str]:
        return [str(Path(one.source).relative_to(tmp_path)) for one in predict(run, given)]

    folder = ["of [all] kinds/a.png", "of [all] kinds/b.PNG", "of [all] kinds/deep/c.png"]
    assert sources(inner) == folder
    assert sources(tmp_path / "of*" / "**" / "*.png") == [folder[0], folder[2]]
    assert sources(tmp_path / "0[13].png", inner / "a.png") == ["01.png", "03.png", folder[0]]


@pytest.mark.parametrize(
    ("words", "model", "pictures"),
    [
        (["seven.png"], EXAMPLE, ["seven.png"]),
        (["seven.JPG", "other"], EXAMPLE, ["seven.JPG", "other"]),
        (["-"], EXAMPLE, ["-"]),
        (["photos/**/*.jpg"], EXAMPLE, ["photos/**/*.jpg"]),
        (["folder"], EXAMPLE, ["folder"]),
        (["folder", "run"], EXAMPLE, ["folder", "run"]),
        (["run", "seven.png"], Path("run"), ["seven.png"]),
        (["model.onnx", "-"], Path("model.onnx"), ["-"]),
        (["damaged", "seven.png"], Path("damaged"), ["seven.png"]),
        (["runs/typo", "seven.png"], Path("runs/typo"), ["seven.png"]),
    ],
)
def test_the_first_word_is_the_model_unless_it_is_clearly_pictures(
    words: list[str],
    model: Path,
    pictures: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in (("run", "run.json"), ("damaged", "weights.safetensors"), ("folder", "a")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    assert model_and_pictures(words) == (model, pictures)


@pytest.mark.parametrize("word", ["run", "model.onnx", "nowhere"])
def test_a_model_without_pictures_is_named(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    with pytest.raises(InputError, match=f"{word} is a model or nothing that is there: give pic"):
        model_and_pictures([word])
