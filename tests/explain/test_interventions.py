"""Switched-off maps are zero, and only inside the block; replaced layers keep the weights."""

import threading
from typing import Any

import pytest
import torch
from test_tracing import picture, small
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.interventions import replaceable, replaced, switched_off
from convscope.explain.tracing import trace
from convscope.layers import Activation, Norm, Pad, Pool
from convscope.models import build, list_models

CIFAR: dict[str, Any] = {"width": 4, "hidden": 8}


def scores(model: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model.eval()(image[None])
    return result


def test_switching_off_equals_weights_of_zero() -> None:
    """C1's map 2 without filter and bias is zero after tanh: its filters in C3 see nothing."""
    model, without = build("lenet5", seed=1), build("lenet5", seed=1)
    image = picture(model)
    c1, c3 = without.get_submodule("c1"), without.get_submodule("c3")
    with torch.no_grad():
        c1.get_parameter("weight")[2] = 0
        c1.get_parameter("bias")[2] = 0
        c3.get_parameter("bias")[:] = model.get_parameter("c3.bias")
    before = scores(model, image)
    with switched_off(model, {"c1": [2]}):
        inside = scores(model, image)
        assert not trace(model, image)[2].output[2].any()
    assert torch.equal(inside, scores(without, image))
    assert not torch.equal(inside, before)
    assert torch.equal(scores(model, image), before)


def test_several_layers_units_and_nothing_at_all() -> None:
    model = build("lenet5", seed=1)
    image = picture(model)
    with switched_off(model, {"s4": list(range(1, 16)), "f6": [1, 5]}):
        steps = {step.name: step.output for step in trace(model, image)}
    assert not steps["s4"][1:].any()
    assert steps["s4"][0].any()
    assert not steps["f6"][[1, 5]].any()
    assert steps["f6"][[0, 2, 3, 4]].all()
    with switched_off(model, {"c1": []}):
        assert torch.equal(scores(model, image), scores(build("lenet5", seed=1), image))


def test_only_this_thread_is_affected_and_errors_leave_nothing_behind() -> None:
    model = build("lenet5", seed=1).eval()
    image = picture(model)
    before, others = scores(model, image), []

    def fail() -> None:
        with switched_off(model, {"c1": [0]}):
            thread = threading.Thread(target=lambda: others.append(scores(model, image)))
            thread.start()
            thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(others[0], before)
    assert torch.equal(scores(model, image), before)


def test_what_cannot_be_switched_off() -> None:
    model = build("lenet5")
    with pytest.raises(InputError, match="unknown layer 'c9'"), switched_off(model, {"c9": [0]}):
        pass
    for index in (6, -1):
        with (
            pytest.raises(InputError, match=f"map {index} of layer 'c1'; allowed: 0 to 5"),
            switched_off(model, {"c1": [index]}),
        ):
            scores(model, picture(model))
    with switched_off(model, {"c1": [6]}):
        pass  # nothing ran


def test_what_can_be_replaced() -> None:
    assert replaceable("lenet5") == ["pool", "padding", "activation"]
    assert replaceable("alexnet-2012") == ["pool", "padding", "norm", "activation"]
    assert all(replaceable(model.name) for model in list_models())


def test_other_pooling_and_activation_around_the_same_weights() -> None:
    model = build("lenet5", seed=5)
    image = picture(model)
    other = replaced(
        "lenet5",
        {},
        model.state_dict(),
        {"pool": {"layer": "pool", "kind": "average"}, "activation": Activation("relu")},
    )
    wanted = build("lenet5", {"pool": Pool("average"), "activation": Activation("relu")}, seed=9)
    wanted.load_state_dict(model.state_dict())
    assert not other.training
    assert torch.equal(scores(other, image), scores(wanted, image))
    assert not torch.equal(scores(other, image), scores(model, image))
    assert (
        other.get_parameter("c1.weight").data_ptr() != model.get_parameter("c1.weight").data_ptr()
    )


def test_subsampling_begins_as_the_mean_and_its_coefficients_go_with_it() -> None:
    average = build("lenet5", {"pool": Pool("average")}, seed=5)
    image = picture(average)
    trainable = replaced(
        "lenet5", {"pool": Pool("average")}, average.state_dict(), {"pool": Pool("subsampling")}
    )
    torch.testing.assert_close(scores(trainable, image), scores(average, image))
    published = build("lenet5-1998", seed=5)
    maximal = replaced("lenet5-1998", {}, published.state_dict(), {"pool": Pool("max")})
    steps = {step.name: step for step in trace(maximal, picture(published))}
    assert steps["s2"].kind == "pooling"
    again = replaced("lenet5-1998", {"pool": Pool("max")}, maximal.state_dict(), {})
    assert torch.equal(scores(again, image), scores(maximal, image))
    new = replaced(
        "lenet5-1998", {"pool": Pool("max")}, maximal.state_dict(), {"pool": Pool("subsampling")}
    )
    assert new.get_parameter("s2.weight").tolist() == [0.25] * 6


def test_unchanged_settings_give_the_same_network() -> None:
    model = small("alexnet-cifar", **CIFAR)
    same = replaced("alexnet-cifar", CIFAR, model.state_dict(), {"pool": Pool("max", 3, 2, 1)})
    assert torch.equal(scores(same, picture(model)), scores(model, picture(model)))


@pytest.mark.parametrize(
    ("name", "arguments", "changes", "message"),
    [
        (
            "lenet5",
            {},
            {"padding": Pad("same")},
            r"the weights of c5 were trained on maps of 16×5×5, and these settings give it "
            r"16×8×8; choose a kernel, stride and padding that leave 16×5×5",
        ),
        (
            "lenet5-1998",
            {},
            {"padding": {"layer": "pad", "kind": "same"}},
            "the weights of c5 were trained on maps of 16×5×5, and these settings give it 16×8×8",
        ),
        ("lenet5", {}, {"pool": Pool("max", 20)}, "input_size 32: C3 receives 1×1"),
        ("lenet5", {}, {"c3": "table"}, "unknown replaceable setting 'c3'"),
        ("lenet5", {}, {"pool": {"layer": "pool", "kind": "maxx"}}, "unknown pooling 'maxx'"),
        ("alexnet-cifar", CIFAR, {"norm": Norm("none")}, "conv1 needs a bias that was not trained"),
        (
            "alexnet-cifar",
            CIFAR | {"norm": Norm("none")},
            {"norm": Norm("batch")},
            "conv1 was trained with a bias, which it does not have",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_words(
    name: str, arguments: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    state = build(name, arguments).state_dict()
    with pytest.raises(InputError, match=message):
        replaced(name, arguments, state, changes)


def test_the_weights_of_another_model() -> None:
    state = build("lenet5", {"channels": 3}).state_dict()
    with pytest.raises(InputError, match="the weights of c1 are those of another model"):
        replaced("lenet5", {}, state, {})
