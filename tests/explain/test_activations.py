"""Feature maps and filters are the network's own, and taking them leaves no trace."""

import numpy as np
import pytest
import torch
from torch import nn

from convscope.errors import InputError
from convscope.explain.activations import feature_maps
from convscope.explain.filters import first_filters
from convscope.layers.convolution import Convolution
from convscope.models.registry import build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def test_lenet5_maps_equal_direct_calls(images: torch.Tensor) -> None:
    model = build("lenet5", seed=1)
    maps = feature_maps(model, images)
    assert {name: one.shape for name, one in maps.items()} == {
        "c1": (3, 6, 28, 28),
        "s2": (3, 6, 14, 14),
        "c3": (3, 16, 10, 10),
        "s4": (3, 16, 5, 5),
    }
    part = dict(model.named_children())
    with torch.no_grad():
        c1 = torch.tanh(part["c1"](images))
        s2 = part["s2"](c1)
        c3 = torch.tanh(part["c3"](s2))
        s4 = part["s4"](c3)
    for name, expected in {"c1": c1, "s2": s2, "c3": c3, "s4": s4}.items():
        assert maps[name].dtype == np.float32
        np.testing.assert_array_equal(maps[name], expected.numpy())


def test_published_lenet5_squashes_after_subsampling(images: torch.Tensor) -> None:
    model = build("lenet5-1998", seed=1)
    maps = feature_maps(model, images)
    assert list(maps) == ["c1", "s2", "c3", "s4"]  # C5's maps are single pixels
    part = dict(model.named_children())
    with torch.no_grad():
        squashed = 1.7159 * torch.tanh(2 / 3 * part["s2"](torch.from_numpy(maps["c1"])))
    np.testing.assert_allclose(maps["s2"], squashed.numpy(), rtol=1e-6, atol=1e-7)


def test_named_layers_give_their_own_outputs(images: torch.Tensor) -> None:
    model = build("lenet5", seed=1)
    maps = feature_maps(model, images.numpy(), ["c1"])
    assert list(maps) == ["c1"]
    with torch.no_grad():
        np.testing.assert_array_equal(maps["c1"], model.get_submodule("c1")(images).numpy())


def test_a_layer_that_works_in_place_does_not_change_what_was_kept() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    x = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    maps = feature_maps(model, x, ["0"])
    with torch.no_grad():
        direct = model[0](x).numpy()
    assert direct.min() < 0
    np.testing.assert_array_equal(maps["0"], direct)


def test_nested_modules_in_the_order_of_computation() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late = nn.MaxPool2d(2)
            self.early = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Tanh())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.late(self.early(x))
            return result

    maps = feature_maps(Net(), torch.zeros(1, 1, 4, 4))
    assert [(name, one.shape[2]) for name, one in maps.items()] == [("early.0", 4), ("late", 2)]


def test_model_is_left_as_it_was(images: torch.Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    model[1].eval()  # somebody has frozen this layer
    before = {name: value.clone() for name, value in model.state_dict().items()}
    feature_maps(model, images)
    assert [module.training for module in model] == [True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_hooks_are_removed_when_the_model_fails() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3))
    with pytest.raises(RuntimeError, match="channels"):
        feature_maps(model, torch.zeros(1, 1, 8, 8))
    assert not model[0]._forward_hooks
    assert model.training


def test_bad_input_is_named(images: torch.Tensor) -> None:
    model = build("lenet5")
    with pytest.raises(InputError, match=r"shape \(1, 32, 32\); allowed: a batch"):
        feature_maps(model, images[0])
    with pytest.raises(InputError, match="unknown layer 'c11': did you mean 'c1'"):
        feature_maps(model, images, ["c11"])
    with pytest.raises(InputError, match="layer 'f6' gives no feature maps"):
        feature_maps(model, images, ["f6"])


def test_first_filters_are_a_copy_of_the_first_convolutions_weights() -> None:
    model = build("lenet5", seed=3)
    filters = first_filters(model)
    assert filters is not None
    weight = model.get_submodule("c1").weight
    assert isinstance(weight, torch.Tensor)
    np.testing.assert_array_equal(filters, weight.detach().numpy())
    filters[:] = 0
    assert float(weight.detach().abs().max()) > 0


def test_missing_links_of_a_table_are_zero_filters() -> None:
    layer = Convolution(2, 2, 3, table=((0,), (0, 1)))
    filters = first_filters(nn.Sequential(layer))
    assert filters is not None
    assert filters.shape == (2, 2, 3, 3)
    assert not filters[0, 1].any()
    assert filters[0, 0].any()


def test_a_network_without_convolution_has_no_filters() -> None:
    assert first_filters(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) is None


def test_dropout_has_no_maps_of_its_own() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout2d(0.5), nn.MaxPool2d(2))
    assert list(feature_maps(model, torch.zeros(1, 1, 8, 8))) == ["0", "3"]


@pytest.mark.parametrize("name", ["alexnet-2012", "alexnet-bn", "alexnet-owt", "alexnet-cifar"])
def test_alexnets_show_filters_and_maps(name: str) -> None:
    model = build(name, {"classes": 3}, seed=0)
    filters = first_filters(model)
    assert filters is not None
    first = next(module for module in model.modules() if isinstance(module, Convolution))
    np.testing.assert_array_equal(filters, first.weight.detach().numpy())
    assert filters.shape[1] == 3
    maps = feature_maps(model, torch.zeros(1, *model.input_shape))
    convolutions = [key for key in maps if key.startswith("conv")]
    assert convolutions == [f"conv{i}" for i in range(1, 6)]
    assert maps["conv1"].shape[1] == len(filters)
    assert not [key for key in maps if "drop" in key]
    if name == "alexnet-2012":
        assert [maps[key].shape[1:] for key in convolutions] == [
            (96, 55, 55),
            (256, 27, 27),
            (384, 13, 13),
            (384, 13, 13),
            (256, 13, 13),
        ]
