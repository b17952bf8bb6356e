"""AlexNet as programs have it: with batch normalisation, and in one column.

The network of the 2012 paper is in `alexnet_2012`, that for small images in `alexnet_cifar`.

Shapes in comments: N images, maps @ height × width of alexnet-bn at its default 227 × 227.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.activation import Activation
from convscope.layers.convolution import Convolution
from convscope.layers.fusing import normalise_and_pool
from convscope.layers.normalization import Norm, UnitNorm
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.layers.spec import check_number
from convscope.models.registry import Classifier, register
from convscope.models.sizes import final_size

LARGEST_FC6 = 2**28
"""The most weights of fc6: 1 GB; 65,536 inputs for 4,096 units."""
OVERLAPPING = Pool("max", 3, 2)
"""A window larger than its stride (Krizhevsky 2012, §3.4)."""


@dataclass(frozen=True)
class Plan:
    """The proportions of an AlexNet.

    Attributes:
        maps: of the five convolutions.
        kernel, stride, border: of conv1; None is the border of the others.
        kernel2: of conv2; conv3 to conv5 have 3.
        hidden: units of fc6 and fc7.
        dropout: probability before fc6 and fc7.
        average: the maps are averaged to this height and width before fc6; None leaves them.
        hidden_norm: fc6 and fc7 are batch-normalised before their activations, too.
        spare_bias: no bias where batch normalisation follows, which takes any constant off.
        late_pooling: the first two pooling layers follow conv2 and conv3, not conv1 and conv2.
    """

    maps: tuple[int, int, int, int, int]
    kernel: int = 11
    stride: int = 4
    border: Pad | None = None
    kernel2: int = 5
    hidden: int = 4096
    dropout: float = 0.5
    average: int | None = None
    hidden_norm: bool = False
    spare_bias: bool = False
    late_pooling: bool = False


BATCH_NORM = Plan((96, 256, 384, 384, 256), border=Pad("valid"))
ONE_WEIRD_TRICK = Plan((64, 192, 384, 256, 256), border=Pad("explicit", sides=2), average=6)


@register("alexnet-bn")
def alexnet_bn(
    *,
    classes: int = 10,
    channels: int = 3,
    input_size: int = 227,
    pool: Pool = OVERLAPPING,
    padding: Pad = Pad("same"),
    norm: Norm = Norm("batch"),
    activation: Activation = Activation("relu"),
    dropout: float = 0.5,
) -> Classifier:
    """AlexNet with batch normalisation as a common PyTorch program has it: 58,325,066 parameters.

    Facts of that program: Conv2d, BatchNorm2d, ReLU five times, MaxPool2d(3, 2) after the first,
    second and fifth; Dropout(0.5), Linear, ReLU twice; Linear; torch's initial weights.

        227 → conv1 11/4 55 → pool1 27 → conv2 5 27 → pool2 13 → conv3–5 3 13 → pool5 6

    Differences from the paper (Krizhevsky 2012; see `alexnet_2012`):
        - One column: conv2, conv4 and conv5 see all maps.
        - Batch normalisation (Ioffe & Szegedy 2015) before every ReLU of a convolution, in place
          of local response normalisation after two of them.
        - Dropout stands before fc6 and fc7 rather than after them: pool5's output is dropped and
          fc7's is not.
        - Initial weights: uniform in ±1/√fan-in, biases too.

    Parameters at 10 classes: conv1 34,944, conv2 614,656, conv3 885,120, conv4 1,327,488, conv5
    884,992, batch normalisation 192 + 512 + 768 + 768 + 512, fc6 37,752,832, fc7 16,781,312, fc8
    40,970: 58,325,066.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; fc6 always sees the whole of pool5.
        pool: after conv1, conv2 and conv5. padding: of conv2 to conv5; conv1 has none.
        norm: between each convolution and its activation. activation: of every layer but fc8.
        dropout: probability before fc6 and fc7, 0 to 0.95.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    check_number("dropout", dropout, 0, 0.95)
    return AlexNet(
        replace(BATCH_NORM, dropout=dropout),
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        norm=norm,
        activation=activation,
    )


@register("alexnet-owt")
def alexnet_owt(
    *,
    classes: int = 1000,
    channels: int = 3,
    input_size: int = 224,
    pool: Pool = OVERLAPPING,
    padding: Pad = Pad("same"),
    norm: Norm = Norm("none"),
    activation: Activation = Activation("relu"),
) -> Classifier:
    """AlexNet in one column, torchvision's layout: 61,100,840 parameters at 1000 classes.

    Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
    arXiv 1404.5997, as torchvision's `alexnet` reads it: widths 64, 192, 384, 256, 256; conv1
    padded by 2; pool5 averaged to 6 × 6, which at 224 changes nothing; dropout before fc6 and
    fc7; no normalisation; torch's initial weights.

        224 → conv1 11/4 55 → pool1 27 → conv2 5 27 → pool2 13 → conv3–5 3 13 → pool5 6 → 6

    Parameters: conv1 23,296, conv2 307,392, conv3 663,936, conv4 884,992, conv5 590,080, fc6
    37,752,832, fc7 16,781,312, fc8 4,097,000: 61,100,840.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; 63 is the least with these layers.
        pool: after conv1, conv2 and conv5. padding: of conv2 to conv5; conv1 has 2 a side.
        norm: between each convolution and its activation. activation: of every layer but fc8.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    return AlexNet(
        ONE_WEIRD_TRICK,
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        norm=norm,
        activation=activation,
    )


class AlexNet(Classifier):
    """One column: convolution, normalisation, activation, pooling. See the functions above.

    It also takes smaller pictures, those that leave conv5 the maps that fc6 expects of pool5
    (115 × 115 instead of 227 × 227): pool5 is then passed by. Training may begin with them.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        classes: int,
        channels: int,
        input_size: int,
        pool: Pool,
        padding: Pad,
        norm: Norm,
        activation: Activation,
    ) -> None:
        super().__init__(classes=classes, channels=channels, input_size=input_size)
        one, two, three, four, five = plan.maps
        border = padding if plan.border is None else plan.border
        bias = not (plan.spare_bias and norm.kind == "batch")
        self.conv1 = Convolution(
            channels, one, plan.kernel, stride=plan.stride, pad=border, bias=bias
        )
        self.norm1, self.activation1 = norm.build(one), activation.build()
        self.pool1 = nn.Identity() if plan.late_pooling else pool.build(one)
        self.conv2 = Convolution(one, two, plan.kernel2, pad=padding, bias=bias)
        self.norm2, self.activation2 = norm.build(two), activation.build()
        self.pool2 = pool.build(two)
        self.conv3 = Convolution(two, three, 3, pad=padding, bias=bias)
        self.norm3, self.activation3 = norm.build(three), activation.build()
        self.pool3 = pool.build(three) if plan.late_pooling else nn.Identity()
        self.conv4 = Convolution(three, four, 3, pad=padding, bias=bias)
        self.norm4, self.activation4 = norm.build(four), activation.build()
        self.conv5 = Convolution(four, five, 3, pad=padding, bias=bias)
        self.norm5, self.activation5 = norm.build(five), activation.build()
        self.pool5 = pool.build(five)
        inputs = fc6_inputs(self, five, plan.hidden, plan.average)
        self.average = nn.Identity() if plan.average is None else nn.AdaptiveAvgPool2d(plan.average)
        self.dropout6, self.dropout7 = nn.Dropout(plan.dropout), nn.Dropout(plan.dropout)
        bias = not (plan.spare_bias and plan.hidden_norm)
        self.fc6 = nn.Linear(inputs, plan.hidden, bias=bias)
        self.norm6, self.activation6 = _hidden_norm(plan), activation.build()
        self.fc7 = nn.Linear(plan.hidden, plan.hidden, bias=bias)
        self.norm7, self.activation7 = _hidden_norm(plan), activation.build()
        self.fc8 = nn.Linear(plan.hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        smaller = x.shape[-1] < self.input_shape[-1] and isinstance(self.average, nn.Identity)
        x = self.conv1(x)  # N, 96@55
        x = normalise_and_pool(x, self.norm1, self.activation1, self.pool1)  # N, 96@27
        x = self.conv2(x)  # N, 256@27
        x = normalise_and_pool(x, self.norm2, self.activation2, self.pool2)  # N, 256@13
        x = self.conv3(x)
        x = normalise_and_pool(x, self.norm3, self.activation3, self.pool3)  # N, 384@13
        x = self.conv4(x)
        x = normalise_and_pool(x, self.norm4, self.activation4)  # N, 384@13
        x = self.conv5(x)  # N, 256@13
        fits = smaller and x.shape[1:].numel() == self.fc6.in_features
        pool5 = nn.Identity() if fits else self.pool5
        x = normalise_and_pool(x, self.norm5, self.activation5, pool5)  # N, 256@6
        x = self.average(x).flatten(1)  # N, 9216
        x = self.activation6(self.norm6(self.fc6(self.dropout6(x))))  # N, 4096
        x = self.activation7(self.norm7(self.fc7(self.dropout7(x))))  # N, 4096
        scores: Tensor = self.fc8(x)  # N, classes
        return scores


def _hidden_norm(plan: Plan) -> nn.Module:
    return UnitNorm(plan.hidden) if plan.hidden_norm else nn.Identity()


def fc6_inputs(model: Classifier, maps: int, units: int = 4096, average: int | None = None) -> int:
    """How many values fc6 sees after the layers that `model` has so far; they end in `maps` maps.

    Raises:
        InputError: a layer that does not fit, with an input size that does, or too many values.
    """
    input_size = model.input_shape[1]
    rows, columns = final_size(dict(model.named_children()), input_size)
    if average is not None:
        rows = columns = average
    inputs = maps * rows * columns
    if inputs * units > LARGEST_FC6:
        raise InputError(
            f"input_size {input_size} leaves {maps} maps of {rows}×{columns}, too many inputs for "
            f"the {units} units of fc6; allowed: {LARGEST_FC6 // units}; use a smaller input_size "
            "or a larger pooling stride"
        )
    return inputs
