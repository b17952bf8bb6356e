"""A trace is what the network computed, in the order of computation, and leaves nothing behind."""

import functools
import threading
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.tracing import KINDS, find, trace
from convscope.layers import Activation, Norm, Pool
from convscope.models import Classifier, build, list_models

SMALL = {"alexnet-2012": 95, "alexnet-bn": 95, "alexnet-owt": 95}
"""Input sizes at which the large networks are quick."""
NAMES = [model.name for model in list_models()]


def small(name: str, **arguments: object) -> Classifier:
    size = {"input_size": SMALL[name], "classes": 10} if name in SMALL else {}
    return build(name, size | arguments, seed=3)


shared = functools.lru_cache(maxsize=None)(small)
"""The same at its defaults, built once: for tests that leave it as it is."""


def picture(model: Classifier, seed: int = 0) -> Tensor:
    return torch.randn(model.input_shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_each_layer_turns_its_input_into_its_output_and_hands_it_on(name: str) -> None:
    model = shared(name).train()
    image = picture(model)
    steps = trace(model, image)
    assert all(module.training for module in model.modules())
    model.eval()
    with torch.no_grad():
        for step in steps:
            torch.testing.assert_close(step.module(step.input[None])[0], step.output)
        torch.testing.assert_close(model(image[None])[0], steps[-1].output)
    for one, other in pairwise(steps):
        assert torch.equal(one.output.flatten(), other.input.flatten())
        assert one.output.data_ptr() == other.input.data_ptr()  # held once
    assert torch.equal(steps[0].input, image)
    assert all(model.get_submodule(step.name) is step.module for step in steps)
    assert {step.kind for step in steps} <= set(KINDS)
    assert not any(module._forward_hooks for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_the_layers_of_the_published_lenet5() -> None:
    steps = trace(build("lenet5-1998"), torch.zeros(1, 32, 32))
    assert [(step.name, step.kind) for step in steps] == [
        ("c1", "convolution"),
        ("c1_activation", "activation"),
        ("s2", "subsampling"),
        ("s2_activation", "activation"),
        ("c3", "convolution"),
        ("c3_activation", "activation"),
        ("s4", "subsampling"),
        ("s4_activation", "activation"),
        ("c5", "convolution"),
        ("c5_activation", "activation"),
        ("f6", "linear"),
        ("f6_activation", "activation"),
        ("output", "rbf"),
    ]


def test_the_layers_of_an_alexnet_without_its_dropout_and_with_its_average() -> None:
    model = shared("alexnet-owt")
    names = [step.name for step in trace(model, picture(model))]
    assert names[:3] == ["conv1", "activation1", "pool1"]
    assert "average" in names
    assert not [name for name in names if "dropout" in name]


def test_the_programs_alexnet_pools_before_it_activates() -> None:
    model = small("alexnet-2012", variant="code")
    steps = trace(model, picture(model))
    assert [step.name for step in steps[:4]] == ["conv1", "norm1", "pool1", "activation1"]
    assert [step.kind for step in steps[4:8]] == ["convolution", "activation", "lrn", "lrn"]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ({"activation": Activation("identity")}, "c1_activation"),
        ({"pool": Pool("none"), "input_size": 12}, "s2"),
    ],
)
def test_layers_that_do_nothing_are_left_out(arguments: dict[str, object], missing: str) -> None:
    model = build("lenet5", arguments)
    assert missing not in {step.name for step in trace(model, torch.zeros(model.input_shape))}


def test_a_norm_is_named_by_its_kind() -> None:
    for norm, kind in ((Norm("within-map"), "lrn"), (Norm("batch"), "norm")):
        model = build("alexnet-cifar", {"norm": norm, "width": 4, "hidden": 8})
        assert find(steps := trace(model, picture(model)), "norm1") == 1
        assert steps[1].kind == kind


def test_a_layer_that_works_in_place_shows_what_it_was_given() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten())
    steps = trace(model, torch.randn(1, 5, 5, generator=torch.Generator().manual_seed(0)))
    assert [step.kind for step in steps] == ["convolution", "activation", "flatten"]
    assert steps[1].input.min() < 0
    assert torch.equal(steps[1].output, steps[1].input.relu())
    assert torch.equal(steps[0].output, steps[1].input)


def test_other_threads_do_not_leak_into_a_trace() -> None:
    """While one image is traced, the same model works on another in a second thread."""
    model = small("lenet5").eval()
    images = [picture(model, seed) for seed in range(2)]
    wanted = [trace(model, image) for image in images]
    results: dict[int, bool] = {}

    def work(index: int) -> None:
        good = True
        for _ in range(15):
            steps = trace(model, images[index])
            good &= [step.name for step in steps] == [step.name for step in wanted[index]]
            pairs = zip(steps, wanted[index], strict=False)
            good &= all(torch.equal(one.output, other.output) for one, other in pairs)
        results[index] = good

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {0: True, 1: True}


def test_an_image_of_another_shape_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="the image has shape 1 × 28 × 28; allowed: 1 × 32 × 32"):
        trace(build("lenet5"), torch.zeros(1, 28, 28))
    with pytest.raises(InputError, match="allowed: C × H × W, preprocessed"):
        trace(nn.Conv2d(1, 1, 1), torch.zeros(2, 1, 4, 4))


def test_an_unknown_layer_is_refused_with_the_nearest_name() -> None:
    steps = trace(build("lenet5"), torch.zeros(1, 32, 32))
    with pytest.raises(InputError, match=r"unknown layer 'c4': did you mean '\w+'\? Valid: c1,"):
        find(steps, "c4")
