"""A small network whose every part is an argument, for experiments that change one of them.

Shapes in comments: N images, maps @ height × width at the default 32 × 32.
"""

from torch import Tensor, nn

from convscope.layers.activation import Activation
from convscope.layers.convolution import Convolution
from convscope.layers.normalization import Norm
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.layers.spec import check_choice, check_number, check_whole
from convscope.models.alexnet import fc6_inputs
from convscope.models.registry import Classifier, register

HEADS = ("full", "global-average", "global-max")
RATIO = (1, 3, 4, 4, 3)
"""AlexNet's maps, 96, 256, 384, 384 and 256, as nearly as small whole numbers give them."""


@register("ablation")
def ablation(
    *,
    classes: int = 10,
    channels: int = 3,
    input_size: int = 32,
    width: int = 8,
    layers: int = 5,
    columns: int = 1,
    kernel: int = 5,
    dilation: int = 1,
    pool: Pool = Pool("max", 3, 2, 1),
    last_pool: Pool = Pool("max", 3, 2, 1),
    padding: Pad = Pad("same"),
    norm: Norm = Norm("none"),
    activation: Activation = Activation("relu"),
    head: str = "full",
    hidden: int = 128,
    dropout: float = 0.0,
) -> Classifier:
    """AlexNet's plan in small, with every part an argument: one can be changed at a time.

        32 → conv1 5 32 → pool1 16 → conv2 3 16 → pool2 8 → conv3–5 3 8 → pool5 4 → fc6–8

    Facts of the paper that it keeps (Krizhevsky 2012, §3): five convolutions, pooling after the
    first, the second and the last; three fully connected layers; local response normalisation
    after the activation of the first two; dropout of the units of fc6 and fc7; two columns that
    meet in conv3.

    Ours: the widths, 1 : 3 : 4 : 4 : 3; kernels of 5 and 3; stride 1; initial weights normal with
    variance 2/fan-in (He 2015), biases zero, the same for every activation; batch normalisation
    stands between convolution and activation, after each of them.

    Parameters at the defaults: conv1 608, conv2 1,752, conv3 6,944, conv4 9,248, conv5 6,936,
    fc6 49,280, fc7 16,512, fc8 1,290: 92,570.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; fc6 sees the whole of the last maps.
        width: maps of conv1, 1 to 512; the others have 3, 4, 4 and 3 times as many.
        layers: convolutions, 2 to 8. Fewer than five leave out the fourth, the third; more repeat
            the fourth.
        columns: groups of conv2, and of those after conv3.
        kernel: of conv1, 1 to 11; the others have 3.
        dilation: of the convolutions after the second pooling, 1 to 8.
        pool: after conv1 and conv2. last_pool: after the last convolution.
        padding: of every convolution. norm, activation: see above.
        head: `full`, three layers of `hidden`, `hidden` and `classes` units; or `global-average`
            or `global-max` of each map and one layer of `classes` units.
        hidden: units of fc6 and fc7, 1 to 4096.
        dropout: of their outputs, 0 to 0.95.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    check_whole("width", width, 1, 512)
    check_whole("layers", layers, 2, 8)
    check_whole("columns", columns, 1, 512)
    check_whole("kernel", kernel, 1, 11)
    check_whole("dilation", dilation, 1, 8)
    check_choice("head", head, HEADS)
    check_whole("hidden", hidden, 1, 4096)
    check_number("dropout", dropout, 0, 0.95)
    return AblationNet(
        classes=classes,
        channels=channels,
        input_size=input_size,
        maps=[width * ratio for ratio in _ratios(layers)],
        columns=columns,
        kernel=kernel,
        dilation=dilation,
        pool=pool,
        last_pool=last_pool,
        padding=padding,
        norm=norm,
        activation=activation,
        head=head,
        hidden=hidden,
        dropout=dropout,
    )


def _ratios(layers: int) -> tuple[int, ...]:
    """Maps of each convolution, in multiples of the first's."""
    first, second, inner, _, last = RATIO
    if layers == 2:
        return first, second
    return first, second, *([inner] * (layers - 3)), last


class AblationNet(Classifier):
    """See `ablation`."""

    def __init__(
        self,
        *,
        classes: int,
        channels: int,
        input_size: int,
        maps: list[int],
        columns: int,
        kernel: int,
        dilation: int,
        pool: Pool,
        last_pool: Pool,
        padding: Pad,
        norm: Norm,
        activation: Activation,
        head: str,
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__(classes=classes, channels=channels, input_size=input_size)
        self.depth, before = len(maps), channels
        for number, after in enumerate(maps, 1):
            inner = number > 2
            layer = Convolution(
                before,
                after,
                kernel if number == 1 else 3,
                pad=padding,
                dilation=dilation if inner else 1,
                groups=columns if number == 2 or number > 3 else 1,
            )
            self.add_module(f"conv{number}", layer)
            early, late = _norms(norm, number, after)
            self.add_module(f"norm{number}", early)
            self.add_module(f"activation{number}", activation.build())
            self.add_module(f"response{number}", late)
            if number == self.depth:
                self.add_module(f"pool{number}", last_pool.build(after))
            else:
                self.add_module(f"pool{number}", nn.Identity() if inner else pool.build(after))
            before = after
        if head == "full":
            inputs = fc6_inputs(self, before, hidden)
            self.top = nn.Sequential(
                nn.Flatten(),
                nn.Linear(inputs, hidden),
                activation.build(),
                nn.Dropout(dropout),
                nn.Linear(hidden, hidden),
                activation.build(),
                nn.Dropout(dropout),
                nn.Linear(hidden, classes),
            )
        else:
            whole = Pool(head).build(before)
            self.top = nn.Sequential(whole, nn.Flatten(), nn.Linear(before, classes))
        for module in self.modules():
            he_normal(module)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        layers = dict(self.named_children())
        for number in range(1, self.depth + 1):  # N, 8@32 → 8@16 → 24@16 → 24@8 → … → 24@4
            for part in ("conv", "norm", "activation", "response", "pool"):
                x = layers[f"{part}{number}"](x)
        scores: Tensor = self.top(x)  # N, 384 → 128 → 128 → classes
        return scores


def _norms(norm: Norm, number: int, maps: int) -> tuple[nn.Module, nn.Module]:
    """What stands before an activation, and what after it."""
    if norm.kind == "batch":
        return norm.build(maps), nn.Identity()
    return nn.Identity(), norm.build(maps) if number <= 2 else nn.Identity()


def he_normal(layer: nn.Module) -> None:
    """Weights normal with variance 2/fan-in, biases zero (He et al. 2015, §2.2)."""
    if isinstance(layer, Convolution | nn.Linear):
        fan_in = layer.fan_in()[0] if isinstance(layer, Convolution) else layer.in_features
        nn.init.normal_(layer.weight, std=(2 / fan_in) ** 0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
