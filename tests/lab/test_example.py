"""The run that the package carries, so that the lab never opens empty."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Inside
from convscope.data.loading import load
from convscope.evaluation.inference import log_probabilities
from convscope.lab.runs import Runs
from convscope.predictor import EXAMPLE
from convscope.run import load_model, open_run

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def test_the_example_reads_digits() -> None:
    run = open_run(EXAMPLE)
    digits = load("mnist-sample").test  # MNIST's, and so perhaps among those it was trained on
    scores = log_probabilities(load_model(run), digits.images, run.document.preprocessing)
    assert float(np.mean(scores.argmax(1) == digits.labels)) > 0.98


def test_the_example_is_whole_and_small_and_names_no_place() -> None:
    results = json.loads((EXAMPLE / "results.json").read_text("utf-8"))
    assert results["n"] == 10_000
    assert results["accuracy"] > 0.995
    names = {"run.json", "metrics.jsonl", "results.json", "weights.safetensors", "report.html"}
    assert names <= {path.name for path in EXAMPLE.iterdir()}
    assert sum(path.stat().st_size for path in EXAMPLE.rglob("*") if path.is_file()) < 700_000
    document = open_run(EXAMPLE).document
    assert (document.recipe["name"], document.data.source) == ("lenet5-best", "mnist")


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST is not at {MNIST}")
def test_the_example_is_as_good_as_it_says() -> None:
    run, test = open_run(EXAMPLE), load(MNIST).test
    scores = log_probabilities(load_model(run), test.images, run.document.preprocessing)
    right = int((scores.argmax(1) == test.labels).sum())
    said = json.loads((EXAMPLE / "results.json").read_text("utf-8"))["accuracy"]
    assert abs(right / len(test) - said) <= 1e-4  # an image between two classes


def test_predict_asks_the_example_where_no_model_is_named(inside: Inside, tmp_path: Path) -> None:
    digits = load("mnist-sample").test
    for row in range(20):
        Image.fromarray(digits.images[row, 0]).save(tmp_path / f"{row:02}.png")
    code, out, err = inside("predict", tmp_path, "--json")
    assert code == 0
    assert "no model is named: the LeNet-5 of the package reads digits" in err
    found = [json.loads(line)["guesses"][0]["name"] for line in out.splitlines()]
    right = sum(a == digits.classes[b] for a, b in zip(found, digits.labels[:20], strict=True))
    assert right >= 19


def test_without_other_runs_the_example_is_shown(tmp_path: Path) -> None:
    assert Runs(root=tmp_path / "runs").current() == "example"
