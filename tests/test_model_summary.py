"""The anatomy reproduces the paper's table, and copes with anybody's network."""

import json

import pytest
import torch
from torch import nn

from convscope.errors import InputError
from convscope.layers import Activation, Convolution, Norm, Pad, Pool
from convscope.model_summary import anatomy
from convscope.models import build, list_models

# Layer, shape, parameters, connections (LeCun 1998, §II-B), and receptive field.
PAPER = [
    ("c1", "convolution", (6, 28, 28), 156, 122_304, 5),
    ("s2", "subsampling", (6, 14, 14), 12, 5_880, 6),
    ("c3", "convolution", (16, 10, 10), 1_516, 151_600, 14),
    ("s4", "subsampling", (16, 5, 5), 32, 2_000, 16),
    ("c5", "convolution", (120, 1, 1), 48_120, 48_120, 32),
    ("f6", "linear", (84,), 10_164, 10_164, 32),
    ("output", "RBF", (10,), 0, 840, 32),
]


def test_every_row_of_the_paper() -> None:
    found = anatomy("lenet5-1998")
    rows = [
        (
            r.name,
            r.kind,
            r.output_shape,
            r.parameters,
            r.connections,
            (r.receptive_field or (0,))[0],
        )
        for r in found.layers
    ]
    assert rows == PAPER
    assert found.parameters == 60_000
    assert found.connections == 340_908
    assert found.input_shape == (1, 32, 32)
    assert [row.activation for row in found.layers] == ["scaled-tanh"] * 6 + [None]
    assert [row.stride for row in found.layers[:4]] == [(1, 1), (2, 2), (2, 2), (4, 4)]


def test_multiply_adds_are_the_products() -> None:
    # Convolutions and full layers: connections without biases. Subsampling: one a unit.
    products = {row.name: row.multiply_adds for row in anatomy("lenet5-1998").layers}
    assert products == {
        "c1": 6 * 28 * 28 * 25,
        "s2": 6 * 14 * 14,
        "c3": 60 * 25 * 10 * 10,
        "s4": 16 * 5 * 5,
        "c5": 120 * 400,
        "f6": 84 * 120,
        "output": 10 * 84,
    }


def test_formulas_end_in_their_results() -> None:
    for model in list_models():
        for row in anatomy(model.name).layers:
            if row.parameters:
                assert row.formulas["parameters"].endswith(f"= {row.parameters}")
            if row.connections:
                assert row.formulas["connections"].endswith(f"= {row.connections}")
            if row.multiply_adds:
                assert f"= {row.multiply_adds}" in row.formulas["multiply_adds"]
            if "size" in row.formulas:
                assert row.formulas["size"].endswith(f"= {row.output_shape[-1]}")


def test_the_c3_table_is_drawn() -> None:
    rows = {row.name: row for row in anatomy("lenet5-1998").layers}
    drawn = rows["c3"].table_text().splitlines()
    assert len(drawn) == 7
    assert drawn[0].split() == [str(number) for number in range(16)]
    assert [line.count("X") for line in drawn[1:]] == [10] * 6  # each S2 map feeds ten
    assert rows["c1"].table_text() == ""


@pytest.mark.parametrize(("name", "total"), [("lenet5", 61_706), ("lenet5-keras", 44_426)])
def test_other_models(name: str, total: int) -> None:
    found = anatomy(name)
    assert found.parameters == total == sum(row.parameters for row in found.layers)
    assert found.connections == sum(row.connections or 0 for row in found.layers)


def test_json_is_plain() -> None:
    data = anatomy("lenet5-1998").to_json()
    assert json.loads(json.dumps(data)) == data
    assert data["parameters"] == 60_000
    assert data["layers"][2]["table"][0] == [0, 1, 2]
    assert data["layers"][0]["output_shape"] == [6, 28, 28]


def test_arguments_and_input() -> None:
    found = anatomy("lenet5", (3, 40, 40), pool=Pool("max", 3, 2), padding=Pad("same"))
    assert found.input_shape == (3, 40, 40)
    assert [row.output_shape for row in found.layers[:4]] == [
        (6, 40, 40),
        (6, 19, 19),
        (16, 19, 19),
        (16, 9, 9),
    ]
    assert found.layers[0].parameters == 6 * (3 * 25 + 1)
    assert found.layers[0].formulas["size"] == "⌈40/1⌉ = 40"


@pytest.mark.parametrize("name", ["lenet5-1998", "lenet5"])
def test_a_built_model_gives_the_same_and_is_left_as_it_was(name: str) -> None:
    model = build(name)
    model.s2.eval()  # type: ignore[union-attr]  # one part in another mode
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    assert anatomy(model).layers == anatomy(name).layers
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_alexnets_receptive_fields() -> None:
    relu = Activation("relu")
    model = nn.Sequential(
        Convolution(3, 4, 11, stride=4),
        relu.build(),
        Norm().build(),
        Pool("max", 3, 2).build(4),
        Convolution(4, 4, 5, pad=Pad("same"), groups=2),
        relu.build(),
        Pool("max", 3, 2).build(4),
        *(Convolution(4, 4, 3, pad=Pad("same")) for _ in range(3)),
        Pool("max", 3, 2).build(4),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4 * 6 * 6, 10),
    )
    rows = anatomy(model, (3, 227, 227)).layers
    fields = [row.receptive_field[0] if row.receptive_field else 0 for row in rows]
    assert fields == [11, 11, 19, 51, 67, 99, 131, 163, 195, 195, 195 + 5 * 32]
    assert [row.output_shape[-1] for row in rows[:9]] == [55, 55, 27, 27, 13, 13, 13, 13, 6]
    # conv2 in two groups: 4 maps of fan-in 2·5·5
    assert rows[3].connections == 27 * 27 * 4 * (2 * 25 + 1)
    assert [row.kind for row in rows[-2:]] == ["dropout", "linear"]


def test_torchs_layers_count_like_ours() -> None:
    ours = nn.Sequential(
        Convolution(1, 6, 5), Activation("tanh").build(), Pool("max").build(6), nn.Flatten()
    )
    theirs = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten())
    one, two = anatomy(ours, (1, 28, 28)), anatomy(theirs, (1, 28, 28))
    assert [row.activation for row in two.layers] == ["Tanh", None]
    assert [(r.kind, r.connections, r.formulas) for r in one.layers] == [
        (r.kind, r.connections, r.formulas) for r in two.layers
    ]


@pytest.mark.parametrize(("size", "out"), [(12, 6), (6, 6), (13, 6), (4, 6), (7, 3)])
def test_adaptive_pooling_counts_what_torch_averages(size: int, out: int) -> None:
    layer = nn.AdaptiveAvgPool2d(out)
    (row,) = anatomy(nn.Sequential(layer), (2, size, size)).layers
    seen = 0
    for place in range(out * out):
        x = torch.zeros(1, 2, size, size, requires_grad=True)
        (gradient,) = torch.autograd.grad(layer(x).flatten(2)[..., place].sum(), x)
        seen += int(gradient.count_nonzero())
    assert row.connections == seen
    assert row.output_shape == (2, out, out)
    alike = size % out == 0
    assert row.receptive_field == ((size // out, size // out) if alike else None)
    assert row.stride == ((size // out, size // out) if alike else None)


def test_normalisations_have_rows() -> None:
    model = nn.Sequential(
        Norm(groups=2).build(4),
        Norm("within-map", size=3).build(4),
        Norm("batch").build(4),
        Norm("none").build(4),
        nn.LocalResponseNorm(5),
    )
    rows = anatomy(model, (4, 6, 6)).layers
    assert [(row.kind, row.parameters, row.multiply_adds) for row in rows] == [
        ("local response normalisation", 0, 4 * 36 * 5),
        ("normalisation within maps", 0, 4 * 36 * 9),
        ("batch normalisation", 8, 4 * 36),
        ("local response normalisation", 0, 4 * 36 * 5),
    ]
    assert [row.receptive_field for row in rows] == [(1, 1), (3, 3), (3, 3), (3, 3)]
    assert rows[2].formulas["parameters"] == "4·2 = 8"
    assert {row.output_shape for row in rows} == {(4, 6, 6)}


def test_blur_pooling_counts_both_stages() -> None:
    (row,) = anatomy(nn.Sequential(Pool("blur").build(2)), (2, 28, 28)).layers
    assert row.output_shape == (2, 14, 14)
    assert row.connections == 2 * 27 * 27 * 4 + 2 * 14 * 14 * 9
    assert row.multiply_adds == 2 * 14 * 14 * 9
    assert row.receptive_field == (4, 4)  # 1 + (2 − 1) + (3 − 1)
    assert row.stride == (2, 2)


@pytest.mark.parametrize("kind", ["max", "average", "stochastic", "mixed", "global-average", "l2"])
def test_every_pooling_has_a_row(kind: str) -> None:
    (row,) = anatomy(nn.Sequential(Pool(kind).build(2)), (2, 8, 8)).layers
    side = 8 if kind.startswith("global") else 2
    assert row.kind.endswith("pooling")
    assert row.receptive_field == (side, side)
    assert row.connections == 2 * (8 // side) ** 2 * side**2


class Halves(nn.Module):
    """A layer no one knows, with parameters of its own and a part inside."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.inner = nn.Conv2d(1, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(x)[..., ::2, ::2] * self.scale[0]
        return result


def test_unknown_layers_are_listed_with_shape_and_parameters() -> None:
    found = anatomy(nn.Sequential(Halves(), nn.PixelShuffle(1), nn.Conv2d(1, 1, 2)), (1, 11, 11))
    rows = [(row.name, row.kind, row.output_shape, row.parameters) for row in found.layers]
    assert rows == [
        ("0.inner", "convolution", (1, 9, 9), 10),
        ("0", "Halves", (1, 5, 5), 3),
        ("1", "PixelShuffle", (1, 5, 5), 0),
        ("2", "convolution", (1, 4, 4), 5),
    ]
    assert found.parameters == 18
    assert [row.connections is None for row in found.layers] == [False, True, True, False]
    assert [row.receptive_field for row in found.layers] == [(3, 3), None, None, None]


def test_a_layer_used_twice_is_counted_once() -> None:
    shared = nn.Conv2d(1, 1, 3)
    found = anatomy(nn.Sequential(shared, shared), (1, 9, 9))
    assert [row.parameters for row in found.layers] == [10, 0]
    assert found.parameters == 10


def test_bad_requests() -> None:
    with pytest.raises(InputError, match="unknown model 'lenet6': did you mean 'lenet5'"):
        anatomy("lenet6")
    with pytest.raises(InputError, match="Sequential does not say what it takes; give input_shape"):
        anatomy(nn.Sequential(nn.Conv2d(1, 1, 3)))
    with pytest.raises(InputError, match="cannot take an input of 2×9×9: "):
        anatomy(nn.Sequential(nn.Conv2d(1, 1, 3)), (2, 9, 9))
    with pytest.raises(InputError, match="the input is 28×32; models by name take square"):
        anatomy("lenet5", (1, 28, 32))
    with pytest.raises(InputError, match=r"input_shape is \(1, 0, 32\); allowed"):
        anatomy("lenet5", (1, 0, 32))
    with pytest.raises(InputError, match=r"arguments \(classes\) are given with a module"):
        anatomy(build("lenet5"), classes=3)
    with pytest.raises(InputError, match="input_size 16 works"):
        anatomy("lenet5", (1, 8, 8))
