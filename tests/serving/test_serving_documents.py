"""The pages about serving and security name what there is."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convscope.cli import app
from convscope.data.preprocess import Preprocessing
from convscope.serving import app as serving_app
from convscope.serving import pipeline, server
from convscope.serving.about import About
from convscope.serving.metrics import Metrics
from convscope.serving.openapi import openapi
from convscope.web import guard, protocol

ROOT = Path(__file__).parents[2]
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
SECURITY = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def contract() -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    how = Preprocessing(channels=1, size=(28, 28), mean=(0.5,), std=(0.5,))
    about = About("m", "s", ("a", "b"), how, None)
    document: dict[str, dict[str, dict[str, dict[str, object]]]]
    document = openapi(about, version="1", token=True, max_body=1)
    return document


def test_every_address_and_status_is_described() -> None:
    for path, operations in contract()["paths"].items():
        assert f"{path}`" in SERVING or f"{path}?" in SERVING, path
        for operation in operations.values():
            responses = operation["responses"]
            assert isinstance(responses, dict)
            for status in responses:
                assert status == "200" or f"| {status} |" in SERVING


def test_every_metric_is_described() -> None:
    for name in re.findall(r"# TYPE (\S+)", Metrics().to_text()):
        assert f"`{name}" in SERVING, name


def test_every_option_is_described() -> None:
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    options = set(re.findall(r"--[a-z-]+", shown)) - {"--help", "--data-binary", "--port"}
    assert len(options) >= 7
    for option in options:
        assert option in SERVING, option


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("| `--batch` | pictures in a batch; fewer where the network's memory says so | {} |", 64),
        ("| `--queue` | pictures on their way at once; who comes then gets 503 | {} |", 256),
        ("| | connections | {}; as many again", protocol.MOST_CONNECTIONS),
        ("| | all files that are held at once | {} MB |", guard.MAX_BODIES // 2**20),
        ("| `--max-mb` | a file | {} MB |", serving_app.MAX_BODY // 2**20),
        ("| {} megapixels |", pipeline.MAX_PIXELS // 10**6),
        ("its body, its answer | {}, ", int(protocol.HEAD_SECONDS)),
        (", {} and ", int(serving_app.BODY_SECONDS)),
        (" and {} s |", int(pipeline.ANSWER_SECONDS)),
    ],
)
def test_the_bounds_are_those_of_the_program(words: str, value: int) -> None:
    assert words.format(value) in SERVING
    assert server.Limits() == server.Limits(batch=64, waiting=256, body=16 * 2**20, threads=1)


def test_every_test_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:tests|benchmarks)/[^` ]+)", SECURITY + SERVING))
    assert len(named) > 20
    for name in named:
        assert (ROOT / name).exists(), name
