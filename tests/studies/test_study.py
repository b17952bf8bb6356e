"""Studies as data: what is taken, and what is refused with which words."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import SMALL, small_study

from convscope import models
from convscope.errors import InputError
from convscope.studies.images import DEFAULTS
from convscope.studies.questions import STUDIES
from convscope.studies.study import (
    Budget,
    chosen_studies,
    read_study,
    study_from_json,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_study.json"


def test_an_arm_changes_its_fields_and_nothing_else() -> None:
    study, budget = small_study(), Budget(epochs=7)
    base = study.base(budget)
    first, second = (study.recipe_of(arm, budget) for arm in study.arms)
    assert first == base
    assert (base.epochs, base.batch_size, base.validation, base.keep) == (7, 40, 0.0, "last")
    changed = second.model_dump() | {"model": base.model_dump()["model"]}
    assert changed == base.model_dump()
    assert second.model.arguments == {"pool": {"layer": "pool", "kind": "average"}}


def test_steps_take_the_place_of_epochs() -> None:
    study, budget = small_study(), Budget(epochs=7, steps=90)
    for arm in study.arms:
        recipe = study.recipe_of(arm, budget)
        assert (recipe.min_steps, recipe.max_steps) == (90, 90)


def test_budget_and_arm_decide_the_images() -> None:
    study = small_study(
        arms=[{"name": "a"}, {"name": "b", "images": {"source": "pictures", "train": 30}}],
        claims=[],
    )
    first, second = (
        study.images_of(arm, study.quick, {"digits": "one", "pictures": "two"})
        for arm in study.arms
    )
    assert (first.source, first.train, first.test) == ("one", 200, 100)
    assert (second.source, second.train, second.test) == ("two", 30, 100)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "two arms have one name"),
        ({"arms": [{"name": "a"}]}, "claim small-max speaks of an arm 'max'"),
        ({"probes": ["acuracy"]}, "unknown probe 'acuracy': did you mean 'accuracy'"),
        ({"probes": [{"probe": "locate"}]}, "the probe locate needs the argument 'layers'"),
        ({"probes": [{"probe": "noise", "of": 1}]}, "unknown argument of the probe noise 'of'"),
        ({"colour": 1}, "colour: extra inputs are not permitted"),
        ({"quick": {"seeds": 0}}, "quick.seeds: input should be greater than or equal to 1"),
        ({"name": "Not A Name"}, "name: string should match pattern"),
        ({"arms": []}, "arms: tuple should have at least 1 item"),
    ],
)
def test_a_study_that_cannot_be_used_says_why(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match="study cannot be used") as caught:
        study_from_json({**SMALL, **change})
    assert words in str(caught.value)


def test_a_comparison_has_one_reference() -> None:
    claims = json.loads(json.dumps(SMALL["claims"]))
    claims[0]["comparisons"][0]["constant"] = 1.0
    with pytest.raises(InputError, match="give one of reference, constant and other"):
        study_from_json({**SMALL, "claims": claims})


def test_an_unknown_field_of_a_recipe_is_named() -> None:
    study = small_study(arms=[{"name": "a", "set": {"optimizer.rate": 1}}], claims=[])
    with pytest.raises(InputError, match="unknown recipe field 'optimizer\\.rate'"):
        study.recipe_of(study.arms[0], study.quick)


def test_studies_are_chosen_by_name_or_file(tmp_path: Path) -> None:
    assert len(chosen_studies("all", STUDIES)) == len(STUDIES)
    assert chosen_studies("pooling-cost", STUDIES)[0].name == "pooling-cost"
    with pytest.raises(InputError, match="did you mean 'pooling-cost'"):
        chosen_studies("pooling-costs", STUDIES)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(SMALL))
    assert chosen_studies(str(path), STUDIES) == [small_study()]
    with pytest.raises(InputError, match=r"none\.json is missing"):
        chosen_studies(str(tmp_path / "none.json"), STUDIES)
    path.write_text('{"name": NaN}')
    with pytest.raises(InputError, match="NaN is no JSON number"):
        read_study(path)


def test_the_example_of_the_documentation_is_a_study() -> None:
    assert read_study(EXAMPLE).name == "my-pooling"
    text = (EXAMPLE.parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")
    assert "examples/my_study.json" in text


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_run(name: str) -> None:
    """Each arm's recipe and network are built (without memory), in both budgets."""
    study = STUDIES[name]
    assert study.name == name
    assert study.question.endswith("?")
    assert study.changed
    assert study.held_equal
    assert study.method
    for budget in (study.quick, study.full):
        for arm in study.arms:
            recipe = study.recipe_of(arm, budget)
            images = study.images_of(arm, budget, DEFAULTS)
            colours = 1 if images.source == "mnist-sample" else 3
            with torch.device("meta"):
                models.build(recipe.model.name, recipe.model.arguments | {"channels": colours})
            assert recipe.threads == 1
            assert recipe.validation == 0.0


def test_every_arm_of_a_study_is_another() -> None:
    for study in STUDIES.values():
        recipes = [
            (study.recipe_of(arm, study.quick), study.images_of(arm, study.quick, DEFAULTS))
            for arm in study.arms
        ]
        assert all(recipes.count(one) == 1 for one in recipes), study.name


def test_claims_have_names_of_their_own() -> None:
    ids = [claim.id for study in STUDIES.values() for claim in study.claims]
    assert len(set(ids)) == len(ids) >= 35
