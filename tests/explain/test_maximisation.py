"""Gradient ascent raises what it should, and repeats itself exactly."""

import numpy as np
import pytest
import torch
from test_tracing import small
from torch import nn

from convscope.errors import InputError
from convscope.explain.maximisation import maximise
from convscope.explain.tracing import find, trace
from convscope.layers import Convolution
from convscope.models import build


def mean_of(model: nn.Module, image: np.ndarray, layer: str, index: int) -> float:
    steps = trace(model, torch.from_numpy(image))
    return float(steps[find(steps, layer)].output[index].mean())


@pytest.mark.parametrize(("layer", "index"), [("c1", 2), ("c3_activation", 7), ("output", 4)])
def test_the_map_answers_more_than_to_noise(layer: str, index: int) -> None:
    model = build("lenet5", seed=1).train()
    image = maximise(model, layer, index, steps=40)
    assert model.training
    assert image.shape == (1, 32, 32)
    assert image.dtype == np.float32
    assert np.abs(image).max() <= 3
    rng = np.random.default_rng(0)
    noise = [
        mean_of(model, rng.normal(size=image.shape).astype(np.float32), layer, index)
        for _ in range(20)
    ]
    assert mean_of(model, image, layer, index) > max(noise)


def test_a_filter_that_likes_brightness_gets_it() -> None:
    layer = Convolution(3, 1, 3, bias=False)
    layer.weight.data.fill_(1.0)
    image = maximise(nn.Sequential(layer), "0", 0, steps=60, shape=(3, 16, 16))
    assert (image[:, 4:-4, 4:-4] > 2).all()


def test_the_same_seed_gives_the_same_image() -> None:
    model = small("alexnet-cifar", width=4, hidden=8)
    one, again = (maximise(model, "conv2", 3, steps=5, seed=1) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, maximise(model, "conv2", 3, steps=5, seed=2))


def test_what_cannot_be_maximised() -> None:
    model = build("lenet5")
    with pytest.raises(InputError, match="unknown layer 'c9'"):
        maximise(model, "c9", 0)
    with pytest.raises(InputError, match="map 6 of layer 'c1'; allowed: 0 to 5"):
        maximise(model, "c1", 6)
    with pytest.raises(InputError, match="steps is 0; allowed: a whole number from 1 to 1024"):
        maximise(model, "c1", 0, steps=0)
    with pytest.raises(InputError, match="Sequential does not say what it takes; give shape"):
        maximise(nn.Sequential(nn.Conv2d(1, 1, 1)), "0", 0)
