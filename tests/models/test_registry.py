"""The registry: names, arguments from JSON, seeds, and construction without allocation."""

import json
from typing import Any

import pytest
import torch

from convscope.errors import InputError
from convscope.layers import Activation, Pad, Pool
from convscope.models import (
    Classifier,
    arguments_json,
    build,
    convert_arguments,
    get_model,
    lenet5,
    list_models,
    register,
)

MODELS = list_models()
NAMES = ["lenet5", "lenet5-1998", "lenet5-keras"]


def test_models_are_listed_with_what_they_are() -> None:
    listed = {model.name: model for model in list_models()}
    assert set(NAMES) <= set(listed)
    assert [model.name for model in list_models()] == sorted(listed)
    assert listed["lenet5"].input_shape == (1, 32, 32)
    assert listed["lenet5-keras"].input_shape == (1, 28, 28)
    for model in listed.values():
        assert "\n" not in model.description
        assert model.description.endswith(".")


def each_model() -> list[Any]:
    """Every model; those for large images have 60 million weights and gradients."""
    marks = {model.name: [pytest.mark.slow] * (model.input_shape[1] > 64) for model in MODELS}
    return [pytest.param(model, marks=marks[model.name], id=model.name) for model in MODELS]


@pytest.mark.parametrize("model", each_model())
def test_every_model_scores_with_its_defaults(model: Any) -> None:
    network = build(model.name)
    assert network.input_shape == model.input_shape
    x = torch.randn(2, *network.input_shape)
    scores = network(x)
    assert scores.shape == (2, network.classes)
    scores.sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_weights_and_the_global_generator_is_left_alone(name: str) -> None:
    before = torch.get_rng_state()
    one, two, other = build(name, seed=3), build(name, seed=3), build(name, seed=4)
    assert torch.equal(before, torch.get_rng_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        three = build(name, seed=3)
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key])
        assert torch.equal(value, three.state_dict()[key])
    weight = one.state_dict()["c1.weight"]
    assert not torch.equal(weight, other.state_dict()["c1.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_meta_construction_allocates_nothing(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    real = build(name)
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in real.state_dict().items()
    }


ARGUMENTS: dict[str, Any] = {
    "classes": 7,
    "channels": 3,
    "input_size": 40,
    "pool": Pool("average", 3, 2),
    "padding": Pad("same", "reflect"),
    "activation": Activation("relu"),
}


@pytest.mark.parametrize("name", NAMES)
def test_arguments_survive_json(name: str) -> None:
    text = json.dumps(arguments_json(ARGUMENTS))
    assert convert_arguments(name, json.loads(text)) == ARGUMENTS
    model = build(name, json.loads(text))
    assert model.input_shape == (3, 40, 40)
    x = torch.randn(2, 3, 40, 40)
    assert model(x).shape == (2, 7)
    assert torch.equal(model(x), build(name, ARGUMENTS)(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clases": 3}, r"unknown argument of lenet5 'clases': did you mean 'classes'\?"),
        ({"x\n": 3}, r"'x\\n'"),
        ({"classes": 0}, "classes is 0; allowed: a whole number from 1 to 100000"),
        ({"classes": 10**9}, "classes is 1000000000; allowed: a whole number from 1 to 100000"),
        ({"classes": 1e1}, r"classes is 10\.0; allowed: a whole number"),
        ({"classes": True}, "classes is True; allowed: a whole number"),
        ({"classes": "10"}, "classes is '10'; allowed: a whole number"),
        ({"classes": None}, "classes is None; allowed: a whole number"),
        ({"channels": 2}, r"channels is 2; allowed: 1 \(grey\) or 3 \(RGB\)"),
        ({"input_size": 10**6}, "input_size is 1000000; allowed: a whole number from 1 to 1024"),
        ({"pool": "max"}, "a layer is given as 'max'; allowed: an object such as"),
        ({"pool": {"layer": "pad"}}, "a 'pad' layer stands where 'pool' is allowed"),
        ({"pool": {"layer": "pool", "kind": "maxx"}}, "unknown pooling 'maxx'"),
        ({"activation": {"layer": "pool"}}, "a 'pool' layer stands where 'activation'"),
        ({"c3": "paper"}, "unknown c3 'paper': Valid: dense, table"),
        ({"c3": 1}, "c3 is 1; allowed: a text"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        build("lenet5", arguments)
    assert "\n" not in str(error.value)


def test_unknown_models_are_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown model 'lenet': did you mean 'lenet5'"):
        build("lenet")
    with pytest.raises(InputError, match=r"unknown model '\\x1b\[31m'"):
        get_model("\x1b[31m")


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**63])
def test_bad_seeds(seed: Any) -> None:
    with pytest.raises(InputError, match=r"seed is .*; allowed: a whole number from 0"):
        build("lenet5", seed=seed)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="two models are named 'lenet5'"):
        register("lenet5")(lenet5)
    assert get_model("lenet5").function is lenet5


def test_a_classifier_alone_computes_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Classifier(classes=2, channels=1, input_size=4)(torch.zeros(1, 1, 4, 4))
