"""alexnet-bn, alexnet-owt and alexnet-cifar: ledgers, sizes, independent networks, errors."""

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers import Activation, Norm, Pad, Pool
from convscope.model_summary import anatomy
from convscope.models import Classifier, arguments_json, build, convert_arguments

PROGRAM = Path(__file__).parents[3] / "shared" / "baselines" / "seed_alexnet.py"
NAMES = ["alexnet-2012", "alexnet-bn", "alexnet-cifar", "alexnet-owt"]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")


def plan(name: str, arguments: dict[str, Any] | None = None) -> Classifier:
    """The model without its weights: quick, whatever its size."""
    with torch.device("meta"):
        return build(name, arguments)


def scores(name: str, arguments: dict[str, Any], images: int = 2) -> Tensor:
    """What the model without weights gives for a batch, in training and evaluation: a shape."""
    model = plan(name, arguments)
    x = torch.empty(images, *model.input_shape, device="meta")
    shown: Tensor = model.train()(x)
    assert model.eval()(x).shape == shown.shape
    return shown


def parameters(model: nn.Module) -> dict[str, int]:
    """The parameter count of each direct part that has any."""
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    return {name: count for name, count in counts.items() if count}


LEDGERS: dict[str, tuple[dict[str, int], int]] = {
    "alexnet-bn": (
        {
            "conv1": 96 * (3 * 121 + 1),
            "norm1": 2 * 96,
            "conv2": 256 * (96 * 25 + 1),
            "norm2": 2 * 256,
            "conv3": 384 * (256 * 9 + 1),
            "norm3": 2 * 384,
            "conv4": 384 * (384 * 9 + 1),
            "norm4": 2 * 384,
            "conv5": 256 * (384 * 9 + 1),
            "norm5": 2 * 256,
            "fc6": 4096 * (256 * 36 + 1),
            "fc7": 4096 * 4097,
            "fc8": 10 * 4097,
        },
        58_325_066,
    ),
    "alexnet-owt": (
        {
            "conv1": 64 * (3 * 121 + 1),
            "conv2": 192 * (64 * 25 + 1),
            "conv3": 384 * (192 * 9 + 1),
            "conv4": 256 * (384 * 9 + 1),
            "conv5": 256 * (256 * 9 + 1),
            "fc6": 4096 * (256 * 36 + 1),
            "fc7": 4096 * 4097,
            "fc8": 1000 * 4097,
        },
        61_100_840,
    ),
    "alexnet-cifar": (
        {
            "conv1": 64 * 3 * 25,
            "norm1": 2 * 64,
            "conv2": 192 * 64 * 9,
            "norm2": 2 * 192,
            "conv3": 384 * 192 * 9,
            "norm3": 2 * 384,
            "conv4": 256 * 384 * 9,
            "norm4": 2 * 256,
            "conv5": 256 * 256 * 9,
            "norm5": 2 * 256,
            "fc6": 512 * (256 * 16 + 1),
            "fc7": 512 * 513,
            "fc8": 10 * 513,
        },
        4_621_258,
    ),
}


@pytest.mark.parametrize("name", LEDGERS)
def test_parameters_layer_by_layer(name: str) -> None:
    model = plan(name)
    expected, total = LEDGERS[name]
    assert parameters(model) == expected
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == total
    assert sum(expected.values()) == total


SIZES = {
    "alexnet-bn": [(96, 55), (96, 27), (256, 27), (256, 13)] + [(384, 13)] * 2,
    "alexnet-owt": [(64, 55), (64, 27), (192, 27), (192, 13), (384, 13), (256, 13)],
    "alexnet-cifar": [(64, 32), (64, 16), (192, 16), (192, 8), (384, 8), (256, 8)],
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_layer_by_layer(name: str) -> None:
    shown = {row.name: row.output_shape for row in anatomy(name).layers}
    last = 4 if name == "alexnet-cifar" else 6
    side = SIZES[name][-1][1]
    expected = [(maps, size, size) for maps, size in [*SIZES[name], (256, side), (256, last)]]
    order = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [shown[layer] for layer in order] == expected
    hidden = 512 if name == "alexnet-cifar" else 4096
    assert (shown["fc6"], shown["fc7"]) == ((hidden,), (hidden,))
    assert shown["dropout6"] == (256 * last * last,)


def test_the_programs_own_network_gives_the_same() -> None:
    if not PROGRAM.exists():
        pytest.skip(f"the program is not at {PROGRAM.parent.name}/{PROGRAM.name}")
    body = ast.parse(PROGRAM.read_text()).body
    [network] = [node for node in body if isinstance(node, ast.ClassDef) and node.name == "AlexNet"]
    names: dict[str, Any] = {"nn": nn}
    exec(compile(ast.Module([network], []), str(PROGRAM), "exec"), names)  # noqa: S102
    theirs: nn.Module = names["AlexNet"]()
    places = {f"layer{n}.0": f"conv{n}" for n in range(1, 6)}
    places |= {f"layer{n}.1": f"norm{n}" for n in range(1, 6)}
    places |= {"fc.1": "fc6", "fc1.1": "fc7", "fc2.0": "fc8"}
    ours = build("alexnet-bn")
    ours.load_state_dict(moved(theirs.state_dict(), places))
    x = torch.randn(2, 3, 227, 227)
    with torch.no_grad():
        for training in (True, False):
            outputs = []
            for model in (ours, theirs):
                torch.manual_seed(3)  # the same units are dropped
                outputs.append(model.train(training)(x))
            torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)
    statistics = moved(theirs.state_dict(), places)  # and what training has learned
    for key, value in ours.state_dict().items():
        if "running" in key:
            torch.testing.assert_close(value, statistics[key])


def moved(state: dict[str, Tensor], places: dict[str, str]) -> dict[str, Tensor]:
    """The tensors of `state` under the names of our parts."""
    split = {key: key.rpartition(".") for key in state}
    return {f"{places[part]}.{leaf}": state[key] for key, (part, _, leaf) in split.items()}


OWT_PLACES = dict(
    zip(
        [f"features.{n}" for n in (0, 3, 6, 8, 10)] + [f"classifier.{n}" for n in (1, 4, 6)],
        LAYERS,
        strict=True,
    )
)


def test_torchvisions_weights_give_torchvisions_output() -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed")
    theirs = torchvision.models.alexnet()
    ours = build("alexnet-owt")
    ours.load_state_dict(moved(theirs.state_dict(), OWT_PLACES))
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=1e-5)


def test_owt_equals_the_layout_written_with_torchs_layers() -> None:
    def stage(before: int, after: int, kernel: int, *pool: nn.Module, **rest: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, kernel, **rest), nn.ReLU(), *pool)  # type: ignore[arg-type]

    theirs = nn.Sequential(
        stage(3, 64, 11, nn.MaxPool2d(3, 2), stride=4, padding=2),
        stage(64, 192, 5, nn.MaxPool2d(3, 2), padding=2),
        stage(192, 384, 3, padding=1),
        stage(384, 256, 3, padding=1),
        stage(256, 256, 3, nn.MaxPool2d(3, 2), padding=1),
        nn.AdaptiveAvgPool2d(6),
        nn.Flatten(),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(9216, 4096), nn.ReLU()),
        nn.Sequential(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU()),
        nn.Linear(4096, 1000),
    )
    places = dict(zip(("0.0", "1.0", "2.0", "3.0", "4.0", "7.1", "8.1", "9"), LAYERS, strict=True))
    state = moved(theirs.state_dict(), places)
    with torch.no_grad():
        for size in (224, 63, 130):  # 6×6, 1×1 and 3×3 before the averaging
            ours = plan("alexnet-owt", {"input_size": size})
            ours.load_state_dict(state, assign=True)
            x = torch.randn(2, 3, size, size)
            for training in (True, False):
                outputs = []
                for model in (ours, theirs):
                    torch.manual_seed(3)
                    outputs.append(model.train(training)(x))
                torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("hidden_norm", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_cifar_equals_the_plan_written_with_torchs_layers(
    hidden_norm: bool, training: bool, late: bool
) -> None:
    def stage(before: int, after: int, kernel: int, pooled: bool) -> list[nn.Module]:
        conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        pool = [nn.MaxPool2d(3, 2, 1)] if pooled else []
        return [conv, nn.BatchNorm2d(after), nn.ReLU(), *pool]

    def full(before: int, after: int) -> list[nn.Module]:
        norm = [nn.BatchNorm1d(after)] if hidden_norm else []
        linear = nn.Linear(before, after, bias=not hidden_norm)
        return [nn.Dropout(0.3), linear, *norm, nn.ReLU()]

    early_stages = [
        *stage(1, 4, 5, True),
        *stage(4, 12, 3, True),
        *stage(12, 24, 3, False),
        *stage(24, 16, 3, False),
    ]
    late_stages = [
        *stage(1, 4, 3, False),
        *stage(4, 8, 3, True),
        *stage(8, 16, 3, True),
        *stage(16, 16, 3, False),
    ]
    theirs = nn.Sequential(
        *(late_stages if late else early_stages),
        *stage(16, 16, 3, True),
        nn.Flatten(),
        *full(16 * 3 * 3, 20),
        *full(20, 20),
        nn.Linear(20, 7),
    )
    ours = build(
        "alexnet-cifar",
        {
            "classes": 7,
            "channels": 1,
            "input_size": 24,
            "width": 4,
            "hidden": 20,
            "dropout": 0.3,
            "hidden_norm": hidden_norm,
            "late_pooling": late,
        },
    )
    order = [f"{part}{n}" for n in range(1, 6) for part in ("conv", "norm")]
    order += ["fc6", "norm6", "fc7", "norm7", "fc8"] if hidden_norm else ["fc6", "fc7", "fc8"]
    weighted = [name for name, part in theirs.named_children() if list(part.parameters())]
    places = dict(zip(weighted, order, strict=True))
    ours.load_state_dict(moved(theirs.state_dict(), places))
    x = torch.randn(8, 1, 24, 24)
    outputs = []
    for model in (ours, theirs):
        torch.manual_seed(3)
        outputs.append(model.train(training)(x))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet-bn", "alexnet-owt"])
def test_weights_start_as_torch_starts_its_layers(name: str) -> None:
    # Uniform in ±1/√fan-in, biases too: the spread and the mean of each layer.
    arguments = {"input_size": 67, "classes": 5}  # fc6 sees one place, or an average of it
    model = build(name, arguments, seed=5)
    for layer in LAYERS:
        weight = model.get_parameter(f"{layer}.weight").detach()
        bias = model.get_parameter(f"{layer}.bias").detach()
        bound = 1 / math.sqrt(weight[0].numel())
        for values in (weight, bias):
            assert values.abs().max() <= bound
            sd = bound / math.sqrt(3)
            assert values.mean().abs() < 5 * sd / math.sqrt(values.numel())
            assert abs(values.std().item() / sd - 1) < 5 / math.sqrt(values.numel())


def test_cifars_biases_stand_where_nothing_takes_them_off() -> None:
    def biased(**arguments: Any) -> list[str]:
        names = dict(plan("alexnet-cifar", arguments).named_parameters())
        return [layer for layer in LAYERS if f"{layer}.bias" in names]

    assert biased() == ["fc6", "fc7", "fc8"]
    assert biased(hidden_norm=True) == ["fc8"]
    assert biased(norm=Norm("none")) == list(LAYERS)
    assert biased(norm=Norm()) == list(LAYERS)


def test_cifars_proportions_follow_its_arguments() -> None:
    model = plan("alexnet-cifar", {"width": 32, "hidden": 100, "dropout": 0.25})
    maps = [model.get_parameter(f"conv{n}.weight").shape[0] for n in range(1, 6)]
    assert maps == [32, 96, 192, 128, 128]
    assert model.get_parameter("fc7.weight").shape == (100, 100)
    dropped = [part.p for part in model.modules() if isinstance(part, nn.Dropout)]
    assert dropped == [0.25, 0.25]


def test_late_poolings_ledger_and_sizes() -> None:
    expected = LEDGERS["alexnet-cifar"][0] | {
        "conv1": 64 * 3 * 9,
        "conv2": 128 * 64 * 9,
        "norm2": 2 * 128,
        "conv3": 256 * 128 * 9,
        "norm3": 2 * 256,
        "conv4": 256 * 256 * 9,
    }
    assert parameters(plan("alexnet-cifar", {"late_pooling": True})) == expected
    assert sum(expected.values()) == 3_917_386
    shown = {
        row.name: row.output_shape for row in anatomy("alexnet-cifar", late_pooling=True).layers
    }
    sizes = {name: shape for name, shape in shown.items() if name.startswith(("conv", "pool"))}
    assert sizes == {
        "conv1": (64, 32, 32),
        "conv2": (128, 32, 32),
        "pool2": (128, 16, 16),
        "conv3": (256, 16, 16),
        "pool3": (256, 8, 8),
        "conv4": (256, 8, 8),
        "conv5": (256, 8, 8),
        "pool5": (256, 4, 4),
    }


VARIANTS: list[dict[str, Any]] = [
    {"classes": 1},
    {"classes": 257, "channels": 1},
    {"input_size": 100},
    {"input_size": 131},
    {"padding": Pad("same", "reflect")},
    {"padding": Pad("explicit", "constant", 0.5, (2, 1, 0, 3))},
    {"padding": Pad("full", "circular")},
    {"pool": Pool("max", 2)},
    {"pool": Pool("max", 3, 2, ceil=True)},
    {"pool": Pool("min", 3, 2)},
    {"pool": Pool("average", 3, 2, "same", count_padding=True)},
    {"pool": Pool("l2", 3, 2)},
    {"pool": Pool("blur", 3, 2)},
    {"pool": Pool("stochastic", 3, 2)},
    {"pool": Pool("mixed", 3, 2)},
    {"pool": Pool("subsampling", 3, 2)},
    {"norm": Norm("none")},
    {"norm": Norm("batch", momentum=0.5)},
    {"norm": Norm(size=3, groups=2)},
    {"norm": Norm("within-map", size=4)},
    {"activation": Activation("tanh")},
    {"activation": Activation("gelu")},
]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, arguments) for name in ("alexnet-2012", "alexnet-bn") for arguments in VARIANTS]
    + [
        (name, arguments) for name in ("alexnet-cifar", "alexnet-owt") for arguments in VARIANTS[:5]
    ],
    ids=str,
)
def test_variants_fit_together(name: str, arguments: dict[str, Any]) -> None:
    classes = arguments.get("classes", 10 if name in ("alexnet-bn", "alexnet-cifar") else 1000)
    assert scores(name, arguments).shape == (2, classes)
    again = json.loads(json.dumps(arguments_json(arguments)))
    assert convert_arguments(name, again) == arguments


SMALL = {"width": 4, "hidden": 8, "input_size": 33, "classes": 5}


@pytest.mark.parametrize("arguments", VARIANTS[4:], ids=str)
def test_variants_compute_and_learn(arguments: dict[str, Any]) -> None:
    model = build("alexnet-cifar", SMALL | {"dropout": 0.0} | arguments, seed=1)
    x = torch.randn(6, 3, 33, 33)
    result = model(x)
    assert torch.isfinite(model.eval()(x)).all()
    result.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key
        assert parameter.grad.any(), key


def test_same_seed_same_weights() -> None:
    one, two = (build("alexnet-cifar", SMALL, seed=3).state_dict() for _ in range(2))
    other = build("alexnet-cifar", SMALL, seed=4).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not torch.equal(one["conv1.weight"], other["conv1.weight"])


def test_bfloat16_and_channels_last() -> None:
    model = build("alexnet-cifar", SMALL | {"width": 16, "dropout": 0.0}, seed=2)
    x = torch.randn(8, 3, 33, 33)
    plain = model(x)
    formats = {}
    for layer in ("conv1", "norm1", "pool1", "conv3", "pool5"):
        model.get_submodule(layer).register_forward_hook(
            lambda _, __, y, layer=layer: formats.update(
                {layer: (y.dtype, y.is_contiguous(memory_format=torch.channels_last))}
            )
        )
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16):
        result = model(x.to(memory_format=torch.channels_last))
    assert set(formats.values()) == {(torch.bfloat16, True)}
    torch.testing.assert_close(result.float(), plain, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_allocated_on_the_meta_device(name: str) -> None:
    model = plan(name)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


@pytest.mark.parametrize(
    ("name", "arguments", "least"),
    [
        ("alexnet-2012", {}, 64),  # ⌈(64 − 11)/4⌉ + 1 = 15 → 7 → 3 → 1
        ("alexnet-bn", {}, 67),  # ⌊(67 − 11)/4⌋ + 1 = 15
        ("alexnet-owt", {}, 63),  # ⌊(63 + 4 − 11)/4⌋ + 1 = 15
        ("alexnet-bn", {"pool": Pool("max", 2)}, 39),  # 8 → 4 → 2 → 1
        ("alexnet-cifar", {"pool": Pool("max", 3, 2)}, 15),
        ("alexnet-cifar", {"pool": Pool("max", 2), "padding": Pad("valid")}, 40),
        # pool5 2, conv3 to conv5 each 2 more: 8; pool2 16, conv2 18; pool1 36, conv1 40
    ],
)
def test_the_size_named_is_the_smallest_that_works(
    name: str, arguments: dict[str, Any], least: int
) -> None:
    assert scores(name, arguments | {"input_size": least}).dim() == 2
    for smaller in (1, least // 2, least - 1):
        with pytest.raises(InputError, match=rf"input_size {smaller}: .*input_size {least} works"):
            plan(name, arguments | {"input_size": smaller})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "alexnet-bn",
            {"input_size": 32},
            r"^input_size 32: pool2 receives 2×2: a window of 3 does not fit into 2 .*; "
            r"with this pooling and padding, input_size 67 works$",
        ),
        ("alexnet-owt", {"input_size": 6}, r"conv1 receives 6×6: a window of 11 does not fit"),
        (
            "alexnet-cifar",
            {"pool": Pool("global-max"), "padding": Pad("valid")},
            r"conv2 receives 1×1: .*no input size up to 1024 works with this pooling and padding",
        ),
        (
            "alexnet-bn",
            {"input_size": 1024, "pool": Pool("none")},
            r"input_size 1024 leaves 256 maps of 254×254, too many inputs for the 4096 units "
            r"of fc6; allowed: 65536; use a smaller input_size or a larger pooling stride",
        ),
        ("alexnet-2012", {"input_size": 1024}, r"leaves 256 maps of 31×31, too many inputs"),
        ("alexnet-cifar", {"input_size": 512}, r"of 64×64, .*512 units of fc6; allowed: 524288;"),
        ("alexnet-cifar", {"width": 10**9}, "width is 1000000000; allowed: a whole number from 1"),
        ("alexnet-cifar", {"width": 0}, "width is 0; allowed: a whole number from 1 to 512"),
        ("alexnet-cifar", {"width": True}, "width is True; allowed: a whole number"),
        ("alexnet-cifar", {"hidden": 4097}, "hidden is 4097; allowed: a whole number from 1"),
        ("alexnet-cifar", {"dropout": 1.0}, "dropout is 1.0; allowed: a number from 0 to 0.95"),
        ("alexnet-cifar", {"dropout": math.nan}, "dropout is nan; allowed: a number from 0"),
        ("alexnet-cifar", {"hidden_norm": 1}, "hidden_norm is 1; allowed: true or false"),
        ("alexnet-cifar", {"late_pooling": 1}, "late_pooling is 1; allowed: true or false"),
        ("alexnet-cifar", {"norm": Norm(groups=7)}, "in 7 groups cannot split 64 maps"),
        ("alexnet-bn", {"width": 64}, "unknown argument of alexnet-bn 'width'"),
        ("alexnet-bn", {"classes": 10**9}, "classes is 1000000000; allowed: a whole number"),
        ("alexnet-bn", {"norm": {"layer": "norm", "kind": "x\x1b"}}, r"normalisation 'x\\x1b'"),
        ("alexnet-bn", {"norm": Pool()}, "."),
    ],
)
def test_impossible_arguments_say_what_is_possible(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        plan(name, arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_no_arguments_ask_for_more_memory_than_a_machine_has(name: str) -> None:
    # The largest that is allowed: fc6 just below its bound, 100,000 classes, all widths.
    arguments: dict[str, Any] = {"classes": 100_000, "input_size": 540}
    if name == "alexnet-cifar":
        arguments = {"classes": 100_000, "input_size": 40, "width": 512, "hidden": 4096}
    model = plan(name, arguments)
    assert 4 * sum(p.numel() for p in model.parameters()) < 5e9
