"""The small network of the studies: its ledger, and what each argument changes."""

from typing import Any

import pytest
import torch

from convscope.errors import InputError
from convscope.model_summary import anatomy
from convscope.models import build

NORM = {"layer": "norm", "kind": "batch"}


def test_parameters_of_the_ledger() -> None:
    found = {row.name: row.parameters for row in anatomy("ablation").layers if row.parameters}
    assert found == {
        "conv1": 608,  # 5·5·3·8 + 8
        "conv2": 1752,  # 3·3·8·24 + 24
        "conv3": 6944,  # 3·3·24·32 + 32
        "conv4": 9248,  # 3·3·32·32 + 32
        "conv5": 6936,  # 3·3·32·24 + 24
        "top.1": 49280,  # 24·4·4·128 + 128
        "top.4": 16512,  # 128·128 + 128
        "top.7": 1290,  # 128·10 + 10
    }
    assert anatomy("ablation").parameters == 92570


@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"layers": 4, "hidden": 142}, 92646),
        ({"layers": 3, "hidden": 154}, 92278),
        ({"layers": 2, "hidden": 56}, 92194),
        ({"columns": 2, "width": 10, "hidden": 112}, 93308),
        ({"columns": 2}, 83642),
        ({"norm": NORM}, 92570 + 2 * (8 + 24 + 32 + 32 + 24)),
        ({"head": "global-average"}, 608 + 1752 + 6944 + 9248 + 6936 + 24 * 10 + 10),
    ],
)
def test_parameters_that_the_studies_quote(arguments: dict[str, Any], parameters: int) -> None:
    assert anatomy("ablation", **arguments).parameters == parameters


def test_maps_are_as_drawn() -> None:
    sizes = {row.name: row.output_shape for row in anatomy("ablation").layers}
    assert sizes["conv1"] == (8, 32, 32)
    assert sizes["pool1"] == (8, 16, 16)
    assert sizes["pool2"] == (24, 8, 8)
    assert sizes["pool5"] == (24, 4, 4)


def test_two_columns_meet_in_the_third_layer_alone() -> None:
    """Half of conv1's maps are silenced: the second column is untouched until conv3."""
    model = build("ablation", {"columns": 2}).eval()
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    layers = dict(model.named_children())

    def maps(number: int, *, silenced: bool) -> torch.Tensor:
        y = x
        for layer in range(1, number + 1):
            y = layers[f"conv{layer}"](y)
            y = layers[f"pool{layer}"](layers[f"activation{layer}"](y))
            if layer == 1 and silenced:
                y = torch.cat([torch.zeros_like(y[:, :4]), y[:, 4:]], dim=1)
        return y

    with torch.no_grad():
        assert torch.equal(maps(2, silenced=True)[:, 12:], maps(2, silenced=False)[:, 12:])
        assert not torch.equal(maps(3, silenced=True)[:, 16:], maps(3, silenced=False)[:, 16:])


def test_response_normalisation_follows_the_activation_of_the_first_two_layers() -> None:
    norm = {"layer": "norm", "kind": "local-response"}
    names = [row.name for row in anatomy("ablation", norm=norm).layers]
    assert [name for name in names if name.startswith("response")] == ["response1", "response2"]
    assert names.index("response1") == names.index("conv1") + 1


def test_initial_weights_have_variance_two_by_fan_in() -> None:
    model = build("ablation", {"width": 32}, seed=1)
    for name, fan_in in (("conv3", 9 * 96), ("top.1", 96 * 16)):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        assert weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)
        assert not model.get_submodule(name).bias.any()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers": 1}, "layers is 1; allowed: a whole number from 2 to 8"),
        ({"head": "half"}, "unknown head 'half'"),
        ({"dropout": 1.0}, "dropout is 1.0; allowed: a number from 0 to 0.95"),
        ({"columns": 3}, "groups"),
    ],
)
def test_what_it_cannot_be_is_said(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        build("ablation", arguments)
