"""What a search varies, and what it refuses."""

import pytest

from convscope.errors import InputError
from convscope.recipes import recipe
from convscope.tuning.space import (
    Choices,
    Range,
    Value,
    assignments,
    default_dimensions,
    own_values,
    parse_dimensions,
)

LENET5 = recipe("lenet5")


def test_ranges_and_choices() -> None:
    found = parse_dimensions(
        [
            "optimizer.lr=1e-4..1e-1:log",
            "batch_size=32,64,128",
            "epochs=2..10",
            "optimizer.kind=sgd,adam",
            "augmentation.flip=true,false",
            "model.arguments.activation=a,b",
        ],
        LENET5,
    )
    assert found == [
        Range("optimizer.lr", 1e-4, 1e-1, log=True),
        Choices("batch_size", (32, 64, 128)),
        Range("epochs", 2, 10, whole=True),
        Choices("optimizer.kind", ("sgd", "adam")),
        Choices("augmentation.flip", (True, False)),
        Choices("model.arguments.activation", ("a", "b")),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optimizer.lr", "is nothing to vary: write optimizer.lr=1e-4"),
        ("optimizer.lr=", "is nothing to vary"),
        ("optimizer.lt=0.1..1", "unknown recipe field 'optimizer.lt'.* did you mean"),
        ("optimizer.lr=1..0.1", "two numbers, the lower first"),
        ("optimizer.lr=0..1:log", "above zero with :log"),
        ("optimizer.lr=a..b", "two numbers, the lower first"),
        ("optimizer.lr=nan..1", "two numbers, the lower first"),
        ("optimizer.lr=0.1..inf", "two numbers, the lower first"),
        ("optimizer.lr=0.1..1:linear", "allowed: two numbers"),
        ("optimizer.lr=-1..1", "greater than 0"),
        ("batch_size=1.5..3", "takes whole numbers"),
        ("batch_size=32", "1 values to choose from; allowed are 2 to 100"),
        ("batch_size=32,32", "1 values to choose from"),
        ("batch_size=32,none", "valid integer"),
        ("\x1b[31m=1..2", "unknown recipe field"),
    ],
)
def test_what_cannot_be_varied_says_why(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_dimensions([text], LENET5)
    assert "\x1b" not in str(caught.value)


def test_a_field_is_varied_once() -> None:
    with pytest.raises(InputError, match="batch_size is varied twice"):
        parse_dimensions(["batch_size=1,2", "batch_size=3,4"], LENET5)


def test_by_default_rates_and_batch_are_varied() -> None:
    rate, matrix_rate, batch = default_dimensions(LENET5)
    assert isinstance(rate, Range)
    assert (rate.field, rate.log) == ("optimizer.lr", True)
    assert (rate.low, rate.high) == pytest.approx((0.01, 1.0))
    assert matrix_rate == Range("optimizer.matrix_lr", 0.02, 0.32, log=True)
    assert batch == Choices("batch_size", (80, 160, 320))
    names = [one.field for one in default_dimensions(recipe("alexnet-cifar"))]
    assert names == ["optimizer.lr", "optimizer.matrix_lr", "optimizer.weight_decay", "batch_size"]


def test_the_recipe_itself_is_tried_where_it_can_be() -> None:
    dimensions = parse_dimensions(["optimizer.lr=0.2..1", "batch_size=32,160"], LENET5)
    assert own_values(dimensions, LENET5) == {"batch_size": 160}  # its rate is 0.1


def test_values_are_written_as_set_takes_them() -> None:
    values: dict[str, Value] = {"a": 0.00012345678, "b": True, "c": 64, "d": "sgd"}
    assert assignments(values) == ["a=0.000123457", "b=true", "c=64", "d=sgd"]
