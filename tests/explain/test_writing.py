"""The files of an explanation: complete, equal to the network's own numbers, in a safe place."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import small_recipe, start_run
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing, normalise, resize
from convscope.errors import InputError
from convscope.explain.tracing import trace
from convscope.explain.writing import explain_image
from convscope.models import build
from convscope.run import (
    DataReference,
    ModelReference,
    Run,
    RunDocument,
    load_model,
    save_weights,
    write_run,
)
from hostile_names import NAMES


@pytest.fixture
def run(tmp_path: Path, few_digits: Dataset) -> Run:
    """A run of LeNet-5 with its first weights, as if it had been trained."""
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    save_weights(run, build("lenet5", seed=3).state_dict(), "weights.safetensors")
    return run.with_changes(status="complete")


@pytest.fixture
def digit(tmp_path: Path, few_digits: Dataset) -> Path:
    path = tmp_path / "digit.png"
    Image.fromarray(few_digits.images[11, 0]).save(path)
    return path


def files(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_files_of_a_digit(run: Run, digit: Path, tmp_path: Path, few_digits: Dataset) -> None:
    before = files(run.path)
    out = tmp_path / "new" / "explanation"
    written = explain_image(run, digit, out, training=few_digits, neighbours=3)
    names = ["feature-maps.png", "attributions.png", "neighbours.png", "explanation.json"]
    assert written == [out / name for name in names]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert files(run.path) == before
    for path in written[:-1]:
        with Image.open(path) as picture:
            picture.load()
            assert picture.width > 600
            assert len(picture.convert("L").getcolors() or []) > 20
    facts = json.loads((out / "explanation.json").read_text("utf-8"))
    image = torch.from_numpy(normalise(few_digits.images[11:12], run.document.preprocessing)[0])
    steps = trace(load_model(run), image)
    assert [layer["name"] for layer in facts["layers"]] == [step.name for step in steps]
    assert facts["layers"][3]["receptive"] == {"size": [14, 14], "jump": [2, 2], "start": [0, 0]}
    probabilities = steps[-1].output.softmax(0)
    assert facts["predicted"] == few_digits.classes[int(probabilities.argmax())]
    assert facts["probabilities"][facts["predicted"]] == pytest.approx(float(probabilities.max()))
    nearest = facts["neighbours"]["nearest"]
    assert (nearest[0]["index"], nearest[0]["distance"]) == (11, pytest.approx(0, abs=1e-4))
    assert (len(nearest), facts["neighbours"]["compared"]) == (3, 200)
    assert set(facts["attributions"]) == {
        "saliency", "integrated-gradients", "occlusion", "grad-cam"
    }  # fmt: skip


def test_less_on_request_and_nothing_left_of_what_was_more(
    run: Run, digit: Path, tmp_path: Path, few_digits: Dataset
) -> None:
    out = tmp_path / "out"
    explain_image(run, digit, out, training=few_digits, methods=["saliency"], compared=7)
    assert json.loads((out / "explanation.json").read_text())["neighbours"]["compared"] == 7
    written = explain_image(run, digit, out, methods=[], class_name="4")
    assert sorted(out.iterdir()) == sorted(written)
    facts = json.loads((out / "explanation.json").read_text())
    assert (facts["explained"], facts["neighbours"], facts["attributions"]) == ("4", None, {})
    assert facts["files"] == ["feature-maps.png"]


def test_pictures_of_others_in_the_same_place_stay(run: Run, digit: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "neighbours.png").write_bytes(b"my own")
    explain_image(run, digit, out, methods=[])
    assert (out / "neighbours.png").read_bytes() == b"my own"


def test_colours_and_hostile_class_names(tmp_path: Path) -> None:
    classes = tuple(dict.fromkeys(NAMES))[:10]
    preprocessing = Preprocessing(channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    arguments = {"classes": len(classes), "width": 4, "hidden": 8}
    path = tmp_path / "run"
    path.mkdir()
    run = write_run(
        path,
        RunDocument(
            created="2026-01-01T00:00:00+00:00",
            convscope="test",
            model=ModelReference(name="alexnet-cifar", arguments=arguments),
            preprocessing=preprocessing,
            classes=classes,
            recipe={},
            data=DataReference(name="x", source=str(tmp_path / "data")),
            status="complete",
        ),
    )
    model = build("alexnet-cifar", arguments, seed=1)
    save_weights(run, model.state_dict(), "weights.safetensors")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    explain_image(run, tmp_path / "picture.png", tmp_path / "out", methods=["grad-cam"])
    facts = json.loads((tmp_path / "out" / "explanation.json").read_text("utf-8"))
    image = torch.from_numpy(normalise(resize(pixels, preprocessing)[None], preprocessing)[0])
    best = int(trace(model, image)[-1].output.argmax())
    assert facts["predicted"] == classes[best]


def test_places_that_are_refused(run: Run, digit: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "class").mkdir(parents=True)
    mine = run.with_changes(data=DataReference(name="mine", source=str(data)))
    for place in (data, data / "class", data / "new"):
        with pytest.raises(InputError, match="lies inside the data: give a place outside of"):
            explain_image(mine, digit, place)
    assert files(data) == {}
    taken = digit.rename(tmp_path / "feature-maps.png")
    content = taken.read_bytes()
    with pytest.raises(InputError, match=r"feature-maps.png would be replaced: give another"):
        explain_image(run, taken, tmp_path)
    with pytest.raises(InputError, match=r"feature-maps.png is no directory"):
        explain_image(run, taken, taken, methods=[])
    assert taken.read_bytes() == content


def test_what_cannot_be_explained(run: Run, digit: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="unknown class 'seven'"):
        explain_image(run, digit, out, class_name="seven")
    with pytest.raises(InputError, match="unknown method 'lime'"):
        explain_image(run, digit, out, methods=["lime"])
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match=r"text\.png"):
        explain_image(run, tmp_path / "text.png", out)
    assert not out.exists()
