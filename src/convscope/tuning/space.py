"""What a search varies: fields of a recipe, each with a range or with choices.

optimizer.lr=1e-4..1e-1:log      between both, evenly on a logarithmic scale
optimizer.momentum=0.8..0.99     evenly between both; whole numbers where the field has them
batch_size=32,64,128             one of these
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from convscope.documents import parse_json
from convscope.errors import InputError
from convscope.text import printable
from convscope.training.assignments import override
from convscope.training.recipe import Recipe

Value = str | int | float | bool
MOST_CHOICES = 100


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    field: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Whether the search can try `value`."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choices:
    """A few values."""

    field: str
    values: tuple[Value, ...]

    def holds(self, value: object) -> bool:
        """Whether the search can try `value`."""
        return value in self.values


Dimension = Range | Choices


def parse_dimensions(texts: Sequence[str], recipe: Recipe) -> list[Dimension]:
    """What `--vary` asks for, checked on `recipe`.

    Raises:
        InputError: a field that the recipe lacks, a value that it refuses, a range that is none.
    """
    found = [_parse(text, recipe) for text in texts]
    names = [one.field for one in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{printable(name)} is varied twice: give one --vary for it")
    return found


def default_dimensions(recipe: Recipe) -> list[Dimension]:
    """What is worth varying first: rates of learning, of decay, and the size of the batch."""
    rate, batch = recipe.optimizer.lr, recipe.batch_size
    found: list[Dimension] = [Range("optimizer.lr", rate / 10, rate * 10, log=True)]
    if recipe.optimizer.kind == "muon":
        own = recipe.optimizer.matrix_lr
        found.append(Range("optimizer.matrix_lr", own / 4, min(own * 4, 1.0), log=True))
    if decay := recipe.optimizer.weight_decay:
        found.append(Range("optimizer.weight_decay", decay / 10, decay * 10, log=True))
    sizes = sorted({max(batch // 2, 1), batch, batch * 2})
    return [*found, Choices("batch_size", tuple(sizes))]


def own_values(dimensions: Iterable[Dimension], recipe: Recipe) -> dict[str, Value]:
    """What the recipe itself has for the fields, as far as the search could try it."""
    found = {}
    for one in dimensions:
        value = _value_of(recipe, one.field)
        if one.holds(value):
            found[one.field] = value
    return found


def assignments(values: dict[str, Value]) -> list[str]:
    """The values as `--set` takes them."""
    return [f"{field}={_text(value)}" for field, value in values.items()]


def _parse(text: str, recipe: Recipe) -> Dimension:
    field, separator, values = text.partition("=")
    field = field.strip()
    if not separator or not field or not values:
        raise InputError(
            f"'{printable(text)}' is nothing to vary: write optimizer.lr=1e-4..1e-1:log or "
            "batch_size=32,64,128"
        )
    found = _range(field, values, recipe) if ".." in values else _choices(field, values)
    ends = found.values if isinstance(found, Choices) else (found.low, found.high)
    for value in ends:
        override(recipe, assignments({field: value}))
    return found


def _range(field: str, text: str, recipe: Recipe) -> Range:
    span, _, scale = text.partition(":")
    first, _, last = span.partition("..")
    try:
        low, high = float(first), float(last)
    except ValueError:
        low = high = math.nan
    log = scale == "log"
    if scale not in ("", "log") or not -math.inf < low < high < math.inf or (log and low <= 0):
        raise InputError(
            f"{printable(field)} is to be varied by '{printable(text)}'; allowed: two numbers, the "
            "lower first, such as 0.1..0.9, or above zero with :log behind them"
        )
    own = _value_of(recipe, field)
    whole = isinstance(own, int) and not isinstance(own, bool)
    if whole and not (low.is_integer() and high.is_integer()):
        raise InputError(f"{printable(field)} takes whole numbers; '{printable(text)}' has others")
    return Range(field, int(low) if whole else low, int(high) if whole else high, log, whole)


def _choices(field: str, text: str) -> Choices:
    values = tuple(dict.fromkeys(_value(part.strip()) for part in text.split(",")))
    if not 2 <= len(values) <= MOST_CHOICES:
        raise InputError(
            f"{printable(field)} has {len(values)} values to choose from; allowed are 2 to "
            f"{MOST_CHOICES}: separate them by commas, or use --set for a single one"
        )
    return Choices(field, values)


def _value(text: str) -> Value:
    try:
        value = parse_json(text.encode("utf-8", "surrogatepass"), "the value")
    except InputError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _value_of(recipe: Recipe, field: str) -> Any:
    document: Any = recipe.model_dump(mode="json")
    for key in field.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
