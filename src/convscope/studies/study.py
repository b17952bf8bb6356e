"""A study: one question as data. Recipes, one changed field, seeds, probes, and what is claimed.

A study is a JSON document, so that anyone can write one; `docs/studies.md` shows how. Nothing here
trains: `running.py` does.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from convscope.documents import parse_json, read_regular_file
from convscope.errors import InputError, unknown_name
from convscope.recipes import recipe as recipe_by_name
from convscope.studies.all_probes import check_probe
from convscope.studies.images import Images
from convscope.text import printable
from convscope.training.assignments import override
from convscope.training.recipe import Recipe, Teachers, describe, recipe_from_json

TUNING_SEED = 1_000_000
"""Of the trainings that choose a learning rate: none of those that are measured."""
TUNING_SHARE = 0.2


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Part):
    """One variant.

    Attributes:
        name: for tables.
        set: fields of the recipe and their values, such as `model.arguments.pool`.
        images: fields of the study's images that are different here.
        control: here to hold equal what the change moves as well, such as the size of the maps.
        note: what a reader should know of it.
    """

    name: str = Field(max_length=60)
    set: dict[str, Any] = Field(default_factory=dict)
    images: dict[str, Any] = Field(default_factory=dict)
    control: bool = False
    note: str = ""


class Comparison(_Part):
    """Two arms, or an arm and a number, in one measure; and what the claim expects.

    Attributes:
        measure: what is compared.
        arm: the arm that the claim speaks of.
        reference: the arm it is compared with; or `constant`, a number; or `other`, another
            measure of the same arm.
        kind: the effect is arm − reference, or arm / reference.
        expect: what the claim says of the arm: `more`, `less`, or the `same` within `margin`.
        margin: the smallest effect that would matter, in the measure's unit (a ratio's distance
            from 1 where `kind` is ratio).
        condition: where it was compared, in a word or two, where a claim is tried in several ways.
    """

    measure: str
    arm: str
    reference: str = ""
    constant: float | None = None
    other: str = ""
    kind: Literal["difference", "ratio"] = "difference"
    expect: Literal["more", "less", "same"]
    margin: float = Field(default=0.0, ge=0)
    condition: str = ""

    @model_validator(mode="after")
    def _one_reference(self) -> "Comparison":
        given = [bool(self.reference), self.constant is not None, bool(self.other)]
        if sum(given) != 1:
            raise ValueError("give one of reference, constant and other")
        return self


class Claim(_Part):
    """A sentence that can be wrong, and the comparisons that try it.

    Attributes:
        id: unique among all claims.
        quote: a few words of who claims it.
        source: where they stand.
        comparisons: if they do not agree, the verdict is 'depends'.
        published: figures of others, with their source.
        comment: what a reader should know of our figure.
    """

    id: str = Field(max_length=60, pattern=r"^[a-z0-9-]+$")
    quote: str
    source: str = ""
    comparisons: tuple[Comparison, ...] = Field(min_length=1)
    published: str = ""
    comment: str = ""


class Budget(_Part):
    """How much is computed: images, epochs and seeds of each arm; 0 images are all.

    Where `steps` is given, every arm takes so many, in place of `epochs`.
    """

    train: int = Field(default=4000, ge=0)
    test: int = Field(default=1000, ge=0)
    epochs: int = Field(default=3, ge=1, le=1000)
    steps: int = Field(default=0, ge=0)
    seeds: int = Field(default=5, ge=1, le=1000)


class Tune(_Part):
    """Each arm takes the value that does best, tried on four fifths of its training images.

    Attributes:
        field: of the recipe.
        values: that are tried.
        by: what is highest: `validation_accuracy`, on the fifth that is held out, or
            `train_accuracy`, in the last epoch, where the question is how fast a network learns.
    """

    field: str = "optimizer.lr"
    values: tuple[float, ...] = Field(min_length=1)
    by: Literal["validation_accuracy", "train_accuracy"] = "validation_accuracy"


class Curve(_Part):
    """A chart: for each arm the mean of several measures, against a number."""

    title: str
    x_label: str
    x: tuple[float, ...]
    measures: tuple[str, ...]


class Study(_Part):
    """A question and how it is answered.

    Attributes:
        name: what users type.
        question: one sentence.
        topic: `pooling`, `padding`, `lenet5`, `alexnet`, or a user's own.
        changed: what differs between the arms, in words.
        recipe: what is common to all arms: a recipe's name or a whole recipe.
        set: fields of it that all arms change.
        images: of all arms.
        trained: whether the networks are trained; else they are only looked at.
        probes: what is measured: names, or objects with a `probe` and its arguments.
        arms: the variants.
        tune: a field that is chosen for each arm.
        quick, full: what the two budgets are.
        claims: what is tried.
        held_equal: what all arms share, in words.
        method: how it was measured, in words.
        curves: charts besides those of the claims.
        timing: whether seconds are measured, so that nothing may run beside.
    """

    name: str = Field(max_length=60, pattern=r"^[a-z0-9][a-z0-9-]*$")
    question: str
    topic: str = "own"
    changed: str = ""
    recipe: str | Recipe = "study-digits"
    set: dict[str, Any] = Field(default_factory=dict)
    images: Images = Images()
    trained: bool = True
    probes: tuple[dict[str, Any], ...] = ({"probe": "accuracy"},)
    arms: tuple[Arm, ...] = Field(min_length=1, max_length=100)
    tune: Tune | None = None
    quick: Budget = Budget()
    full: Budget = Budget(train=0, test=0, epochs=5, seeds=10)
    claims: tuple[Claim, ...] = ()
    held_equal: str = ""
    method: str = ""
    curves: tuple[Curve, ...] = ()
    timing: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        data = dict(data)
        if isinstance(data.get("probes"), list | tuple):
            data["probes"] = tuple(
                {"probe": one} if isinstance(one, str) else one for one in data["probes"]
            )
        return data

    @model_validator(mode="after")
    def _names_are_known(self) -> "Study":
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError("two arms have one name")
        for claim in self.claims:
            for one in claim.comparisons:
                for name in (one.arm, *([one.reference] if one.reference else [])):
                    if name not in names:
                        raise ValueError(f"claim {claim.id} speaks of an arm '{name}'")
        for wanted in self.probes:
            check_probe(str(wanted.get("probe")), wanted.keys() - {"probe"})
            against = wanted.get("against")
            if isinstance(against, str) and against not in names:
                raise ValueError(f"a probe speaks of an arm '{against}'")
        return self

    def arm(self, name: str) -> Arm:
        """The arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)

    def base(self, budget: Budget) -> Recipe:
        """The recipe that all arms share."""
        chosen = _recipe(self.recipe)
        fixed = {"name": "study", "data": "mnist-sample", "epochs": budget.epochs}
        if budget.steps:
            fixed |= {"min_steps": budget.steps, "max_steps": budget.steps}
        return change(chosen.model_copy(update=fixed), self.set)

    def recipe_of(self, arm: Arm, budget: Budget, tuned: float | None = None) -> Recipe:
        """The recipe of one arm."""
        chosen = change(self.base(budget), arm.set)
        if self.tune is not None and tuned is not None:
            chosen = change(chosen, {self.tune.field: tuned})
        return chosen

    def images_of(self, arm: Arm, budget: Budget, sources: Mapping[str, str]) -> Images:
        """The images of one arm; `sources` says what stands for digits and pictures."""
        sizes = {"train": budget.train, "test": budget.test}
        merged = self.images.model_dump() | sizes | arm.images
        merged["source"] = sources.get(merged["source"], merged["source"])
        try:
            return Images.model_validate(merged)
        except ValidationError as error:
            raise InputError(describe(error, f"images of arm {arm.name}")) from None


STUDY_RECIPES: dict[str, dict[str, Any]] = {
    # What is common to most studies: short, one thread, nothing held out, the last weights.
    "study-digits": {
        "name": "study",
        "model": {"name": "lenet5"},
        "batch_size": 64,
        "optimizer": {"kind": "adam", "lr": 0.004},
        "schedule": {"kind": "one-cycle", "warmup": 0.2, "start": 0.04},
    },
    "study-pictures": {
        "name": "study",
        "model": {"name": "ablation"},
        "batch_size": 64,
        "optimizer": {"kind": "adam", "lr": 0.003},
        "schedule": {"kind": "one-cycle", "warmup": 0.2, "start": 0.04},
    },
}
_COMMON: dict[str, Any] = {
    "validation": 0.0,
    "stuck_after": 0,
    "keep": "last",
    "keep_epochs": False,
    "threads": 1,
    "device": "cpu",
    "min_steps": 0,
    "teachers": Teachers(),
}


def _recipe(chosen: str | Recipe) -> Recipe:
    if isinstance(chosen, Recipe):
        found = chosen
    elif chosen in STUDY_RECIPES:
        found = recipe_from_json(STUDY_RECIPES[chosen])
    else:
        found = recipe_by_name(chosen)
    return found.model_copy(update=_COMMON)


def change(recipe: Recipe, fields: Mapping[str, Any]) -> Recipe:
    """`recipe` with fields replaced, each named by its path.

    Raises:
        InputError: an unknown field or a value out of range.
    """
    return override(recipe, [f"{path}={json.dumps(value)}" for path, value in fields.items()])


def study_from_json(document: object) -> Study:
    """The study in `document`.

    Raises:
        InputError: naming the field, what was received and what is allowed.
    """
    try:
        return Study.model_validate(document)
    except ValidationError as error:
        raise InputError(describe(error, "study")) from None


def read_study(path: Path) -> Study:
    """A user's study from a JSON file. Raises InputError where it cannot be used."""
    return study_from_json(parse_json(read_regular_file(path), printable(path)))


def chosen_studies(name: str, studies: Mapping[str, Study]) -> list[Study]:
    """The study called `name`, all of them, or the one in the JSON file of that name.

    Raises:
        InputError: none of that name; the valid ones are listed. A file that cannot be used.
    """
    if name == "all":
        return list(studies.values())
    if name in studies:
        return [studies[name]]
    if name.endswith(".json"):
        return [read_study(Path(name))]
    raise unknown_name("study", printable(name), [*studies, "all"])
