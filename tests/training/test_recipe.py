import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from convscope.errors import InputError
from convscope.recipes import RECIPES, recipe
from convscope.text import printable
from convscope.training.assignments import differences, override
from convscope.training.recipe import (
    Inputs,
    Loss,
    ModelChoice,
    Optimizer,
    Recipe,
    Schedule,
    recipe_from_json,
)

BASE = Recipe(name="base", model=ModelChoice(name="lenet5"))


def leaves(part: BaseModel, above: str = "") -> list[str]:
    """The dotted name of every field that holds a value."""
    names: list[str] = []
    for key in type(part).model_fields:
        value = getattr(part, key)
        inner = leaves(value, f"{above}{key}.") if isinstance(value, BaseModel) else []
        names += inner or [above + key]
    return names


def read(part: object, path: str) -> object:
    for key in path.split("."):
        part = part[key] if isinstance(part, dict) else getattr(part, key)
    return part


@pytest.mark.parametrize("part", [Inputs, Optimizer, Schedule, Loss])
def test_each_part_has_defaults(part: type[BaseModel]) -> None:
    assert part() == part.model_validate(part().model_dump())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    made = recipe(name)
    assert made.name == name
    text = json.dumps(made.model_dump(mode="json"), allow_nan=False)
    assert recipe_from_json(json.loads(text)) == made


def test_every_field_is_explained_to_users() -> None:
    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
    cells = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    explained = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert sorted(explained) == sorted(leaves(BASE))


@pytest.mark.parametrize("name", RECIPES)
def test_differences_make_one_recipe_of_another(name: str) -> None:
    base, wanted = recipe("lenet5"), recipe(name)
    made = override(base, differences(base, wanted))
    kept = {"name": base.name, "data": base.data, "seed": base.seed}
    assert made == wanted.model_copy(update=kept)
    assert differences(wanted, wanted) == []


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="Instance is frozen"):
        BASE.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Instance is frozen"):
        BASE.optimizer.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("optimizer.lr=0.004", "optimizer.lr", 0.004),
        ("optimizer.lr=4e-3", "optimizer.lr", 0.004),
        (" epochs =3", "epochs", 3),
        ("epochs=10000", "epochs", 10_000),
        ("seed=9223372036854775807", "seed", 2**63 - 1),
        ("keep=last", "keep", "last"),
        ('keep="last"', "keep", "last"),
        ("augmentation.flip=true", "augmentation.flip", True),
        ("optimizer.betas=[0.5, 0.9]", "optimizer.betas", (0.5, 0.9)),
        ("schedule.milestones=[1, 2.5]", "schedule.milestones", (1.0, 2.5)),
        ("schedule.milestones=[]", "schedule.milestones", ()),
        ('schedule={"kind": "cosine", "warmup": 0.1}', "schedule.kind", "cosine"),
        ("data=photos/a=b", "data", "photos/a=b"),
        ("name=other", "name", "other"),
        ("model.arguments.classes=7", "model.arguments", {"classes": 7}),
        ("model.arguments.pool.kind=max", "model.arguments", {"pool": {"kind": "max"}}),
        ('model.arguments={"pool": {"kind": [1]}}', "model.arguments", {"pool": {"kind": [1]}}),
        ("model.arguments.x=[1, {", "model.arguments", {"x": "[1, {"}),
    ],
)
def test_an_assignment_changes_its_field_alone(assignment: str, path: str, value: object) -> None:
    changed = override(BASE, [assignment])
    assert read(changed, path) == value
    top = path.split(".")[0]
    assert changed.model_dump(exclude={top}) == BASE.model_dump(exclude={top})


def test_assignments_are_made_in_order_and_the_recipe_is_left_alone() -> None:
    before = BASE.model_dump()
    changed = override(
        BASE,
        [
            "seed=1",
            "seed=2",
            "optimizer.kind=sgd",
            "optimizer.momentum=0.9",
            "optimizer.nesterov=true",
            "model.arguments.pool.kind=average",
            "model.arguments.pool.kernel=3",
        ],
    )
    assert changed.seed == 2
    assert changed.optimizer == Optimizer(kind="sgd", momentum=0.9, nesterov=True)
    assert changed.model.arguments == {"pool": {"kind": "average", "kernel": 3}}
    assert BASE.model_dump() == before
    assert override(BASE, []) == BASE


ALL = ", ".join(sorted(Recipe.model_fields))

ERRORS = [
    ("seed", "'seed' is no assignment: write field=value, for example optimizer.lr=0.004"),
    ("=5", "'=5' is no assignment: write field=value"),
    ("", "'' is no assignment"),
    ("sed=1", f"unknown recipe field 'sed': did you mean 'seed'? Valid: {ALL}"),
    ("qqq=1", f"unknown recipe field 'qqq': Valid: {ALL}"),
    (".=1", "unknown recipe field '.': Valid: "),
    ("optimiser.lr=1", "unknown recipe field 'optimiser.lr': did you mean 'optimizer'? Valid: "),
    ("optimizer.lrr=1", "field 'optimizer.lrr': did you mean 'optimizer.lr'? Valid: optimizer.be"),
    ("optimizer.=1", "unknown recipe field 'optimizer.':"),
    ("optimizer.lr.peak=1", "recipe field 'optimizer.lr.peak': 'lr' has no fields of its own"),
    ("a\x1b[2J=1", r"unknown recipe field 'a\x1b[2J':"),
    ("epochs=ten", "epochs: input should be a valid integer, unable to parse string as an inte"),
    ("epochs=2.5", "epochs: input should be a valid integer, got a number with a fractional pa"),
    ("epochs=0", "epochs: input should be greater than or equal to 1 (received 0)"),
    ("epochs=10001", "epochs: input should be less than or equal to 10000 (received 10001)"),
    ("epochs=[1]", "epochs: input should be a valid integer (received [1])"),
    ("epochs=null", "epochs: input should be a valid integer (received None)"),
    ("batch_size=0", "batch_size: input should be greater than or equal to 1 (received 0)"),
    ("seed=-1", "seed: input should be greater than or equal to 0 (received -1)"),
    ("seed=9223372036854775808", "seed: input should be less than 9223372036854775808 (received"),
    ("optimizer=5", "recipe field 'optimizer' has fields of its own: optimizer.kind, optimizer.lr"),
    ("model=lenet5", "recipe field 'model' has fields of its own: model.name, model.arguments"),
    ("lr=1", "unknown recipe field 'lr': did you mean optimizer.lr?"),
    ("kind=1", "did you mean optimizer.kind or schedule.kind or loss.kind?"),
    ('optimizer={"lrr": 1}', "optimizer.lrr: extra inputs are not permitted (received 1)"),
    (
        "optimizer.kind=lion",
        "optimizer.kind: input should be 'sgd', 'adam', 'adamw', 'muon' or 'sdlm' (received ",
    ),
    ("optimizer.lr=0", "optimizer.lr: input should be greater than 0 (received 0)"),
    ("optimizer.lr=NaN", "optimizer.lr: input should be a finite number (received "),
    ("optimizer.lr=1e999", "optimizer.lr: input should be a finite number (received "),
    ("optimizer.momentum=1", "optimizer.momentum: input should be less than 1 (received 1)"),
    ("optimizer.momentum=NaN", "optimizer.momentum: input should be less than 1 (received "),
    ("optimizer.betas=[0.9]", "optimizer.betas.1: field required (received [0.9])"),
    ("optimizer.betas=[1, 0.9]", "optimizer.betas.0: input should be less than 1 (received 1)"),
    (
        "optimizer.nesterov=true",
        "optimizer: nesterov needs kind=sgd or muon, and momentum above 0 (",
    ),
    ("inputs.fill=256", "inputs.fill: input should be less than or equal to 255 (received 256)"),
    ("schedule.warmup=1.5", "schedule.warmup: input should be less than or equal to 1 (received"),
    ("schedule.milestones=[-1]", "schedule.milestones.0: input should be greater than or equal"),
    ("loss.label_smoothing=1", "loss.label_smoothing: input should be less than 1 (received 1)"),
    ("validation=0.6", "validation: input should be less than or equal to 0.5 (received 0.6)"),
    ("validation=NaN", "validation: input should be less than or equal to 0.5 (received "),
    ("augmentation.shift=-1", "augmentation.shift: input should be greater than or equal to 0 ("),
    ("model.arguments=5", "model.arguments: input should be a valid dictionary (received 5)"),
]


@pytest.mark.parametrize(("assignment", "reason"), ERRORS, ids=[text for text, _ in ERRORS])
def test_what_cannot_be_is_answered_with_what_can(assignment: str, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        override(BASE, [assignment])
    message = str(caught.value)
    assert message == printable(message, 2000)
    assert len(message) < 700


def test_fields_that_contradict_each_other_are_named() -> None:
    with pytest.raises(InputError, match="recipe: patience needs a validation share above 0"):
        override(BASE, ["patience=3", "validation=0"])
    with pytest.raises(InputError, match="'kind' has no fields of its own"):
        override(BASE, ["model.arguments.kind=1", "model.arguments.kind.x=2"])


def test_several_faults_are_told_at_once() -> None:
    with pytest.raises(InputError, match=r"epochs: .* \(received 0\); batch_size: .* \(received 0"):
        override(BASE, ["epochs=0", "batch_size=0"])


@pytest.mark.parametrize("document", [None, 5, [], "lenet5", {}, {"name": "x"}])
def test_what_is_no_recipe_is_refused(document: object) -> None:
    with pytest.raises(InputError, match=r"^recipe cannot be used: (recipe|name|model): "):
        recipe_from_json(document)


@pytest.mark.parametrize(
    ("min_steps", "steps_per_epoch", "steps"),
    [(0, 1, 10), (99, 10, 100), (100, 10, 100), (101, 10, 101), (7, 1, 10), (700, 1, 700)],
)
def test_small_data_get_more_steps(min_steps: int, steps_per_epoch: int, steps: int) -> None:
    assert BASE.epochs == 10
    longer = override(BASE, [f"min_steps={min_steps}"])
    assert longer.total_steps(steps_per_epoch) == steps


def test_max_steps_ends_training_in_the_midst_of_an_epoch() -> None:
    shorter = override(BASE, ["max_steps=25", "epochs=10"])
    assert shorter.total_steps(10) == 25
    assert shorter.total_steps(2) == 20
    with pytest.raises(InputError, match=r"max_steps is less than min_steps \(30\)"):
        override(BASE, ["max_steps=25", "min_steps=30"])


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
anything = st.characters(exclude_categories=())
paths = (
    st.sampled_from([*leaves(BASE), "model", "optimizer", "model.arguments.x.y"])
    | st.text(anything)
    | st.lists(st.sampled_from(["model", "arguments", "optimizer", "lr", ""])).map(".".join)
)


@given(
    st.lists(
        st.tuples(paths, documents.map(json.dumps) | st.text(anything)).map("=".join), max_size=3
    )
)
@example(["model.arguments.x=NaN"])
@example(["model.arguments.x=1e999"])
@example(["model.arguments.x=" + "[" * 900 + "]" * 900])
@example(["model.arguments.x=" + "[" * 100_000])
@example(["model.arguments" + ".a" * 2_000 + "=1"])
@example(["optimizer.lr=1" + "0" * 400])
@example(["epochs=" + "1" * 5_000])
@example(["epochs" * 100_000 + "=1"])
@example(["name=\udcff"])
@example(['model={"\\u001f": null}', "model.name="])
def test_any_assignment_gives_a_recipe_that_can_be_saved_or_an_input_error(
    assignments: list[str],
) -> None:
    try:
        changed = override(BASE, assignments)
    except InputError as error:
        message = str(error)
    else:
        text = json.dumps(changed.model_dump(mode="json"), allow_nan=False)
        assert recipe_from_json(json.loads(text)) == changed
        return
    assert message == printable(message, 2000)
    assert len(message) < 1500
