"""Every number behind a unit: inputs times weights and the bias are what torch computed."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tracing import NAMES, picture, small
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.provenance import Provenance, View, provenance, provenance_of
from convscope.explain.tracing import Step, kind_of, trace
from convscope.layers import (
    LENET5_C3,
    RBF,
    Activate,
    Activation,
    Convolution,
    LocalResponseNorm,
    Norm,
    Pad,
    Pool,
    Subsampling,
    grid,
)
from convscope.layers.activation import KINDS as ACTIVATIONS
from convscope.layers.pooling import KINDS as POOLS
from convscope.models import build


def explained(module: nn.Module, x: Tensor, unit: tuple[int, ...]) -> Provenance:
    """One unit of one layer that sees `x`, without a network around it."""
    with torch.no_grad():
        output = module.eval()(x[None])[0]
    return provenance_of([Step("layer", kind_of(module), module, x, output)], "layer", unit)


def check(found: Provenance, *, tolerance: float = 1e-6) -> None:
    """The sum is torch's value, to `tolerance` of the magnitudes that are added up."""
    scale = sum(np.abs(one.products).sum() for one in found.maps) + abs(found.bias or 0.0)
    assert abs(found.sum - found.value) <= tolerance * max(scale, abs(found.value)), found.formula
    weighted = 0
    for one in found.maps:
        if one.weights is not None and one.of is None:
            inside = ~np.isnan(one.inputs)
            if found.kind != "rbf":
                terms = one.inputs[inside] * one.weights[inside]
                np.testing.assert_array_equal(one.products[inside], terms)
            assert not one.products[~inside].any()
            assert one.sum == one.products.sum()
            weighted += 1
    if weighted and found.kind != "norm":
        assert math.isclose(sum(one.sum for one in found.maps) + (found.bias or 0), found.sum)
    json.dumps(found.to_json(), allow_nan=False)


def places(step: Step, count: int) -> list[tuple[int, ...]]:
    """The corners of the first and last map, and some units between."""
    generator = torch.Generator().manual_seed(0)
    drawn = [
        tuple(int(torch.randint(n, (), generator=generator)) for n in step.output.shape)
        for _ in range(count)
    ]
    return [tuple(0 for _ in step.output.shape), tuple(n - 1 for n in step.output.shape), *drawn]


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_every_model(name: str) -> None:
    model = small(name)
    generator = torch.Generator().manual_seed(4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            for values, low in ((module.running_mean, -1.0), (module.running_var, 0.5)):
                assert values is not None
                values.uniform_(low, 2.0, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-1, 1, generator=generator)
    steps = trace(model, picture(model))
    for step in steps:
        for unit in places(step, 4):
            found = provenance_of(steps, step.name, unit)
            check(found)
            assert found.value == step.output[unit].item()
            assert found.field is not None


ARGUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("lenet5", {"c3": "table", "padding": Pad("same", mode=mode)})
    for mode in ("zeros", "constant", "reflect", "replicate", "circular")
]
ARGUMENTS += [("lenet5", {"pool": Pool(kind)}) for kind in POOLS if not kind.startswith("global")]
ARGUMENTS += [("lenet5", {"activation": Activation(kind)}) for kind in ACTIVATIONS]
ARGUMENTS += [
    ("lenet5-1998", {"padding": Pad("full", mode="constant", value=-1.5)}),
    ("lenet5-1998", {"pool": Pool("max", 3, 2, "same"), "padding": Pad("same")}),
    ("alexnet-2012", {"variant": "code"}),
    ("alexnet-cifar", {"width": 8, "hidden": 16, "hidden_norm": True}),
    ("alexnet-cifar", {"width": 8, "hidden": 16, "norm": Norm("within-map", size=4)}),
    ("alexnet-cifar", {"width": 8, "hidden": 16, "norm": Norm("local-response", groups=4)}),
]


@pytest.mark.parametrize(("name", "arguments"), ARGUMENTS, ids=str)
def test_every_setting_of_the_models(name: str, arguments: dict[str, Any]) -> None:
    model = small(name, **arguments)
    steps = trace(model, picture(model))
    for step in steps:
        for unit in places(step, 2):
            check(provenance_of(steps, step.name, unit))


def test_convolution_by_spectra() -> None:
    model = small("alexnet-cifar", width=16, hidden=8)
    used = [m for m in model.modules() if isinstance(m, Convolution) and m.can_use_fourier]
    assert len(used) == 5
    for module in used:
        module.fourier = True
    steps = trace(model, picture(model))
    for name in ("conv2", "conv3", "conv4", "conv5"):
        step = next(step for step in steps if step.name == name)
        for unit in places(step, 5):
            check(provenance_of(steps, name, unit))


def test_a_convolution_by_hand() -> None:
    """2·1 + 3·10 + 5·100 + 6·1000 + 0.5 at the right edge of nothing: an inner unit."""
    layer = Convolution(1, 1, 2, pad=Pad("explicit", sides=(1, 0, 1, 0)))
    layer.weight.data = torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]])
    assert layer.bias is not None
    layer.bias.data = torch.tensor([0.5])
    x = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    inner = explained(layer, x, (0, 1, 2))
    (terms,) = inner.maps
    assert terms.inputs.tolist() == [[2, 3], [5, 6]]
    assert terms.products.tolist() == [[2, 30], [500, 6000]]
    assert not terms.padded.any()
    assert (inner.sum, inner.value, inner.bias) == (6532.5, 6532.5, 0.5)
    assert inner.window == View(0, 1, 2, 2)
    corner = explained(layer, x, (0, 0, 0))
    assert corner.maps[0].padded.tolist() == [[True, True], [True, False]]
    assert corner.maps[0].inputs.tolist() == [[0, 0], [0, 1]]
    assert corner.window == View(-1, -1, 2, 2)
    assert corner.formula == "1000 (Σ of 1·2·2 products) + 0.5 (bias) = 1000"
    assert corner.value == 1000.5


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("zeros", [0, 0, 1]),
        ("constant", [7, 7, 1]),
        ("reflect", [3, 2, 1]),
        ("replicate", [1, 1, 1]),
        ("circular", [3, 4, 1]),
    ],
)
def test_what_fills_the_border_is_shown(mode: str, row: list[float]) -> None:
    """The first window of three over `1 2 3 4`, with two elements of padding at the left."""
    value = 7.0 if mode == "constant" else 0.0
    pad = Pad("explicit", mode=mode, value=value, sides=(2, 0, 0, 0))
    found = explained(
        Convolution(1, 1, (1, 3), pad=pad), torch.tensor([[[1.0, 2, 3, 4]]]), (0,) * 3
    )
    assert found.maps[0].inputs.tolist() == [row]
    assert found.maps[0].padded.tolist() == [[True, True, False]]
    check(found)


def test_only_connected_maps_are_listed() -> None:
    steps = trace(build("lenet5-1998"), torch.rand(1, 32, 32))
    for o, seen in enumerate(LENET5_C3):
        found = provenance_of(steps, "c3", (o, 4, 4))
        assert tuple(one.map for one in found.maps) == seen
    grouped = explained(Convolution(4, 6, 1, groups=2), torch.rand(4, 2, 2), (3, 0, 0))
    assert [one.map for one in grouped.maps] == [2, 3]
    check(grouped)


def test_max_pooling_shows_the_winner_and_leaves_padding_out() -> None:
    x = torch.tensor([[[-1.0, -2.0], [-3.0, -4.0]]])
    found = explained(Pool("max", 2, 1, (1, 0, 1, 0)).build(1), x, (0, 0, 0))
    assert found.maps[0].padded.tolist() == [[True, True], [True, False]]
    assert found.winner == (1, 1)
    assert (found.value, found.sum, found.formula) == (-1.0, -1.0, "max(−1) = −1")
    data = found.to_json()
    assert data["maps"][0]["inputs"] == [[None, None], [None, -1.0]]
    assert data["maps"][0]["weights"] == [[0.0, 0.0], [0.0, 1.0]]
    assert data["winner"] == [1, 1]
    lowest = explained(Pool("min", 2).build(1), x, (0, 0, 0))
    assert (lowest.winner, lowest.value) == ((1, 1), -4.0)


def test_the_winner_is_where_the_gradient_goes() -> None:
    """Ties too: the first of equal values, as torch routes it."""
    for kind in ("max", "min", "global-max"):
        pool = Pool(kind, 3, 2) if kind != "global-max" else Pool(kind)
        x = torch.randint(0, 3, (1, 7, 7), generator=torch.Generator().manual_seed(5)).float()
        module = pool.build(1)
        output = module(x[None].requires_grad_())[0]
        for row in range(output.shape[1]):
            for column in range(output.shape[2]):
                batch = x[None].clone().requires_grad_()
                (gradient,) = torch.autograd.grad(module(batch)[0, 0, row, column], batch)
                found = explained(module, x, (0, row, column))
                assert found.winner is not None
                assert found.window is not None
                place = (found.window.top + found.winner[0], found.window.left + found.winner[1])
                assert gradient[0, 0][place] == 1, (kind, row, column)


def test_what_a_mean_divides_by() -> None:
    """A corner window of 3 with padding 1 sees 4 inputs; with its padding 9."""
    x = torch.full((1, 4, 4), 9.0)
    plain = explained(Pool("average", 3, 2, 1).build(1), x, (0, 0, 0))
    counted = explained(Pool("average", 3, 2, 1, count_padding=True).build(1), x, (0, 0, 0))
    assert (plain.value, plain.sum, dict(plain.terms)["count"]) == (9.0, 9.0, 4)
    assert (counted.value, counted.sum, dict(counted.terms)["count"]) == (4.0, 4.0, 9)


def test_subsampling_by_hand() -> None:
    """(1 + 2 + 3 + 4)·0.5 − 1 = 4."""
    layer = Subsampling(1, grid(2))
    layer.weight.data, layer.bias.data = torch.tensor([0.5]), torch.tensor([-1.0])
    found = explained(layer, torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), (0, 0, 0))
    assert (found.kind, found.value, found.sum, found.bias) == ("subsampling", 4.0, 4.0, -1.0)
    assert found.terms == (("sum", 10.0), ("coefficient", 0.5), ("bias", -1.0))
    assert found.maps[0].products.tolist() == [[0.5, 1.0], [1.5, 2.0]]
    assert found.formula == "10 (Σ of 4 inputs) × 0.5 − 1 = 4"


def test_local_response_by_hand() -> None:
    """Map 1 of 3 with size 3: 2/(1 + 0.5·(1 + 4 + 9))^1 = 2/8; in groups map 2 sees itself."""
    x = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    layer = LocalResponseNorm(3, k=1.0, alpha=0.5, beta=1.0, divide=False)
    found = explained(layer, x, (1, 0, 0))
    assert (found.kind, found.value, found.sum) == ("lrn", 0.25, 0.25)
    terms = dict(found.terms)
    assert [terms[f"a² of map {i}"] for i in range(3)] == [1, 4, 9]
    assert (terms["sum of squares"], terms["denominator"]) == (14, 8)
    assert found.formula == "2/(1 + 0.5·14)^1 = 0.25"
    layer.groups = 3
    alone = explained(layer, x, (2, 0, 0))
    assert [name for name, _ in alone.terms if "map" in name] == ["a² of map 2"]
    check(alone)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_local_response_of_torch_and_ours_alike(size: int) -> None:
    x = torch.randn(6, 2, 2, generator=torch.Generator().manual_seed(0)) * 30
    for layer in (nn.LocalResponseNorm(size), LocalResponseNorm(size)):
        for index in range(6):
            check(explained(layer, x, (index, 1, 0)))


def test_batch_norm_by_hand() -> None:
    """(5 − 1)/√4 × 3 + 0.5 = 6.5."""
    layer = nn.BatchNorm2d(1, eps=0.0)
    for values, number in (
        (layer.running_mean, 1.0),
        (layer.running_var, 4.0),
        (layer.weight, 3.0),
        (layer.bias, 0.5),
    ):
        assert values is not None
        values.data.fill_(number)
    found = explained(layer, torch.tensor([[[5.0]]]), (0, 0, 0))
    assert (found.value, found.sum) == (6.5, 6.5)
    assert found.terms[:3] == (("input", 5.0), ("mean", 1.0), ("variance", 4.0))


def test_rbf_by_hand() -> None:
    """−((0.5 − 1)² + (−1 + 1)²) = −0.25."""
    layer = RBF(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    found = explained(layer, torch.tensor([0.5, -1.0]), (1,))
    assert (found.kind, found.value, found.sum) == ("rbf", -0.25, -0.25)
    assert found.terms == (("penalty", 0.25),)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations(kind: str) -> None:
    for value in (-2.5, -0.1, 0.0, 0.7):
        module = Activate(Activation(kind))
        found = explained(module, torch.tensor([value]), (0,))
        assert math.isclose(found.sum, found.value, rel_tol=1e-6, abs_tol=1e-7)
        assert found.terms == (("input", found.terms[0][1]),)
    assert explained(Activate(Activation("relu")), torch.tensor([-2.0]), (0,)).formula == (
        "max(0, −2) = 0"
    )


def test_a_linear_layer_shows_the_maps_that_it_sees() -> None:
    model = build("lenet5", seed=1)
    image = torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = provenance(model, image, "c5", (7,))
    s4 = next(step for step in trace(model, image) if step.name == "s4").output
    assert len(found.maps) == 16
    for index, one in enumerate(found.maps):
        np.testing.assert_array_equal(one.inputs, s4[index].double().numpy())
    row = provenance(model, image, "f6", (7,))
    assert [one.inputs.shape for one in row.maps] == [(1, 120)]
    assert row.maps[0].map == -1


def test_of_a_large_linear_layer_the_largest_products_are_shown() -> None:
    generator = torch.Generator().manual_seed(0)
    layer, x = nn.Linear(5000, 1), torch.randn(5000, generator=generator)
    found = explained(layer, x, (0,))
    (terms,) = found.maps
    data = terms.to_json()
    assert (data["shown"], data["of"]) == (200, 5000)
    products = (x.double() * layer.weight[0].detach().double()).numpy()
    largest = sorted(np.abs(products), reverse=True)[:200]
    np.testing.assert_array_equal(np.abs(terms.products[0]), largest)
    np.testing.assert_array_equal(products[data["indices"]], terms.products[0])
    assert math.isclose(terms.sum, products.sum())
    check(found)


@st.composite
def windows(draw: st.DrawFn) -> dict[str, Any]:
    two = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, dilation = draw(two), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    sides = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    borders = [
        draw(st.integers(0, sides[axis]))
        for axis in (1, 1, 0, 0)  # left, right, top, bottom
    ]
    return {
        "kernel": kernel,
        "stride": draw(two),
        "dilation": dilation,
        "padding": draw(st.sampled_from(["valid", "same", "full", tuple(borders)])),
    }


KINDS = [kind for kind in POOLS if not kind.startswith(("global", "none", "blur"))]


@settings(max_examples=60)
@given(window=windows(), kind=st.sampled_from(KINDS), ceil=st.booleans(), counted=st.booleans())
def test_any_pooling(window: dict[str, Any], kind: str, ceil: bool, counted: bool) -> None:
    own: dict[str, dict[str, Any]] = {
        "average": {"count_padding": counted},
        "lp": {"p": 3.0},
        "mixed": {"mix": 0.3},
    }
    module = Pool(kind, **window, ceil=ceil, **own.get(kind, {})).build(2)
    x = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0))
    step = Step("p", kind_of(module), module, x, _output(module, x))
    for unit in places(step, 3):
        check(provenance_of([step], "p", unit))


@settings(max_examples=60)
@given(
    window=windows(),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    groups=st.sampled_from([1, 2]),
)
def test_any_convolution(window: dict[str, Any], mode: str, groups: int) -> None:
    padding = window.pop("padding")
    explicit = isinstance(padding, tuple)
    pad = Pad("explicit", mode, sides=padding) if explicit else Pad(padding, mode)
    module = Convolution(4, 2, **window, pad=pad, groups=groups)
    x = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0))
    step = Step("c", "convolution", module, x, _output(module, x))
    for unit in places(step, 3):
        check(provenance_of([step], "c", unit))


@pytest.mark.parametrize("blur", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_blur_pooling(blur: int, stride: int) -> None:
    module = Pool("blur", 2, stride, "same", blur=blur).build(2)
    x = torch.randn(2, 8, 7, generator=torch.Generator().manual_seed(0))
    step = Step("b", "pooling", module, x, _output(module, x))
    for unit in places(step, 6):
        check(provenance_of([step], "b", unit))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(2, 3, 3, stride=2, padding=1, padding_mode="reflect"),
        nn.Conv2d(2, 3, (3, 5), padding="same", bias=False),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(2, divisor_override=3),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.BatchNorm2d(2, affine=False),
        nn.GELU(),
        nn.Flatten(),
        nn.Softmax(0),
    ],
    ids=str,
)
def test_the_layers_of_torch(module: nn.Module) -> None:
    x = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(0))
    step = Step("t", kind_of(module), module, x, _output(module, x))
    for unit in places(step, 5):
        check(provenance_of([step], "t", unit))


def _output(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        output: Tensor = module.eval()(x[None])[0]
    return output


def test_the_json_of_a_unit() -> None:
    found = provenance(build("lenet5", seed=1), torch.ones(1, 32, 32), "c3", (2, 0, 9))
    data = found.to_json()
    assert set(data) == {
        "layer", "kind", "unit", "value", "formula", "field", "window", "maps", "bias", "sum",
        "winner", "terms",
    }  # fmt: skip
    assert data["unit"] == [2, 0, 9]
    assert data["field"] == {"top": 0, "left": 18, "height": 14, "width": 14}
    assert data["window"] == {"top": 0, "left": 9, "rows": 5, "columns": 5, "dilation": [1, 1]}
    assert len(data["maps"]) == 6
    assert set(data["maps"][0]) == {"map", "inputs", "padded", "weights", "products", "sum"}
    assert (data["winner"], data["terms"]) == (None, [])


def test_a_network_that_diverged_gives_json_all_the_same() -> None:
    model = build("lenet5")
    image = torch.full((1, 32, 32), math.inf)
    steps = trace(model, image)
    for step in steps:
        data = provenance_of(steps, step.name, places(step, 0)[0]).to_json()
        assert data["value"] is None or math.isfinite(data["value"])
        json.dumps(data, allow_nan=False)


@pytest.mark.parametrize(
    ("layer", "unit", "message"),
    [
        ("c1", (6, 0, 0), r"unit \[6, 0, 0\] of layer 'c1'; allowed: map 0 to 5, row 0 to 27, col"),
        ("c1", (0, -1, 0), "allowed: map 0 to 5, row 0 to 27, column 0 to 27"),
        ("c1", (0,), r"unit \[0\] of layer 'c1'"),
        ("f6", (0, 0, 0), r"of layer 'f6'; allowed: unit 0 to 83"),
        ("f6", (0.5,), r"unit \[0\.5\] of layer 'f6'"),
        ("f7", (0,), "unknown layer 'f7'"),
    ],
)
def test_units_that_are_not_there(layer: str, unit: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        provenance(build("lenet5"), torch.zeros(1, 32, 32), layer, unit)
