"""Evaluating a run: single view first, the views that suit it, and files that tell the same."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscope.comparison import read_results
from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import view_score
from convscope.evaluation.results import Evaluation
from convscope.events import Event, Work
from convscope.reporting import digest, evaluate_run, suitable_views
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

CLASSES = tuple(f"kind {i}" for i in range(12))
WHOLE = Preprocessing(channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
CROPPED = WHOLE.model_copy(update={"size": (38, 36), "crop": (32, 32)})


def make_run(path: Path, preprocessing: Preprocessing, recipe: dict[str, Any]) -> Run:
    """A complete run of an untrained network."""
    path.mkdir()
    document = RunDocument(
        created="2026-01-01T00:00:00+00:00",
        convscope="test",
        model=ModelReference(name="lenet5", arguments={"channels": 3, "classes": 12}),
        preprocessing=preprocessing,
        classes=CLASSES,
        recipe=recipe,
        data=DataReference(name="made-up", source="made-up"),
        status="complete",
    )
    run = write_run(path, document)
    save_weights(run, build_model(document, seed=3).state_dict(), "weights.safetensors")
    return run


def made_up(preprocessing: Preprocessing, n: int = 24) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(
        name="made-up",
        split="test",
        images=rng.integers(0, 256, (n, 3, *preprocessing.size), dtype=np.uint8),
        labels=np.arange(n) % 12,
        classes=CLASSES,
    )


FLIP = {"augmentation": {"flip": True}}


@pytest.mark.parametrize(
    ("preprocessing", "recipe", "views"),
    [
        (CROPPED, {}, "ten-crop"),
        (CROPPED, FLIP, "ten-crop"),
        (WHOLE, FLIP, "mirrored"),
        (WHOLE, {"augmentation": {"flip": "alternating"}}, "mirrored"),
        (WHOLE, {"augmentation": {"flip": False}}, None),
        (WHOLE, {"augmentation": {"flip": "yes"}}, None),
        (WHOLE, {"augmentation": ["flip"]}, None),
        (WHOLE, {}, None),
    ],
)
def test_views_are_those_that_training_prepared_for(
    tmp_path: Path, preprocessing: Preprocessing, recipe: dict[str, Any], views: str | None
) -> None:
    assert suitable_views(make_run(tmp_path / "run", preprocessing, recipe)) == views


def test_views_stand_beside_the_single_view_and_in_every_file(tmp_path: Path) -> None:
    run, test = make_run(tmp_path / "run", CROPPED, FLIP), made_up(CROPPED)
    heard: list[Event] = []
    result = evaluate_run(run, test, write=True, robust=True, listen=heard.append)
    model = load_model(run)
    single = log_probabilities(model, test.images, CROPPED)
    ten = log_probabilities(model, test.images, CROPPED, views="ten-crop")
    assert result.accuracy == float((single.argmax(axis=1) == test.labels).mean())
    assert result.views == (view_score(ten, test.labels, name="ten-crop", count=10),)
    assert result.top5 is not None
    first = next(event for event in heard if isinstance(event, Evaluation))
    assert first.accuracy == result.accuracy
    assert not first.views  # the accuracy is told before the longer work
    labels = list(dict.fromkeys(event.label for event in heard if isinstance(event, Work)))
    assert labels == ["evaluating", "ten-crop views", "robustness curves"]
    assert read_results(run) == result
    with (run.path / "tables" / "scores.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(row["views"], float(row["accuracy"])) for row in table] == [
        ("single", result.accuracy),
        ("ten-crop", result.views[0].accuracy),
    ]
    report = (run.path / "report.html").read_text(encoding="utf-8")
    assert "With test-time views" in report
    assert "3 × 32 × 32<br>class" in report  # feature maps beside what the network sees
    assert json.loads((run.path / "results.json").read_text())["views"][0]["count"] == 10


def test_without_views_and_curves_nothing_else_is_measured(tmp_path: Path) -> None:
    run, test = make_run(tmp_path / "run", WHOLE, {}), made_up(WHOLE)
    before = sorted(run.path.iterdir())
    heard: list[Event] = []
    result = evaluate_run(run, test, write=False, robust=False, listen=heard.append)
    assert not result.views
    assert {event.label for event in heard if isinstance(event, Work)} == {"evaluating"}
    assert sorted(run.path.iterdir()) == before


def test_the_digest_is_over_all_images_and_labels() -> None:
    test = made_up(WHOLE, 2100)  # more than are read at a time
    whole = hashlib.sha256(np.asarray(test.images).tobytes() + test.labels.tobytes())
    assert digest(test) == whole.hexdigest()
