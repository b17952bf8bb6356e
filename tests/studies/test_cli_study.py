"""`convscope study` as a user has it."""

import json
from functools import partial
from pathlib import Path

import pytest
from small_study import SMALL

from conftest import Inside
from convscope.studies.questions import STUDIES


@pytest.fixture
def inside(inside: Inside) -> Inside:
    """Run `convscope study` in this process."""
    return partial(inside, "study")


def test_without_a_name_the_questions_are_listed(inside: Inside) -> None:
    code, out, err = inside()
    assert (code, err) == (0, "")
    for name, study in STUDIES.items():
        assert name in out
        assert study.question in out


def test_the_list_as_json(inside: Inside) -> None:
    code, out, _ = inside("--json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)] == list(STUDIES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pooling-cots"], "unknown study 'pooling-cots': did you mean 'pooling-cost'"),
        (["missing.json"], "missing.json is missing"),
        (["pooling-cost", "--budget", "large"], "unknown budget 'large'"),
        (["pooling-cost", "--data", "nowhere"], "unknown data set 'nowhere'"),
    ],
)
def test_bad_input_is_said_in_one_line(inside: Inside, words: list[str], message: str) -> None:
    code, out, err = inside(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("error: ")
    assert message in err
    assert "Traceback" not in err


def test_what_is_not_done_is_not_measured(inside: Inside, tmp_path: Path) -> None:
    question = tmp_path / "small.json"
    question.write_text(json.dumps(SMALL))
    code, out, _ = inside(question, "--done")
    assert code == 0
    assert "NOT MEASURED" in out
    assert "0 of 2 seeds" in out


@pytest.mark.slow
def test_a_study_from_a_file_with_a_page(inside: Inside, tmp_path: Path) -> None:
    question = tmp_path / "small.json"
    question.write_text(json.dumps(SMALL))
    code, out, err = inside(question, "--report", "--seeds", "1", "--out", "found")
    assert code == 0
    assert "max pooling is better" in out
    assert "[test accuracy: max against average]" in out
    assert "1 of 1 seeds" in out
    assert "Traceback" not in err
    for kind in ("json", "csv", "html"):
        assert (tmp_path / "found" / f"small.{kind}").stat().st_size > 100
    code, out, _ = inside(question, "--seeds", "1", "--out", "found", "--json")
    assert code == 0
    assert json.loads(out)["study"] == "small"
