"""`docs/claims.md` and the committed results: every figure follows from the rows behind it."""

import re
from pathlib import Path
from typing import Any

import pytest

from convscope.studies.claims import claims_markdown, command, read_all
from convscope.studies.questions import STUDIES
from convscope.studies.results import FORMAT
from convscope.studies.verdicts import claim_verdict, effects_of, underpowered

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "studies" / "results"
DOCUMENTS = {document["study"]: document for document in read_all(RESULTS)}


def test_every_study_has_results_and_every_result_a_study() -> None:
    assert set(DOCUMENTS) == set(STUDIES)
    assert {path.stem for path in RESULTS.glob("*.json")} == set(STUDIES)


def test_the_page_is_made_from_the_results() -> None:
    """python -m convscope.studies.claims studies/results docs/claims.md"""
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    assert page == claims_markdown(list(DOCUMENTS.values()))


def test_there_are_many_claims_each_with_a_command() -> None:
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| “")]
    assert len(rows) == sum(len(study.claims) for study in STUDIES.values()) >= 35
    commands = re.findall(r"^`convscope study ([a-z0-9-]+) .*`$", page, flags=re.MULTILINE)
    assert commands == list(STUDIES)


@pytest.mark.parametrize("name", STUDIES)
def test_figures_follow_from_the_rows(name: str) -> None:
    """Effects, intervals and verdicts are computed again from every seed's row."""
    study, document = STUDIES[name], DOCUMENTS[name]
    values: dict[str, dict[int, dict[str, float]]] = {arm.name: {} for arm in study.arms}
    for row in document["rows"]:
        values[row["arm"]][row["seed"]] = row["measures"]
    exact = not study.trained and not study.timing
    again = effects_of(study.claims, values, exact=exact)
    for claim, committed, effects in zip(study.claims, document["claims"], again, strict=True):
        assert committed["quote"] == claim.quote
        assert committed["published"] == claim.published
        assert committed["effects"] == [effect.to_json() for effect in effects]
        assert committed["verdict"] == claim_verdict(effects)
        assert committed["seeds_needed"] == underpowered(effects)


@pytest.mark.parametrize("name", STUDIES)
def test_results_say_where_they_come_from(name: str) -> None:
    document = DOCUMENTS[name]
    made: dict[str, Any] = document["made"]
    assert document["format"] == FORMAT
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", made["date"])
    assert made["processor"]
    assert set(made["versions"]) == {"convscope", "torch", "numpy"}
    assert all(re.fullmatch("[0-9a-f]{64}", one["sha256"]) for one in document["data"])
    assert name in command(document)
    assert all(one["name"] and "/" not in one["name"] for one in document["data"])


def test_claims_are_measured_or_say_that_they_are_not() -> None:
    """A study without rows claims nothing; at least 35 claims have a figure."""
    measured = 0
    for document in DOCUMENTS.values():
        for claim in document["claims"]:
            found = [effect for effect in claim["effects"] if effect["effect"] is not None]
            measured += bool(found)
            assert bool(found) == (claim["verdict"] != "not measured"), claim["id"]
            if any(effect["n"] == 1 and not effect["exact"] for effect in found):
                assert claim["seeds_needed"] is not None, "one pair decides nothing"
    assert measured >= 35


def test_the_sign_of_anti_aliasing_is_the_published_one() -> None:
    """78.18 → 83.31 % consistency (Zhang 2019): more with anti-aliased pooling."""
    claims = {claim["id"]: claim for claim in DOCUMENTS["pooling-invariance"]["claims"]}
    (effect,) = claims["blur-more-consistent"]["effects"]
    assert effect["effect"] > 0


def test_errata_name_studies_that_exist() -> None:
    text = (ROOT / "docs" / "errata.md").read_text(encoding="utf-8")
    named = re.findall(r"convscope study ([a-z0-9-]+)", text)
    assert len(named) > 10
    assert set(named) <= set(STUDIES)
    for path in re.findall(r"`(tests/[\w/]+\.py)`", text):
        assert (ROOT / path).exists()
