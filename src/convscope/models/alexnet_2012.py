"""AlexNet as published in 2012, and where its authors' program differs.

Krizhevsky, Sutskever & Hinton, "ImageNet Classification with Deep Convolutional Neural Networks",
Advances in Neural Information Processing Systems 25, 2012. The program: Computer History Museum,
AlexNet-Source-Code, layers/layers-145.cfg and layer-params-145.cfg, read by layer.py.

Shapes in comments: N images, maps @ height × width at the default 224 × 224.
"""

from torch import Tensor, nn

from convscope.layers.activation import Activation
from convscope.layers.convolution import Convolution
from convscope.layers.normalization import Norm
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool, activate_and_pool
from convscope.layers.spec import check_choice
from convscope.models.alexnet import OVERLAPPING, fc6_inputs
from convscope.models.registry import Classifier, register

VARIANTS = ("paper", "code")
PAPER_NORM = Norm("local-response", divide=False)
CODE_NORM = Norm("local-response", divide=True, groups=2)
EXTRA_NORM = Norm("within-map", k=1.0, alpha=1e-3)


@register("alexnet-2012")
def alexnet_2012(
    *,
    classes: int = 1000,
    channels: int = 3,
    input_size: int = 224,
    pool: Pool = OVERLAPPING,
    padding: Pad = Pad("same"),
    norm: Norm = PAPER_NORM,
    activation: Activation = Activation("relu"),
    variant: str = "paper",
) -> Classifier:
    """AlexNet as published in 2012, in two columns: 60,965,224 parameters at 1000 classes.

        224 → conv1 11/4 55 → pool1 27 → conv2 5 27 → pool2 13 → conv3–5 3 13 → pool5 6

    Facts of the paper:
        - conv1: 96 maps, 11 × 11, stride 4: 34,944 parameters (§3.5).
        - conv2: 256 maps, 5 × 5, each sees its own column's 48: 307,456 parameters.
        - conv3: 384 maps, 3 × 3, sees both columns: 885,120 parameters.
        - conv4: 384 maps, 3 × 3, own column: 663,936; conv5: 256 maps, 3 × 3, own column: 442,624.
        - fc6, fc7: 4,096 units each: 37,752,832 and 16,781,312; fc8: 4,097,000.
        - ReLU after every convolution and after fc6 and fc7 (§3.1).
        - Local response normalisation after the ReLU of conv1 and conv2, n 5, k 2, α 1e-4,
          β 0.75 (§3.3). Its formula does not divide α by n.
        - Overlapping max pooling, 3/2, after both normalisations and after conv5 (§3.4, §3.5).
        - Dropout 0.5 of the units of fc6 and fc7 (§4.2).
        - Initial weights normal, standard deviation 0.01; biases 1 in conv2, conv4, conv5, fc6
          and fc7, else 0 (§5).
        - 659,272 units: 290,400, 186,624, 64,896, 64,896, 43,264, 4,096, 4,096 and 1,000.

    With `variant="code"`, as the authors' program has it:
        - conv1 → normalisation → pool1 → ReLU, and conv5 → pool5 → ReLU.
        - conv2 → ReLU → normalisation → a second normalisation, within each map over 5 × 5
          (k 1, α 1e-3, β 0.75), → pool2.
        - The program divides α by n (and by n² within a map), and normalises each column alone.
        - Standard deviation 0.03 in conv3, conv4 and conv5.

    Deviations, in both:
        - The program takes sizes by ceil, so 224 gives 55: ⌈(224 − 11)/4⌉ + 1. Here conv1's input
          is padded by 3 zeros at right and bottom, and ⌊(size + 3 − 11)/4⌋ + 1 is the same for
          every size; 227 gives 55 too, without using them. Pooling takes floor, which at 224
          and 227 is the same.
        - Dropout doubles what it keeps in training; the paper halves everything in evaluation.
        - The two columns are groups of one convolution, on one device.

    Guesses: whether the paper's normalisation crosses the columns. Its N counts all maps of the
    layer, so here it does.

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; fc6 always sees the whole of pool5.
        pool: after conv1, conv2 and conv5. padding: of conv2 to conv5.
        norm: at conv1 and conv2. The default stands for that of the variant; the program's second
            normalisation comes with `local-response` alone.
        activation: of every layer but fc8.
        variant: `paper` or `code`.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    check_choice("variant", variant, VARIANTS)
    network = PaperAlexNet if variant == "paper" else CodeAlexNet
    if variant == "code" and norm == PAPER_NORM:
        norm = CODE_NORM
    return network(
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        norm=norm,
        activation=activation,
    )


class PaperAlexNet(Classifier):
    """The network of the paper. See `alexnet_2012`."""

    deviation = 0.01
    """Standard deviation of the initial weights of conv3, conv4 and conv5."""

    def __init__(
        self,
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
        edge = Pad("explicit", sides=(0, 3, 0, 3))  # makes floor the program's ceil
        self.conv1 = Convolution(channels, 96, 11, stride=4, pad=edge)
        self.norm1, self.activation1 = norm.build(96), activation.build()
        self.pool1 = pool.build(96)
        self.conv2 = Convolution(96, 256, 5, pad=padding, groups=2)
        self.norm2, self.activation2 = norm.build(256), activation.build()
        self.extra2 = self.second_norm(norm).build(256)
        self.pool2 = pool.build(256)
        self.conv3 = Convolution(256, 384, 3, pad=padding)
        self.conv4 = Convolution(384, 384, 3, pad=padding, groups=2)
        self.conv5 = Convolution(384, 256, 3, pad=padding, groups=2)
        self.activation3, self.activation4 = activation.build(), activation.build()
        self.activation5, self.pool5 = activation.build(), pool.build(256)
        inputs = fc6_inputs(self, 256)
        self.fc6, self.activation6 = nn.Linear(inputs, 4096), activation.build()
        self.fc7, self.activation7 = nn.Linear(4096, 4096), activation.build()
        self.dropout6, self.dropout7 = nn.Dropout(0.5), nn.Dropout(0.5)
        self.fc8 = nn.Linear(4096, classes)
        self.reset_parameters()

    @staticmethod
    def second_norm(norm: Norm) -> Norm:
        """What follows the normalisation of conv2."""
        del norm
        return Norm("none")

    def reset_parameters(self) -> None:
        """The paper's initial weights (§5), from torch's global generator."""
        inner = (self.conv3, self.conv4, self.conv5)
        ones = (self.conv2, self.conv4, self.conv5, self.fc6, self.fc7)
        for layer in (self.conv1, self.conv2, *inner, self.fc6, self.fc7, self.fc8):
            nn.init.normal_(layer.weight, std=self.deviation if layer in inner else 0.01)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, 1.0 if layer in ones else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        x = self.pool1(self.norm1(self.activation1(self.conv1(x))))  # N, 96@55 → 96@27
        x = self.pool2(self.norm2(self.activation2(self.conv2(x))))  # N, 256@27 → 256@13
        x = self.conv5(self.inner(x))  # N, 256@13
        return self.classify(activate_and_pool(x, self.activation5, self.pool5))  # N, 256@6

    def inner(self, x: Tensor) -> Tensor:
        """conv3 and conv4: N × 256 × H × W to N × 384 × H × W."""
        x = self.activation3(self.conv3(x))  # N, 384@13
        y: Tensor = self.activation4(self.conv4(x))  # N, 384@13
        return y

    def classify(self, x: Tensor) -> Tensor:
        """The fully connected layers: N × 256 × H × W to N × classes."""
        x = self.dropout6(self.activation6(self.fc6(x.flatten(1))))  # N, 9216 → 4096
        x = self.dropout7(self.activation7(self.fc7(x)))  # N, 4096
        scores: Tensor = self.fc8(x)  # N, classes
        return scores


class CodeAlexNet(PaperAlexNet):
    """The network of the authors' program. See `alexnet_2012`."""

    deviation = 0.03

    @staticmethod
    def second_norm(norm: Norm) -> Norm:
        """The program's normalisation within each map."""
        return EXTRA_NORM if norm.kind == "local-response" else Norm("none")

    def forward(self, x: Tensor) -> Tensor:
        """N × C × H × W to N × classes."""
        x = self.activation1(self.pool1(self.norm1(self.conv1(x))))  # N, 96@55 → 96@27
        x = self.norm2(self.activation2(self.conv2(x)))  # N, 256@27
        x = self.pool2(self.extra2(x))  # N, 256@13
        x = self.pool5(self.conv5(self.inner(x)))  # N, 256@6
        return self.classify(self.activation5(x))
