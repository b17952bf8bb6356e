"""What a layer is, in a sentence or two, and where it was described."""

from typing import Any

from torch import nn

from convscope.explain.tracing import kind_of
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.facts import facts_of
from convscope.layers.normalization import LocalResponseNorm
from convscope.layers.pool_variants import BlurPool, MixedPool, StochasticPool
from convscope.layers.pools import (
    AveragePool,
    GlobalAveragePool,
    GlobalMaxPool,
    LpPool,
    MaxPool,
    MinPool,
    PoolModule,
)

_LECUN = "LeCun et al. 1998"
_KRIZHEVSKY = "Krizhevsky et al. 2012"

_KINDS: dict[str, tuple[str, str]] = {
    # kind of a step: (about, source)
    "convolution": (
        "Every unit of a map weighs the same small window of the maps before it with the same "
        "kernel, at another place. So a map says where its one pattern is.",
        f"{_LECUN}, section II-A",
    ),
    "subsampling": (
        "The sum of each window, times a trained coefficient, plus a trained bias, one of each a "
        "map: the exact place of a feature is given up on purpose.",
        f"{_LECUN}, section II-B",
    ),
    "linear": (
        "Every unit is a weighted sum of all inputs, plus a bias.",
        f"{_LECUN}, section II-B",
    ),
    "norm": (
        "Each map is shifted and scaled by the mean and variance that it had in training, then by "
        "a trained scale and shift.",
        "Ioffe & Szegedy 2015, section 3",
    ),
    "lrn": (
        "Each value is divided by a measure of how strongly its neighbours answer, so that maps "
        "compete.",
        f"{_KRIZHEVSKY}, section 3.3",
    ),
    "rbf": (
        "Each class has a fixed code of ±1, drawn as a small bitmap; its score is minus the "
        "squared distance of the last layer to that code. The nearest code wins.",
        f"{_LECUN}, section II-B",
    ),
    "flatten": ("The maps are laid out as one row of numbers; nothing is computed.", ""),
    "average": ("Each map is divided into equal parts, of which the mean is taken.", ""),
    "activation": (
        "One and the same curve is applied to each value by itself; without it, all layers "
        "together would be a single weighted sum.",
        f"{_LECUN}, section II-B",
    ),
    "other": ("", ""),
}

_POOLS: dict[type[nn.Module], tuple[str, str]] = {
    # The first that matches counts, so special kinds come before general ones.
    GlobalMaxPool: ("The largest value of each whole map.", ""),
    GlobalAveragePool: (
        "The mean of each whole map.",
        "Lin, Chen & Yan 2014, section 3.2",
    ),
    MinPool: ("The smallest value of each window.", ""),
    MaxPool: (
        "The largest value of each window. Its gradient goes to that one input alone. Where "
        "windows overlap, one input may win several times.",
        f"{_KRIZHEVSKY}, section 3.4",
    ),
    nn.MaxPool2d: ("The largest value of each window.", f"{_KRIZHEVSKY}, section 3.4"),
    AveragePool: ("The mean of each window.", f"{_LECUN}, section II-B"),
    nn.AvgPool2d: ("The mean of each window.", f"{_LECUN}, section II-B"),
    LpPool: ("The root of the sum of powers of each window: between sum and maximum.", ""),
    StochasticPool: (
        "In training one value of each window is drawn by its share; here its mean under these "
        "shares is taken.",
        "Zeiler & Fergus 2013, section 3",
    ),
    MixedPool: (
        "A share of the maximum and the rest of the mean of each window.",
        "Lee, Gallagher & Tu 2016, section 3.1",
    ),
    BlurPool: (
        "The maximum at every place, then a blur before only every so many are kept: a small "
        "shift of the input changes less.",
        "Zhang 2019, section 3",
    ),
}

_ACTIVATIONS = {
    "tanh": ("Tanh squeezes every value to between −1 and 1.", f"{_LECUN}, section II-B"),
    "scaled-tanh": (
        "1.7159·tanh(2x/3): so that f(1) is about 1, where the curve bends most.",
        f"{_LECUN}, appendix A",
    ),
    "relu": (
        "Negative values become 0, the others stay: the gradient of what is on does not fade.",
        f"{_KRIZHEVSKY}, section 3.1",
    ),
}


def about(module: nn.Module) -> tuple[str, str]:
    """(about, source) of a layer; empty texts where there is nothing to say."""
    for kind, words in _POOLS.items():
        if isinstance(module, kind):
            return words
    if isinstance(module, Activate) and module.activation.kind in _ACTIVATIONS:
        return _ACTIVATIONS[module.activation.kind]
    return _KINDS.get(kind_of(module), ("", ""))


def title(module: nn.Module, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """What a layer is, in a word or two."""
    if isinstance(module, Activate):
        return module.activation.kind
    if kind_of(module) == "activation":
        return type(module).__name__
    return facts_of(module, before, after).kind


def spec(module: nn.Module) -> dict[str, Any] | None:
    """The settings of a layer as JSON; None for layers without any."""
    if isinstance(module, Convolution):
        return {
            "layer": "convolution",
            "kernel": list(module.kernel),
            "stride": list(module.stride),
            "dilation": list(module.dilation),
            "groups": module.groups,
            "padding": module.pad.to_json(),
            "table": module.table,
        }
    if isinstance(module, Activate):
        return module.activation.to_json()
    if isinstance(module, PoolModule):
        return _pool_spec(module)
    if isinstance(module, LocalResponseNorm):
        names = ("size", "alpha", "beta", "k")
        return {"layer": "lrn"} | {
            name: value for name in names if (value := getattr(module, name, None)) is not None
        }
    if isinstance(module, nn.Linear):
        return {"layer": "linear", "inputs": module.in_features, "units": module.out_features}
    return None


def _pool_spec(module: PoolModule) -> dict[str, Any]:
    kind = type(module).__name__.removesuffix("Pool")
    named = {"GlobalAverage": "global-average", "GlobalMax": "global-max", "Lp": "lp"}
    found: dict[str, Any] = {"layer": "pool", "kind": named.get(kind, kind.lower())}
    if isinstance(module, GlobalAveragePool):
        return found
    rows, columns = module.window
    found |= {
        "kernel": [rows.kernel, columns.kernel],
        "stride": [rows.stride, columns.stride],
        "dilation": [rows.dilation, columns.dilation],
        "padding": [_plain(rows.padding), _plain(columns.padding)],
        "ceil": rows.ceil,
    }
    for name in ("count_padding", "p"):
        if hasattr(module, name):
            found[name] = getattr(module, name)
    return found


def _plain(padding: object) -> object:
    return list(padding) if isinstance(padding, tuple) else padding
