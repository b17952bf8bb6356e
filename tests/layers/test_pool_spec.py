"""Layer specs: JSON there and back, defaults, and what they refuse."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convscope.errors import InputError
from convscope.layers import Activation, Norm, Pad, Pool, Spec, spec_from_json
from convscope.layers import activation as activations
from convscope.layers import padding as paddings
from convscope.layers import pooling as poolings

OPTIONS: dict[str, dict[str, Any]] = {
    "lp": {"p": 4.0},
    "average": {"count_padding": True},
    "mixed": {"mix": 0.1, "learned": False},
    "blur": {"blur": 5},
}
WINDOWED = [kind for kind in poolings.KINDS if not kind.startswith(("global", "none"))]
SPECS: list[Spec] = [
    *(Pool(kind) for kind in poolings.KINDS),
    *(Pool(kind, (3, 2), (2, 1), (0, 1, 1, 0), kind != "blur", (1, 2)) for kind in WINDOWED),
    *(Pool(kind, padding="same", **options) for kind, options in OPTIONS.items()),
    *(Pad(kind) for kind in paddings.KINDS if kind != "explicit"),
    *(Pad("explicit", mode, sides=(1, 2, 0, 1)) for mode in ("zeros", "reflect", "circular")),
    Pad("explicit", "constant", -0.1, 3),
    *(Activation(kind) for kind in activations.KINDS),
    Norm("none"),
    Norm(size=3, k=1.0, alpha=1e-3, beta=0.5, divide=False),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_specs_survive_json(spec: Spec) -> None:
    data = json.loads(json.dumps(spec.to_json()))
    assert data["layer"] == spec.tag
    assert spec_from_json(data) == spec
    assert type(spec).from_json(data) == spec


@pytest.mark.parametrize("kind", poolings.KINDS)
def test_every_pool_runs_with_its_defaults(kind: str) -> None:
    x = torch.rand(2, 3, 8, 8)
    out = Pool(kind).build(3)(x)
    size = {"none": 8, "global-average": 1, "global-max": 1}.get(kind, 4)
    assert out.shape == (2, 3, size, size)
    assert torch.isfinite(out).all()


def test_every_spec_has_defaults() -> None:
    assert [type(spec()).__name__ for spec in (Pool, Pad, Activation, Norm)]
    assert Pool().build(1)(torch.zeros(1, 1, 2, 2)).shape == (1, 1, 1, 1)
    assert Pad().build()(torch.zeros(1, 1, 2, 2)).shape == (1, 1, 2, 2)
    assert Activation().build()(torch.zeros(2)).shape == (2,)
    assert Norm().build()(torch.zeros(1, 8, 2, 2)).shape == (1, 8, 2, 2)


def test_keys_left_out_take_their_default() -> None:
    assert spec_from_json({"layer": "pool", "kind": "max"}) == Pool("max")
    assert spec_from_json({"layer": "pool", "kernel": [3, 2]}) == Pool(kernel=(3, 2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "a layer is given as None; allowed: an object such as"),
        ([1], r"a layer is given as \[1\]"),
        ({}, "unknown layer 'None'.* Valid: activation, norm, pad, pool"),
        ({"layer": "pol"}, "unknown layer 'pol': did you mean 'pool'"),
        ({"layer": ["pool"]}, "unknown layer"),
        ({"layer": "pool", "kind": "mx"}, "unknown pooling 'mx': did you mean 'max'"),
        ({"layer": "pool", "kind": 3}, "unknown pooling '3'"),
        (
            {"layer": "pool", "kernal": 3},
            "setting of a 'pool' layer 'kernal': did you mean 'kernel'",
        ),
        ({"layer": "pool", "a\x1b[31m": 3}, r"'a\\x1b\[31m'"),
        (
            {"layer": "pool", "kernel": 0},
            "kernel is 0; allowed: a whole number from 1 to 1024",
        ),
        ({"layer": "pool", "kernel": 10**12}, "pooling kernel is 1000000000000; allowed"),
        ({"layer": "pool", "kernel": True}, "pooling kernel is True; allowed"),
        ({"layer": "pool", "kernel": "2"}, "pooling kernel is '2'; allowed"),
        (
            {"layer": "pool", "kernel": [1, 2, 3]},
            "kernel has 3 numbers; allowed: one, or two",
        ),
        ({"layer": "pool", "kernel": [[1], 2]}, r"pooling kernel is \[1\]; allowed"),
        ({"layer": "pool", "stride": 0}, "pooling stride is 0; allowed"),
        ({"layer": "pool", "padding": "sme"}, "unknown padding 'sme': did you mean 'same'"),
        (
            {"layer": "pool", "padding": 2},
            "padding is 2 for a window of 2; allowed: at most 1",
        ),
        (
            {"layer": "pool", "padding": [1, 1]},
            "padding has 2 numbers; allowed: one, or four",
        ),
        ({"layer": "pool", "padding": -1}, "pooling padding is -1; allowed"),
        ({"layer": "pool", "ceil": 1}, "pooling ceil is 1; allowed: true or false"),
        ({"layer": "pool", "p": 3}, r"'max' pooling does not use p \(only lp does\); leave it out"),
        (
            {"layer": "pool", "kind": "none", "kernel": 3},
            "does not use kernel .*no window",
        ),
        ({"layer": "pool", "kind": "global-max", "stride": 1}, "does not use stride"),
        (
            {"layer": "pool", "kind": "lp", "p": 0.5},
            "p is 0.5; allowed: a number from 1 to 64",
        ),
        ({"layer": "pool", "kind": "lp", "p": float("nan")}, "pooling p is nan; allowed"),
        ({"layer": "pool", "kind": "mixed", "mix": 2}, "pooling mix is 2; allowed"),
        ({"layer": "pool", "kind": "mixed", "mix": 1}, "to learn it, start between 0 and 1"),
        (
            {"layer": "pool", "kind": "blur", "blur": 1},
            "blur is 1; allowed: a whole number from 2",
        ),
        ({"layer": "pool", "kind": "blur", "ceil": True}, "'blur' pooling does not use ceil"),
        ({"layer": "pad", "kind": "smae"}, "unknown padding 'smae': did you mean 'same'"),
        ({"layer": "pad", "mode": "mirror"}, "unknown padding mode 'mirror'"),
        (
            {"layer": "pad", "kind": "explicit"},
            "'explicit' has sides None; 'explicit' needs",
        ),
        ({"layer": "pad", "kind": "same", "sides": 1}, "padding 'same' has sides 1"),
        ({"layer": "pad", "value": 1.0}, "padding value 1.0 is given with mode 'zeros'"),
        ({"layer": "pad", "kind": "explicit", "sides": [1, 2]}, "padding sides has 2 numbers"),
        ({"layer": "activation", "kind": "tahn"}, "unknown activation 'tahn': did you mean 'tanh'"),
        ({"layer": "norm", "kind": "bacth"}, "unknown normalisation 'bacth'"),
        ({"layer": "norm", "size": 0}, "normalisation size is 0; allowed"),
        ({"layer": "norm", "beta": "x"}, "normalisation beta is 'x'; allowed: a number"),
        ({"layer": "norm", "divide": 0}, "normalisation divide is 0; allowed"),
    ],
)
def test_bad_specs_say_what_is_allowed(data: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        spec_from_json(data)
    assert "\n" not in str(error.value)


def test_a_spec_of_another_layer_is_refused() -> None:
    with pytest.raises(InputError, match="a 'pad' layer stands where 'pool' is allowed"):
        Pool.from_json({"layer": "pad"})


NAMES = ["max", "same", "zeros", "tanh", "explicit", "mixed", "lp", "", "\x1b[31m"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NAMES)
JSON = SCALARS | st.lists(SCALARS | st.lists(SCALARS, max_size=2), max_size=4)
KEYS = [
    *("kind", "kernel", "stride", "padding", "ceil", "dilation", "p", "mix", "blur", "learned"),
    *("count_padding", "mode", "value", "sides", "size", "k", "divide"),
]


@given(
    st.sampled_from(["pool", "pad", "activation", "norm"]),
    st.dictionaries(st.sampled_from(KEYS), JSON, max_size=4),
)
def test_any_json_gives_a_spec_or_an_input_error(tag: str, values: dict[str, Any]) -> None:
    try:
        spec = spec_from_json({"layer": tag, **values})
    except InputError:
        return
    assert spec_from_json(spec.to_json()) == spec


def test_two_specs_cannot_share_a_tag() -> None:
    with pytest.raises(ValueError, match="two layer specs are tagged 'pool'"):

        class Pond(Spec, tag="pool"):
            pass
