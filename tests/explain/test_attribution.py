"""Attributions against what can be worked out by hand, or holds by definition."""

import builtins
from typing import Any

import numpy as np
import pytest
import torch
from test_tracing import picture, small
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.attribution import METHODS, attribute
from convscope.layers import Activation, Convolution
from convscope.models import build

SHAPES = {
    "saliency": (3, 32, 32),
    "integrated-gradients": (3, 32, 32),
    "occlusion": (32, 32),
    "grad-cam": (32, 32),
}


class Weighted(nn.Module):
    """Scores that are weighted sums of the pixels: their gradient is the weight."""

    input_shape = (1, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(16, 2)
        self.fc.weight.data = torch.arange(-16.0, 16.0).view(2, 16)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.flatten(x))
        return scores


def test_a_linear_model_by_hand() -> None:
    model, image = Weighted(), torch.linspace(-1, 2, 16).view(1, 4, 4)
    weight = model.fc.weight.data[1].view(1, 4, 4).numpy()
    np.testing.assert_allclose(attribute(model, image, 1, "saliency"), np.abs(weight))
    found = attribute(model, image, 1, "integrated-gradients")
    np.testing.assert_allclose(found, weight * image.numpy(), rtol=1e-5)
    start = torch.full((1, 4, 4), 0.5)
    found = attribute(model, image, 1, "integrated-gradients", baseline=start)
    np.testing.assert_allclose(found, weight * (image.numpy() - 0.5), rtol=1e-4, atol=1e-5)


def test_occlusion_of_a_linear_model_by_hand() -> None:
    """Squares of 3, one pixel apart: the corner is covered by one, the rest by two or four."""
    model, image = Weighted(), torch.ones(1, 4, 4)
    found = attribute(model, image, 1, "occlusion")
    weights = np.arange(16.0).reshape(4, 4)
    losses = {(r, c): weights[r : r + 3, c : c + 3].sum() for r in range(2) for c in range(2)}
    assert found[0, 0] == pytest.approx(losses[0, 0])
    assert found[3, 3] == pytest.approx(losses[1, 1])
    assert found[1, 1] == pytest.approx(np.mean(list(losses.values())))


def test_integrated_gradients_add_up_to_the_score() -> None:
    model = build("lenet5", {"activation": Activation("tanh")}, seed=1)
    image = picture(model)
    with torch.no_grad():
        scores = model(torch.stack([image, torch.zeros_like(image)]))[:, 3]
    found = attribute(model, image, 3, "integrated-gradients")
    assert found.sum() == pytest.approx(float(scores[0] - scores[1]), rel=0.02)


def test_grad_cam_by_hand() -> None:
    """Two maps copy the image and its negative; the class is 2·mean(first) − mean(second).

    The mean gradients are 2/16 and −1/16, so the map is relu(2x/16 + x/16) = 3·relu(x)/16.
    """
    conv = Convolution(1, 2, 1, bias=False)
    conv.weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    head = nn.Linear(32, 1, bias=False)
    head.weight.data = torch.cat([torch.full((16,), 2 / 16), torch.full((16,), -1 / 16)])[None]
    model = nn.Sequential(conv, nn.Flatten(), head)
    image = torch.linspace(-1, 1, 16).view(1, 4, 4)
    found = attribute(model, image, 0, "grad-cam")
    np.testing.assert_allclose(found, 3 / 16 * image[0].relu(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_colours_leaves_the_model_as_it_was(method: str) -> None:
    model = small("alexnet-cifar", width=4, hidden=8).train()
    image = picture(model).requires_grad_()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = attribute(model, image, 2, method)
    assert found.shape == SHAPES[method]
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert image.grad is None
    assert all(module.training for module in model.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_grad_cam_passes_by_a_convolution_to_single_pixels() -> None:
    found = attribute(build("lenet5-1998", seed=1), torch.rand(1, 32, 32), 0, "grad-cam")
    assert found.shape == (32, 32)
    assert found.max() > found.min()


def test_what_cannot_be_attributed() -> None:
    model, image = build("lenet5"), torch.zeros(1, 32, 32)
    with pytest.raises(InputError, match="unknown method 'lime'"):
        attribute(model, image, 0, "lime")
    with pytest.raises(InputError, match="class 10; allowed: 0 to 9"):
        attribute(model, image, 10, "saliency")
    with pytest.raises(InputError, match="the image has shape 1 × 28 × 28"):
        attribute(model, image[:, 2:-2, 2:-2], 0, "saliency")
    with pytest.raises(InputError, match=r"the baseline has shape \(1, 2, 2\)"):
        attribute(model, image, 0, "occlusion", baseline=torch.zeros(1, 2, 2))
    with pytest.raises(InputError, match="grad-cam needs a convolution"):
        attribute(Weighted(), torch.zeros(1, 4, 4), 0, "grad-cam")


def test_without_captum_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "captum":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "convscope\[lab\]"'):
        attribute(build("lenet5"), torch.zeros(1, 32, 32), 0, "saliency")
