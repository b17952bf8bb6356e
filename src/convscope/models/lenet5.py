"""LeNet-5 three times: as published, as the field reads it, and as a common Keras program.

LeCun, Bottou, Bengio & Haffner, "Gradient-Based Learning Applied to Document Recognition",
Proceedings of the IEEE 86(11), 1998, doi 10.1109/5.726791.

Shapes in comments: N images, maps @ height × width at the default 32 × 32 (28 × 28 for Keras).
"""

import math

import torch
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.activation import Activation
from convscope.layers.convolution import LENET5_C3, Convolution
from convscope.layers.fusing import convolve_and_pool, dense
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.layers.pools import Subsampling
from convscope.layers.rbf import CODES, RBF
from convscope.layers.spec import check_choice
from convscope.models.registry import Classifier, register
from convscope.models.sizes import final_size

C3_LINKS = ("dense", "table")
LARGEST_C5 = 2**18
"""The most inputs of C5: 126 MB of weights."""


@register("lenet5-1998")
def lenet5_1998(
    *,
    classes: int = 10,
    channels: int = 1,
    input_size: int = 32,
    pool: Pool = Pool("subsampling"),
    padding: Pad = Pad("valid"),
    activation: Activation = Activation("scaled-tanh"),
    codes: str = "bitmaps",
) -> Classifier:
    """LeNet-5 exactly as published in 1998: 60,000 parameters, 340,908 connections.

    Facts of the paper:
        - Input 32 × 32, larger than any character, so that strokes can be centred (§II-B).
        - C1: 6 maps, 5 × 5: 156 parameters, 122,304 connections.
        - S2: 6 maps, 2 × 2: sum × coefficient + bias: 12 parameters, 5,880 connections.
        - C3: 16 maps, 5 × 5, each sees the S2 maps of Table I: 1,516 parameters, 151,600
          connections.
        - S4: 16 maps, as S2: 32 parameters, 2,000 connections.
        - C5: 120 maps of one unit, 5 × 5, sees all of S4: 48,120 parameters and connections.
        - F6: 84 units: 10,164 parameters and connections.
        - Units up to F6 pass their weighted sum through 1.7159·tanh(2a/3) (§II-B, App. A): C1 and
          C3 as well as S2, S4, C5 and F6.
        - Output: Euclidean RBF units with fixed codes of ±1, 7 × 12 bitmaps: no parameters, 840
          connections. The smallest penalty wins.
        - Initial weights: uniform in ±2.4/F, F the fan-in of the unit (App. A).
        - Losses: Eq. 8 and Eq. 9, in `convscope.layers.rbf`.

    Deviations:
        - Scores are −y, so that the largest wins, as for every model here.

    Guesses:
        - The bitmaps are drawn for this project: the paper's figure is too small to copy.
        - Biases are drawn like weights, as connections to a constant input; F leaves them out.
        - S2's coefficients too: F = 4, so ±0.6.

    Args:
        classes: 1 to 10: the first codes are used; there are no more.
        channels: 1 or 3.
        input_size: height and width; C5 always sees the whole of S4.
        pool: S2 and S4. padding: of C1 and C3. activation: after each layer up to F6.
        codes: `bitmaps`, drawn after the paper's; to see what they matter, `bold` (the same with
            wider strokes), `place` (one of N) or `random`.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    return LeNet5Published(
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        activation=activation,
        codes=codes,
    )


@register("lenet5")
def lenet5(
    *,
    classes: int = 10,
    channels: int = 1,
    input_size: int = 32,
    pool: Pool = Pool("max"),
    padding: Pad = Pad("valid"),
    activation: Activation = Activation("tanh"),
    c3: str = "dense",
) -> Classifier:
    """LeNet-5 as most programs have it: dense C3, tanh, max pooling: 61,706 parameters.

    Facts of the paper: the sizes 32 → 28 → 14 → 10 → 5 and the widths 6, 16, 120, 84, 10 (§II-B).

    Deviations, those of the field:
        - C3 sees all of S2: 2,416 parameters (`c3="table"` gives the paper's 1,516).
        - Pooling has no parameters; tanh is not scaled and stands before pooling alone.
        - The output is linear, 850 parameters, for softmax and cross-entropy.

    Parameters: C1 156, C3 2,416, C5 48,120, F6 10,164, output 850: 61,706.

    Guesses: initial weights are Glorot-uniform with zero biases; the readings vary.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; C5 always sees the whole of S4.
        pool: S2 and S4. padding: of C1 and C3. activation: after C1, C3, C5 and F6.
        c3: `dense`, or `table` for the connections of the paper's Table I.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    return LeNet5(
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        activation=activation,
        c3=c3,
    )


@register("lenet5-keras")
def lenet5_keras(
    *,
    classes: int = 10,
    channels: int = 1,
    input_size: int = 28,
    pool: Pool = Pool("max"),
    padding: Pad = Pad("valid"),
    activation: Activation = Activation("tanh"),
) -> Classifier:
    """LeNet-5 as a widespread Keras program has it: 28×28 input, no padding: 44,426 parameters.

    Facts of that program: Conv2D(6, 5, tanh), MaxPooling2D(2), Conv2D(16, 5, tanh),
    MaxPooling2D(2), Flatten, Dense(120, tanh), Dense(84, tanh), Dense(10, softmax); Keras'
    initial weights, Glorot-uniform with zero biases.

    Deviations:
        - It gives logits; softmax is part of the loss.
        - C5's inputs are in the order maps, rows, columns, where Keras flattens rows, columns,
          maps. A transfer of weights must permute them.

    Parameters: C1 156, C3 2,416, C5 30,840 (16 maps of 4 × 4), F6 10,164, output 850: 44,426.
    The paper's own sizes (32 × 32 input) give C5 48,120 instead.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; C5 always sees the whole of S4.
        pool: S2 and S4. padding: of C1 and C3. activation: after C1, C3, C5 and F6.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    return LeNet5(
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        activation=activation,
        c3="dense",
    )


class LeNet5(Classifier):
    """The classic reading. See `lenet5` and `lenet5_keras`."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        input_size: int,
        pool: Pool,
        padding: Pad,
        activation: Activation,
        c3: str,
    ) -> None:
        super().__init__(classes=classes, channels=channels, input_size=input_size)
        check_choice("c3", c3, C3_LINKS)
        table = LENET5_C3 if c3 == "table" else None
        self.c1 = Convolution(channels, 6, 5, pad=padding)
        self.c1_activation = activation.build()
        self.s2 = pool.build(6)
        self.c3 = Convolution(6, 16, 5, pad=padding, table=table)
        self.c3_activation = activation.build()
        self.s4 = pool.build(16)
        rows, columns = _s4_size(self, input_size)
        self.c5 = nn.Linear(16 * rows * columns, 120)
        self.c5_activation = activation.build()
        self.f6 = nn.Linear(120, 84)
        self.f6_activation = activation.build()
        self.output = nn.Linear(84, classes)
        for layer in (self.c1, self.c3, self.c5, self.f6, self.output):
            glorot_uniform(layer)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        x = convolve_and_pool(x, self.c1, self.c1_activation, self.s2)  # N, 6@28 → 6@14
        x = convolve_and_pool(x, self.c3, self.c3_activation, self.s4)  # N, 16@10 → 16@5
        x = dense(x.flatten(1), self.c5, self.c5_activation)  # N, 120
        x = dense(x, self.f6, self.f6_activation)  # N, 84
        return dense(x, self.output)  # N, classes


class LeNet5Published(Classifier):
    """The network of the paper. See `lenet5_1998`."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        input_size: int,
        pool: Pool,
        padding: Pad,
        activation: Activation,
        codes: str,
    ) -> None:
        super().__init__(classes=classes, channels=channels, input_size=input_size)
        check_choice("codes", codes, CODES)
        drawn = CODES[codes]()
        if classes > len(drawn):
            raise InputError(
                f"lenet5-1998 has {classes} classes; allowed: 1 to {len(drawn)}, one for each "
                "code of its output; use lenet5 for more"
            )
        self.c1 = Convolution(channels, 6, 5, pad=padding)
        self.c1_activation = activation.build()
        self.s2 = pool.build(6)
        self.s2_activation = activation.build()
        self.c3 = Convolution(6, 16, 5, pad=padding, table=LENET5_C3)
        self.c3_activation = activation.build()
        self.s4 = pool.build(16)
        self.s4_activation = activation.build()
        self.c5 = Convolution(16, 120, _s4_size(self, input_size))
        self.c5_activation = activation.build()
        self.f6 = nn.Linear(120, 84)
        self.f6_activation = activation.build()
        self.output = RBF(drawn[:classes])
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5, self.f6):
            lecun_uniform(layer)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes: −y, the negated penalties."""
        x = self.c1_activation(self.c1(x))  # N, 6@28
        x = self.s2_activation(self.s2(x))  # N, 6@14
        x = self.c3_activation(self.c3(x))  # N, 16@10
        x = self.s4_activation(self.s4(x))  # N, 16@5
        x = self.c5_activation(self.c5(x))  # N, 120@1
        x = self.f6_activation(self.f6(x.flatten(1)))  # N, 84
        scores: Tensor = self.output(x)  # N, classes
        return scores


def _s4_size(model: LeNet5 | LeNet5Published, input_size: int) -> tuple[int, int]:
    """Height and width of S4's maps. Raises InputError that names sizes that work."""
    layers = {"C1": model.c1, "S2": model.s2, "C3": model.c3, "S4": model.s4}
    rows, columns = final_size(layers, input_size)
    if 16 * rows * columns > LARGEST_C5:
        raise InputError(
            f"input_size {input_size} leaves S4 16 maps of {rows}×{columns}, too many inputs for "
            f"C5; allowed: {LARGEST_C5}; use a smaller input_size or a larger pooling stride"
        )
    return rows, columns


def glorot_uniform(layer: nn.Module) -> None:
    """Weights uniform in ±√(6/(fan-in + fan-out)), biases zero (Glorot & Bengio 2010), as Keras.

    A convolution's fan-out is its kernel area × output maps. With a connection table the dense
    fans are used.
    """
    if isinstance(layer, Convolution):
        area = math.prod(layer.kernel)
        fans = area * (layer.in_maps // layer.groups + layer.out_maps // layer.groups)
    elif isinstance(layer, nn.Linear):
        fans = layer.in_features + layer.out_features
    else:
        raise TypeError(f"no Glorot rule for {type(layer).__name__}")
    bound = math.sqrt(6 / fans)
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def lecun_uniform(layer: nn.Module) -> None:
    """Weights and biases uniform in ±2.4/F, F the fan-in of their unit (LeCun 1998, App. A).

    Layers without a fan-in of weights (a pooling without parameters) are left as they are.
    """
    if isinstance(layer, Convolution):
        start = 0
        for o, fan_in in enumerate(layer.fan_in()):
            count = 1 if layer.table is None else len(layer.table[o])
            _uniform(layer.weight.data[start : start + count], 2.4 / fan_in)
            start += count
            if layer.bias is not None:
                _uniform(layer.bias.data[o : o + 1], 2.4 / fan_in)
    elif isinstance(layer, Subsampling | nn.Linear):
        fan_in = layer.window.area if isinstance(layer, Subsampling) else layer.in_features
        _uniform(layer.weight.data, 2.4 / fan_in)
        _uniform(layer.bias.data, 2.4 / fan_in)


def _uniform(values: Tensor, bound: float) -> None:
    with torch.no_grad():
        values.uniform_(-bound, bound)
