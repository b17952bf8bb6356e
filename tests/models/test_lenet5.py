"""The three LeNet-5 against their published numbers, layer by layer."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers import LENET5_C3, Activation, Pad, Pool, digit_codes
from convscope.models import build


def parameters(model: nn.Module) -> dict[str, int]:
    """The parameter count of each direct part that has any."""
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize(
    ("name", "expected", "total"),
    [
        (
            "lenet5-1998",
            {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164},
            60000,
        ),
        ("lenet5", {"c1": 156, "c3": 2416, "c5": 48120, "f6": 10164, "output": 850}, 61706),
        ("lenet5-keras", {"c1": 156, "c3": 2416, "c5": 30840, "f6": 10164, "output": 850}, 44426),
    ],
)
def test_parameters_layer_by_layer(name: str, expected: dict[str, int], total: int) -> None:
    model = build(name)
    assert parameters(model) == expected
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == total
    assert sum(value.numel() for value in model.state_dict().values()) == total


def test_the_papers_table_in_the_classic_reading() -> None:
    model = build("lenet5", {"c3": "table"})
    assert parameters(model)["c3"] == 1516
    assert sum(p.numel() for p in model.parameters()) == 61706 - 2416 + 1516


def shapes_of(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """The output shape of each named layer, without the batch."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output"):
        model.get_submodule(name).register_forward_hook(
            lambda _, __, y, name=name: seen.update({name: tuple(y.shape[1:])})
        )
    model.eval()(x)
    return seen


def test_shapes_of_the_paper() -> None:
    assert shapes_of(build("lenet5-1998"), torch.zeros(1, 1, 32, 32)) == {
        "c1": (6, 28, 28),
        "s2": (6, 14, 14),
        "c3": (16, 10, 10),
        "s4": (16, 5, 5),
        "c5": (120, 1, 1),
        "f6": (84,),
        "output": (10,),
    }


def test_shapes_of_the_keras_program() -> None:
    assert shapes_of(build("lenet5-keras"), torch.zeros(1, 1, 28, 28)) == {
        "c1": (6, 24, 24),
        "s2": (6, 12, 12),
        "c3": (16, 8, 8),
        "s4": (16, 4, 4),
        "c5": (120,),
        "f6": (84,),
        "output": (10,),
    }


def squash(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(2 / 3 * x)


def test_1998_equals_the_paper_written_out() -> None:
    model = build("lenet5-1998", seed=1).double().eval()
    w = model.state_dict()
    x = torch.randn(3, 1, 32, 32, dtype=torch.float64)
    h = squash(F.conv2d(x, w["c1.weight"], w["c1.bias"]))
    h = 4 * F.avg_pool2d(h, 2) * w["s2.weight"].view(1, 6, 1, 1) + w["s2.bias"].view(1, 6, 1, 1)
    h = squash(h)
    links = iter(w["c3.weight"])
    maps = []
    for number, seen in enumerate(LENET5_C3):
        total = sum((F.conv2d(h[:, i : i + 1], next(links)[None, None]) for i in seen), 0.0)
        maps.append(total + w["c3.bias"][number])
    h = squash(torch.cat(maps, 1))
    h = 4 * F.avg_pool2d(h, 2) * w["s4.weight"].view(1, 16, 1, 1) + w["s4.bias"].view(1, 16, 1, 1)
    h = squash(h).flatten(1)
    h = squash(h @ w["c5.weight"].flatten(1).T + w["c5.bias"])
    h = squash(h @ w["f6.weight"].T + w["f6.bias"])
    penalties = torch.stack([(h - code).square().sum(1) for code in digit_codes().double()], 1)
    torch.testing.assert_close(model(x), -penalties)


@pytest.mark.parametrize("name", ["lenet5", "lenet5-keras"])
def test_classic_equals_torchs_own_layers(name: str) -> None:
    model = build(name, seed=1).double()
    w = model.state_dict()
    x = torch.randn(3, *model.input_shape, dtype=torch.float64)
    h = F.max_pool2d(F.conv2d(x, w["c1.weight"], w["c1.bias"]).tanh(), 2)
    h = F.max_pool2d(F.conv2d(h, w["c3.weight"], w["c3.bias"]).tanh(), 2).flatten(1)
    h = F.linear(h, w["c5.weight"], w["c5.bias"]).tanh()
    h = F.linear(h, w["f6.weight"], w["f6.bias"]).tanh()
    expected = F.linear(h, w["output.weight"], w["output.bias"])
    torch.testing.assert_close(model.train()(x), expected)
    torch.testing.assert_close(model.eval()(x), expected)


def test_1998_starts_uniform_in_24_over_fan_in() -> None:
    weights: dict[str, list[Tensor]] = {}
    for seed in range(20):
        for key, value in build("lenet5-1998", seed=seed).state_dict().items():
            weights.setdefault(key, []).append(value)
    bounds = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for layer, fan_in in bounds.items():
        for part in ("weight", "bias"):
            check_uniform(torch.stack(weights[f"{layer}.{part}"]), 2.4 / fan_in)
    c3, start = torch.stack(weights["c3.weight"]), 0
    for number, seen in enumerate(LENET5_C3):
        fan_in = 25 * len(seen)
        check_uniform(c3[:, start : start + len(seen)], 2.4 / fan_in)
        biases = torch.stack(weights["c3.bias"])[:, number]
        assert biases.abs().max() <= 2.4 / fan_in
        start += len(seen)


def check_uniform(values: Tensor, bound: float) -> None:
    """Inside ±bound, reaching near both ends, mean and variance of a uniform distribution."""
    values, n = values.flatten().double(), values.numel()
    assert values.abs().max() <= bound
    assert values.max() > 0.9 * bound
    assert values.min() < -0.9 * bound
    sd = bound / math.sqrt(3)
    assert values.mean().abs() < 4 * sd / math.sqrt(n)
    assert abs(values.std().item() / sd - 1) < 4 * math.sqrt(0.2 / n)


@pytest.mark.parametrize("name", ["lenet5", "lenet5-keras"])
def test_classic_starts_as_keras_does(name: str) -> None:
    model = build(name)
    c5_inputs = 400 if name == "lenet5" else 256
    fans = {
        "c1": 25 * (1 + 6),
        "c3": 25 * (6 + 16),
        "c5": c5_inputs + 120,
        "f6": 120 + 84,
        "output": 84 + 10,
    }
    for layer, fan in fans.items():
        check_uniform(model.get_parameter(f"{layer}.weight").detach(), math.sqrt(6 / fan))
        assert not model.get_parameter(f"{layer}.bias").any()


@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998"])
def test_empirical_receptive_fields(name: str) -> None:
    """The input pixels a central unit's gradient reaches span what the paper says."""
    model = build(name).double().eval()
    outputs: dict[str, Tensor] = {}
    for layer in ("c1", "s2", "c3", "s4", "c5"):
        model.get_submodule(layer).register_forward_hook(
            lambda _, __, y, layer=layer: outputs.update({layer: y})
        )
    spans: dict[str, int] = {}
    for trial in range(4):  # max pooling passes one gradient a window, so inputs vary
        x = torch.randn(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
        with torch.no_grad():
            x += trial
        model(x)
        for layer, y in outputs.items():
            unit = y[0, :, y.shape[2] // 2, y.shape[3] // 2] if y.dim() == 4 else y[0]
            (gradient,) = torch.autograd.grad(unit.square().sum(), x, retain_graph=True)
            rows = gradient[0, 0].abs().sum(1).nonzero().flatten()
            spans[layer] = max(spans.get(layer, 0), int(rows.max() - rows.min()) + 1)
    expected = {"c1": 5, "s2": 6, "c3": 14, "s4": 16, "c5": 32}
    assert all(spans[layer] <= field for layer, field in expected.items())
    if name == "lenet5-1998":  # sums reach every pixel
        assert spans == expected


@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998", "lenet5-keras"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": Pad("same")},
        {"padding": Pad("same", "reflect")},
        {"padding": Pad("full", "circular")},
        {"padding": Pad("explicit", "constant", -0.1, (2, 1, 0, 3))},
        {"pool": Pool("max", 3, 2)},
        {"pool": Pool("average", 3, 2, "same", count_padding=True)},
        {"pool": Pool("blur")},
        {"pool": Pool("stochastic")},
        {"pool": Pool("mixed")},
        {"pool": Pool("min")},
        {"pool": Pool("subsampling")},
        {"pool": Pool("none")},
        {"activation": Activation("gelu")},
        {"channels": 3, "input_size": 36, "classes": 4},
        {"padding": Pad("same"), "input_size": 4, "pool": Pool("l2", 2, padding="same")},
    ],
    ids=str,
)
def test_variants_run_in_both_modes(name: str, arguments: dict[str, Any]) -> None:
    model = build(name, arguments)
    x = torch.randn(2, *model.input_shape)
    for training in (True, False):
        scores = model.train(training)(x)
        assert scores.shape == (2, arguments.get("classes", 10))
        assert torch.isfinite(scores).all()
    scores.sum().backward()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"input_size": 8},
            r"input_size 8: C3 receives 2×2: a window of 5 does not fit into 2 .* "
            r"with this pooling and padding, input_size 16 works",
        ),
        ({"input_size": 3}, r"C1 receives 3×3: .*input_size 16 works"),
        (
            {"pool": Pool("global-max")},
            r"C3 receives 1×1: .*no input size up to 1024 works with this pooling and padding",
        ),
        (
            {"input_size": 5, "padding": Pad("full", "reflect")},
            r"C3 receives 4×4: reflect padding of 4 on width 4; allowed: at most 3; .*"
            r"input_size 6 works",
        ),
        ({"pool": Pool("blur", blur=7), "input_size": 16}, r"S4 receives 2×2: a blur of 7"),
        (
            {"pool": Pool("none"), "input_size": 1024},
            r"input_size 1024 leaves S4 16 maps of 1016×1016, too many inputs for C5",
        ),
    ],
)
@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998"])
def test_impossible_sizes_name_one_that_works(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build(name, arguments)


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        ({}, 16),
        ({"pool": Pool("max", 3, 2)}, 19),
        ({"padding": Pad("same")}, 4),
        ({"pool": Pool("none")}, 9),
    ],
)
def test_the_size_named_is_the_smallest_that_works(arguments: dict[str, Any], least: int) -> None:
    build("lenet5", arguments | {"input_size": least})
    for smaller in range(1, least):
        with pytest.raises(InputError, match=f"input_size {least} works"):
            build("lenet5", arguments | {"input_size": smaller})


def test_1998_has_codes_for_ten_classes() -> None:
    model = build("lenet5-1998", {"classes": 3})
    assert torch.equal(model.get_buffer("output.codes"), digit_codes()[:3])
    with pytest.raises(InputError, match=r"lenet5-1998 has 11 classes; allowed: 1 to 10.*lenet5"):
        build("lenet5-1998", {"classes": 11})
    assert build("lenet5", {"classes": 100}).classes == 100


def test_training_lowers_the_papers_losses() -> None:
    from convscope.layers import map_loss, mean_penalty_loss

    x, labels = torch.randn(10, 1, 32, 32), torch.arange(10)
    for loss_function in (mean_penalty_loss, map_loss):
        model = build("lenet5-1998")
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(8):
            optimizer.zero_grad()
            loss = loss_function(model(x), labels)
            torch.autograd.backward([loss])
            optimizer.step()
            losses.append(loss.item())
        assert all(after < before for before, after in pairwise(losses))


def test_other_codes_change_the_output_alone() -> None:
    drawn = build("lenet5-1998", seed=4)
    by_chance = build("lenet5-1998", {"codes": "random"}, seed=4)
    codes, others = drawn.get_buffer("output.codes"), by_chance.get_buffer("output.codes")
    assert not torch.equal(codes, others)
    for key, value in drawn.state_dict().items():
        assert torch.equal(value, by_chance.state_dict()[key])
    with pytest.raises(InputError, match=r"unknown codes .letters.: .*bitmaps"):
        build("lenet5-1998", {"codes": "letters"})
