"""Receptive fields against the published sizes, the anatomy, and the gradient's support."""

from typing import Any

import pytest
import torch
from test_tracing import NAMES, picture, shared
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.explain.receptive import Field, field_of, receptive_field
from convscope.explain.tracing import Step, trace
from convscope.layers import Activation, Convolution, Norm, Pad, Padding2d, Pool
from convscope.layers.modes import evaluation_mode
from convscope.model_summary import anatomy
from convscope.models import Classifier, build

SMOOTH = {"pool": Pool("average"), "activation": Activation("tanh")}
"""No unit of these layers is ever out of the sum, so the gradient reaches all that it can."""


def test_lenet5_sees_5_6_14_16_and_32_pixels() -> None:
    model = build("lenet5")
    steps = trace(model, torch.zeros(model.input_shape))
    sizes = {name: field_of(steps, name, 0, 0).size for name in ("c1", "s2", "c3", "s4", "c5")}
    assert sizes == {"c1": (5, 5), "s2": (6, 6), "c3": (14, 14), "s4": (16, 16), "c5": (32, 32)}
    assert field_of(steps, "s4", 4, 0) == Field(16, 0, 16, 16, (16, 16), (4, 4))


def test_alexnet_sees_11_19_51_67_99_131_163_and_195_pixels() -> None:
    model = shared("alexnet-bn")
    steps = trace(model, picture(model))
    names = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    sizes = [field_of(steps, name, 0, 0).size for name in names]
    assert sizes == [(n, n) for n in (11, 19, 51, 67, 99, 131, 163, 195)]
    jumps = [field_of(steps, name, 0, 0).jump[0] for name in names]
    assert jumps == [4, 8, 8, 16, 16, 16, 16, 32]
    assert field_of(steps, "conv3", 0, 0).top == -16 - 16  # 2·8 of conv2, 1·16 of conv3


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_jumps_are_those_of_the_anatomy(name: str) -> None:
    model = shared(name)
    steps = trace(model, picture(model))
    names = {step.name for step in steps}
    compared = 0
    for row in anatomy(model).layers:
        if row.receptive_field and row.name in names and len(row.output_shape) == 3:
            field = field_of(steps, row.name, 0, 0)
            assert (field.size, field.jump) == (row.receptive_field, row.stride), row.name
            compared += 1
    assert compared >= 4


def supports(model: Classifier, image: Tensor, steps: list[Step]) -> dict[tuple[Any, ...], Tensor]:
    """For corner and centre units of every layer: where the gradient of all its maps is not 0."""
    outputs: dict[str, Tensor] = {}
    names = {step.module: step.name for step in steps}

    def keep(module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs[names[module]] = output

    handles = [module.register_forward_hook(keep) for module in names]
    batch = image[None].clone().requires_grad_()
    with evaluation_mode(model):
        model(batch)
    for handle in handles:
        handle.remove()
    found = {}
    for name, output in outputs.items():
        rows, columns = output.shape[2:] if output.ndim == 4 else (1, 1)
        places = {(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1)}
        for row, column in sorted(places):
            unit = output[0, :, row, column] if output.ndim == 4 else output[0]
            weights = torch.randn(unit.shape, generator=torch.Generator().manual_seed(1))
            (gradient,) = torch.autograd.grad((unit * weights).sum(), batch, retain_graph=True)
            found[name, row, column] = gradient[0].abs().amax(0) > 0
    return found


def pixels(field: Field, support: Tensor) -> Tensor:
    """The field as a mask of the image."""
    inside = torch.zeros_like(support)
    top, left = max(field.top, 0), max(field.left, 0)
    inside[top : max(field.top + field.height, 0), left : max(field.left + field.width, 0)] = True
    return inside


@pytest.mark.parametrize("name", NAMES)
def test_the_field_contains_the_gradient_of_every_model(name: str) -> None:
    model = shared(name)
    image = picture(model)
    steps = trace(model, image)
    seen = 0
    for (layer, row, column), support in supports(model, image, steps).items():
        field = field_of(steps, layer, row, column)
        assert not (support & ~pixels(field, support)).any(), (layer, row, column)
        seen += int(support.any())
    assert seen > len(steps)


@pytest.mark.parametrize(
    "arguments",
    [
        {"padding": Pad("same")},
        {"padding": Pad("same", mode="replicate")},
        {"padding": Pad("full", mode="reflect")},
        {"padding": Pad("same", mode="circular")},
        {"padding": Pad("explicit", sides=(3, 0, 1, 2), mode="reflect")},
        {"pool": Pool("average", 3, 2, (1, 0, 0, 2))},
        {"pool": Pool("average", 2, 3, ceil=True)},
        {"pool": Pool("l2", 2, 2, dilation=2)},
        {"pool": Pool("blur", 3, 2, 1, blur=4)},
        {"pool": Pool("global-average")},
    ],
    ids=str,
)
def test_the_field_contains_the_gradient_with_every_border(arguments: dict[str, Any]) -> None:
    if arguments.get("pool", Pool("none")).kind == "global-average":
        arguments |= {"padding": Pad("same")}
    model = build("lenet5", SMOOTH | arguments, seed=2)
    image = picture(model)
    steps = trace(model, image)
    for (layer, row, column), support in supports(model, image, steps).items():
        field = field_of(steps, layer, row, column)
        assert not (support & ~pixels(field, support)).any(), (layer, row, column)


def test_the_field_is_no_larger_than_the_gradient_where_every_layer_lets_it_through() -> None:
    model = build("lenet5", SMOOTH | {"padding": Pad("same")}, seed=2)
    image = picture(model)
    steps = trace(model, image)
    for (layer, row, column), support in supports(model, image, steps).items():
        assert torch.equal(support, pixels(field_of(steps, layer, row, column), support)), layer


def test_circular_padding_reaches_to_the_other_side() -> None:
    model = build("lenet5", {"padding": Pad("same", mode="circular")})
    corner, middle = (receptive_field(model, "c1", place, place) for place in (0, 9))
    assert corner == Field(-2, -2, 34, 34, (5, 5), (1, 1))
    assert middle == Field(7, 7, 5, 5, (5, 5), (1, 1))


def test_a_uneven_share_of_an_adaptive_average() -> None:
    """7 rows in 3 shares: rows 0–2, 2–4 and 4–6 (torch's division)."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(3))
    steps = trace(model, torch.zeros(1, 7, 7))
    fields = [field_of(steps, "1", place, place) for place in range(3)]
    assert [(field.top, field.height) for field in fields] == [(0, 3), (2, 3), (4, 3)]


def test_padding_as_a_layer_of_its_own() -> None:
    model = nn.Sequential(Padding2d(Pad("explicit", sides=1)), Convolution(1, 1, 3))
    steps = trace(model, torch.zeros(1, 5, 5))
    assert field_of(steps, "1", 0, 2) == Field(-1, 1, 3, 3, (3, 3), (1, 1))


def test_normalisation_within_maps_widens_the_field() -> None:
    model = build("alexnet-cifar", {"norm": Norm("within-map"), "width": 2, "hidden": 4})
    assert receptive_field(model, "norm1", 9, 9).size == (9, 9)  # 5 + (5 − 1)·1


def test_what_has_no_field_is_refused_in_words() -> None:
    model = build("lenet5")
    with pytest.raises(InputError, match="row 10 of c3; allowed: 0 to 9"):
        receptive_field(model, "c3", 10, 0)
    with pytest.raises(InputError, match="column -1 of c3; allowed: 0 to 9"):
        receptive_field(model, "c3", 0, -1)
    with pytest.raises(InputError, match="Conv2d does not say what it takes"):
        receptive_field(nn.Conv2d(1, 1, 1), "x", 0, 0)
    steps = trace(model, torch.zeros(1, 32, 32))
    with pytest.raises(InputError, match="'c3' does not follow 'c1' alone"):
        field_of([steps[0], *steps[3:]], "c3", 0, 0)
    softmax = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Softmax(1))
    with pytest.raises(InputError, match=r"behind layer '1' \(Softmax\) is not known"):
        field_of(trace(softmax, torch.ones(1, 3, 3)), "1", 0, 0)


def test_a_field_as_json() -> None:
    assert receptive_field(build("lenet5"), "s2", 1, 2).to_json() == {
        "top": 2,
        "left": 4,
        "height": 6,
        "width": 6,
        "size": [6, 6],
        "jump": [2, 2],
    }
