"""Initial weights: what whitening filters and passing on mean, by what they do to images."""

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.models import build
from convscope.training.initial import LEAST_VARIANCE, patch_moments, set_initial
from convscope.training.recipe import Initial

PLAIN = Preprocessing(channels=3, size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
BOTH = Initial(whitening=True, identity=True)


def pictures(n: int = 12) -> npt.NDArray[np.uint8]:
    """Smooth random pictures, whose neighbouring pixels and channels are alike."""
    generator = np.random.default_rng(0)
    coarse = generator.normal(size=(n, 3, 8, 8)) + generator.normal(size=(n, 1, 8, 8))
    fine = coarse.repeat(4, axis=2).repeat(4, axis=3) * 30 + 128
    return (fine + generator.normal(size=fine.shape) * 4).clip(0, 255).astype(np.uint8)


def layer(model: nn.Module, name: str) -> Convolution:
    found = model.get_submodule(name)
    assert isinstance(found, Convolution)
    return found


def test_moments_equal_a_loop_over_windows() -> None:
    conv = Convolution(3, 8, 5)
    inputs = to_input(torch.from_numpy(pictures(3)), PLAIN).double()
    total, seen = np.zeros((75, 75)), 0
    for image in inputs.numpy():
        for row in range(0, 28, 3):
            for column in range(0, 28, 3):
                window = image[:, row : row + 5, column : column + 5].reshape(-1)
                total += np.outer(window, window)
                seen += 1
    found = patch_moments(conv, pictures(3), PLAIN)
    np.testing.assert_allclose(found.numpy(), total / seen, atol=1e-5)


def test_whitened_outputs_are_uncorrelated_with_variance_below_one() -> None:
    model = build("alexnet-cifar", {"width": 16})
    set_initial(model, Initial(whitening=True), pictures(), PLAIN)
    conv1 = layer(model, "conv1")
    moments = patch_moments(conv1, pictures(), PLAIN)
    filters = conv1.weight.detach().double().reshape(16, -1)
    outputs = filters[:8] @ moments @ filters[:8].T
    variances = torch.linalg.eigvalsh(moments).flip(0)[:8]
    expected = torch.diag(variances / (variances + LEAST_VARIANCE))
    torch.testing.assert_close(outputs, expected, atol=1e-4, rtol=0)
    assert torch.equal(filters[8:], -filters[:8])


def test_more_maps_than_components_keep_the_models_own_weights() -> None:
    model = build("alexnet-cifar", {"width": 200}, seed=3)
    own = layer(model, "conv1").weight.detach().clone()
    set_initial(model, Initial(whitening=True), pictures(), PLAIN)
    assert torch.equal(
        layer(model, "conv1").weight[150:], own[150:]
    )  # 75 components and their negatives
    assert not torch.equal(layer(model, "conv1").weight[:150], own[:150])


def test_identity_passes_the_input_maps_on() -> None:
    model = build("alexnet-cifar", {"width": 4}, seed=1)
    own = layer(model, "conv2").weight.detach().clone()
    set_initial(model, Initial(identity=True), pictures(), PLAIN)
    maps = torch.rand(2, 4, 9, 9)
    torch.testing.assert_close(layer(model, "conv2")(maps)[:, :4], maps)
    assert torch.equal(layer(model, "conv2").weight[4:], own[4:])
    narrower = torch.rand(2, 24, 9, 9)  # conv4 has 24 maps in and 16 out
    torch.testing.assert_close(layer(model, "conv4")(narrower), narrower[:, :16])


def test_nothing_else_changes() -> None:
    model, plain = (build("alexnet-cifar", {"width": 8}, seed=5) for _ in range(2))
    set_initial(model, BOTH, pictures(), PLAIN)
    changed = {
        key for key, value in plain.state_dict().items() if not value.equal(model.state_dict()[key])
    }
    assert changed == {f"conv{number}.weight" for number in range(1, 6)}
    set_initial(plain, Initial(), pictures(), PLAIN)


@pytest.mark.parametrize(
    ("layers", "initial", "words"),
    [
        ([nn.Linear(2, 2)], Initial(whitening=True), "whitening needs a first convolution"),
        ([Convolution(3, 3, 5, groups=3)], Initial(whitening=True), "sees all channels"),
        ([Convolution(3, 1, 5)], Initial(whitening=True), "2 maps or more"),
        ([Convolution(3, 4, 5)], Initial(identity=True), "identity needs a convolution behind"),
        ([Convolution(3, 4, 5), Convolution(4, 4, 2)], Initial(identity=True), "odd kernel"),
        ([Convolution(3, 4, 5), Convolution(4, 4, 3, stride=2)], Initial(identity=True), "stride"),
    ],
)
def test_models_without_such_layers_are_refused(
    layers: list[nn.Module], initial: Initial, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        set_initial(nn.Sequential(*layers), initial, pictures(), PLAIN)
