"""alexnet-2012 against its paper, its authors' program, and two columns written by hand."""

import math
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers import Convolution, LocalResponseNorm, Norm, Pool
from convscope.model_summary import anatomy
from convscope.models import Classifier, build

UNITS = {"conv1": 290_400, "conv2": 186_624, "conv3": 64_896, "conv4": 64_896, "conv5": 43_264}
UNITS |= {"fc6": 4096, "fc7": 4096, "fc8": 1000}


@cache
def network(variant: str) -> Classifier:
    """One network of each kind, which no test changes."""
    return build("alexnet-2012", {"variant": variant}, seed=1).eval()


def plan(**arguments: Any) -> Classifier:
    """The network without its weights."""
    with torch.device("meta"):
        return build("alexnet-2012", arguments)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_parameters_and_units_layer_by_layer(variant: str) -> None:
    rows = {row.name: row for row in anatomy("alexnet-2012", variant=variant).layers}
    assert {name: row.parameters for name, row in rows.items() if row.parameters} == {
        "conv1": 34_944,
        "conv2": 307_456,
        "conv3": 885_120,
        "conv4": 663_936,
        "conv5": 442_624,
        "fc6": 37_752_832,
        "fc7": 16_781_312,
        "fc8": 4_097_000,
    }
    assert sum(row.parameters for row in rows.values()) == 60_965_224
    assert {name: math.prod(rows[name].output_shape) for name in UNITS} == UNITS
    assert sum(UNITS.values()) == 659_272


@pytest.mark.parametrize("size", [224, 227])
def test_sizes_and_receptive_fields(size: int) -> None:
    rows = {row.name: row for row in anatomy("alexnet-2012", (3, size, size)).layers}
    places = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    fields = [11, 19, 51, 67, 99, 131, 163, 195]
    assert [rows[place].receptive_field for place in places] == [(n, n) for n in fields]
    assert rows["pool5"].stride == (32, 32)
    shapes = [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)]
    assert [rows[place].output_shape for place in places] == [(m, n, n) for m, n in shapes]
    assert rows["conv4"].kind == "convolution in 2 groups"
    assert rows["conv4"].multiply_adds == 13 * 13 * 384 * 192 * 9


@given(st.integers(11, 1024))
@settings(deadline=None)
def test_conv1s_size_is_the_programs_ceil(size: int) -> None:
    conv1 = network("paper").get_submodule("conv1")
    assert isinstance(conv1, Convolution)
    programs = 1 + math.ceil((size - 11) / 4)
    assert conv1.output_size(size, size) == (programs, programs)


def test_every_other_size_is_the_programs_at_224_and_227() -> None:
    for size in (55, 27, 13):
        programs = math.ceil((size - 3) / 2) + 1
        assert Pool("max", 3, 2).grid().output(size, size) == (programs, programs)


def columns(x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """Two convolutions that do not see each other, each with half of the maps."""
    one, two = x.chunk(2, 1)
    upper, lower = weight.chunk(2)
    first, second = bias.chunk(2)
    return torch.cat(
        [F.conv2d(one, upper, first, 1, padding), F.conv2d(two, lower, second, 1, padding)], 1
    )


def torchs_norm(x: Tensor, scale: float) -> Tensor:
    """Torch divides alpha by 5 by itself."""
    return F.local_response_norm(x, 5, 1e-4 * scale, 0.75, 2.0)


def within(x: Tensor) -> Tensor:
    """The program's second normalisation: squares summed by a convolution of ones."""
    maps = x.shape[1]
    total = F.conv2d(x**2, torch.ones(maps, 1, 5, 5), padding=2, groups=maps)
    return x / (1 + 1e-3 / 25 * total) ** 0.75


def by_hand(x: Tensor, w: dict[str, Tensor], variant: str) -> Tensor:
    x = F.pad(x, (0, 3, 0, 3))  # 227, of which the last windows see what is there
    x = F.conv2d(x, w["conv1.weight"], w["conv1.bias"], stride=4)
    if variant == "paper":
        x = F.max_pool2d(torchs_norm(x.relu(), 5), 3, 2)
        x = columns(x, w["conv2.weight"], w["conv2.bias"], 2).relu()
        x = F.max_pool2d(torchs_norm(x, 5), 3, 2)
    else:
        x = torch.cat([torchs_norm(column, 1) for column in x.chunk(2, 1)], 1)
        x = F.max_pool2d(x, 3, 2).relu()
        x = columns(x, w["conv2.weight"], w["conv2.bias"], 2).relu()
        x = torch.cat([torchs_norm(column, 1) for column in x.chunk(2, 1)], 1)
        x = F.max_pool2d(within(x), 3, 2)
    x = F.conv2d(x, w["conv3.weight"], w["conv3.bias"], 1, 1).relu()
    x = columns(x, w["conv4.weight"], w["conv4.bias"], 1).relu()
    x = columns(x, w["conv5.weight"], w["conv5.bias"], 1).relu()
    x = F.max_pool2d(x, 3, 2).flatten(1)
    x = F.linear(x, w["fc6.weight"], w["fc6.bias"]).relu()
    x = F.linear(x, w["fc7.weight"], w["fc7.bias"]).relu()
    return F.linear(x, w["fc8.weight"], w["fc8.bias"])


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_equals_two_columns_written_by_hand(variant: str) -> None:
    model = network(variant)
    x = 100 * torch.randn(1, 3, 224, 224)  # as raw images: the normalisation has work to do
    with torch.no_grad():
        ours, theirs = model(x), by_hand(x, model.state_dict(), variant)
        other = by_hand(x, model.state_dict(), "code" if variant == "paper" else "paper")
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (theirs - other).abs().max() > 100 * (theirs - ours).abs().max()


@pytest.mark.parametrize(("variant", "inner"), [("paper", 0.01), ("code", 0.03)])
def test_initial_weights(variant: str, inner: float) -> None:
    for layer in UNITS:
        weight = network(variant).get_parameter(f"{layer}.weight").detach()
        bias = network(variant).get_parameter(f"{layer}.bias").detach()
        sd = inner if layer in ("conv3", "conv4", "conv5") else 0.01
        n = weight.numel()
        assert weight.mean().abs() < 5 * sd / math.sqrt(n)
        assert weight.std().item() == pytest.approx(sd, rel=5 / math.sqrt(2 * n))
        within_one = (weight.abs() < sd).float().mean().item()
        assert within_one == pytest.approx(math.erf(1 / math.sqrt(2)), abs=3 / math.sqrt(n))
        ones = layer in ("conv2", "conv4", "conv5", "fc6", "fc7")
        assert torch.equal(bias, torch.full_like(bias, float(ones)))


def norms(**arguments: Any) -> list[tuple[str, bool, int] | str]:
    """Kind, division and groups of each normalisation, in order."""
    found: list[tuple[str, bool, int] | str] = []
    for part in plan(**arguments).modules():
        if isinstance(part, LocalResponseNorm):
            found.append(("across", part.divide, part.groups))
        elif "Norm" in type(part).__name__:
            found.append(type(part).__name__)
    return found


def test_the_variant_decides_on_normalisation_unless_one_is_given() -> None:
    assert norms() == [("across", False, 1)] * 2
    assert norms(variant="code") == [("across", True, 2)] * 2 + ["WithinMapNorm"]
    given = Norm(size=3)
    assert norms(norm=given) == [("across", True, 1)] * 2
    assert norms(norm=given, variant="code") == [("across", True, 1)] * 2 + ["WithinMapNorm"]
    assert norms(norm=Norm("none"), variant="code") == []  # the second one is removed, too
    assert norms(norm=Norm("batch"), variant="code") == ["BatchNorm2d"] * 2


def test_dropout_falls_on_the_units_of_fc6_and_fc7() -> None:
    # Few inputs keep fc6 small: 64 × 64 pixels leave one place of 256 maps.
    model = build("alexnet-2012", {"input_size": 64, "classes": 3}).train()
    seen: dict[str, Tensor] = {}
    for layer in ("fc6", "dropout6", "fc7", "dropout7"):
        model.get_submodule(layer).register_forward_hook(
            lambda _, __, y, layer=layer: seen.update({layer: y})
        )
    torch.manual_seed(0)
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))
        for number in ("6", "7"):
            before, after = seen[f"fc{number}"].relu(), seen[f"dropout{number}"]
            kept = after != 0
            torch.testing.assert_close(after[kept], 2 * before[kept])
            share = kept[before > 0].float().mean().item()
            assert share == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(4 * 4096 / 2))


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_bfloat16_and_channels_last(variant: str) -> None:
    arguments = {"input_size": 64, "classes": 3, "variant": variant}
    model = build("alexnet-2012", arguments, seed=2).eval()
    x = 100 * torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = model(x)
        formats = {}
        for layer in ("conv1", "norm1", "pool1", "norm2", "pool2", "conv3", "conv5"):
            model.get_submodule(layer).register_forward_hook(
                lambda _, __, y, layer=layer: formats.update(
                    {layer: (y.dtype, y.is_contiguous(memory_format=torch.channels_last))}
                )
            )
        last = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with torch.autocast("cpu", torch.bfloat16):
            result = last(x.to(memory_format=torch.channels_last))
    assert set(formats.values()) == {(torch.bfloat16, True)}
    torch.testing.assert_close(result.float(), plain, rtol=0.1, atol=0.05)


def test_gradients_reach_every_weight() -> None:
    model = build("alexnet-2012", {"input_size": 64, "classes": 3, "variant": "code"})
    model(100 * torch.randn(4, 3, 64, 64)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_extra_normalisation_widens_what_a_unit_sees() -> None:
    rows = {row.name: row for row in anatomy("alexnet-2012", variant="code").layers}
    assert rows["extra2"].kind == "normalisation within maps"
    assert rows["extra2"].receptive_field == (51 + 4 * 8, 51 + 4 * 8)
    assert rows["extra2"].multiply_adds == 256 * 27 * 27 * 25
    assert rows["pool1"].activation == "relu"  # it comes after pooling
    assert rows["conv1"].activation is None


def test_an_unknown_variant_is_answered_with_the_known() -> None:
    with pytest.raises(
        InputError, match=r"unknown variant 'papper': did you mean 'paper'\? Valid: code, paper"
    ):
        plan(variant="papper")


def test_identity_layers_have_no_state() -> None:
    keys = network("paper").state_dict().keys()
    assert {key.partition(".")[0] for key in keys} == set(UNITS)
    assert isinstance(network("paper").get_submodule("extra2"), nn.Identity)
