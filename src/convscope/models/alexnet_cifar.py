"""AlexNet's plan for small images."""

from convscope.layers.activation import Activation
from convscope.layers.normalization import Norm
from convscope.layers.padding import Pad
from convscope.layers.pooling import Pool
from convscope.layers.spec import check_flag, check_number, check_whole
from convscope.models.alexnet import AlexNet, Plan
from convscope.models.registry import Classifier, register


def small_plan(
    width: int, hidden: int, dropout: float, hidden_norm: bool, late_pooling: bool
) -> Plan:
    """The proportions for small images: `width` maps in conv1, the others have multiples of it.

    Late pooling leaves conv2 and conv3 four times as many places, so they have fewer maps.
    """
    multiples = (1, 2, 4, 4, 4) if late_pooling else (1, 3, 6, 4, 4)
    one, two, three, four, five = (width * multiple for multiple in multiples)
    return Plan(
        (one, two, three, four, five),
        kernel=3 if late_pooling else 5,
        stride=1,
        kernel2=3,
        hidden=hidden,
        dropout=dropout,
        hidden_norm=hidden_norm,
        spare_bias=True,
        late_pooling=late_pooling,
    )


@register("alexnet-cifar")
def alexnet_cifar(
    *,
    classes: int = 10,
    channels: int = 3,
    input_size: int = 32,
    width: int = 64,
    hidden: int = 512,
    dropout: float = 0.5,
    hidden_norm: bool = False,
    late_pooling: bool = False,
    pool: Pool = Pool("max", 3, 2, 1),
    padding: Pad = Pad("same"),
    norm: Norm = Norm("batch"),
    activation: Activation = Activation("relu"),
) -> Classifier:
    """AlexNet's plan proportioned for 32×32 images: 4,621,258 parameters at 10 classes.

    The plan: five convolutions, overlapping pooling after the first, second and fifth, three
    fully connected layers, ReLU, dropout before the first two of these.

        32 → conv1 5 32 → pool1 16 → conv2 3 16 → pool2 8 → conv3–5 3 8 → pool5 4

    Ours: kernels 5, 3, 3, 3, 3 with stride 1; pooling padded by 1, so that each halves the size;
    batch normalisation before every ReLU of a convolution, whose bias it makes needless; torch's
    initial weights.

    Parameters at the defaults: conv1 4,800, conv2 110,592, conv3 663,552, conv4 884,736, conv5
    589,824, batch normalisation 128 + 384 + 768 + 512 + 512, fc6 2,097,664, fc7 262,656, fc8
    5,130: 4,621,258.

    With late pooling the first two of the three pooling layers come a convolution later, so that
    edges are combined before they are pooled; conv1 has a kernel of 3, and the maps are 1, 2, 4, 4
    and 4 times the width: 3,917,386 parameters.

        32 → conv1 3 32 → conv2 3 32 → pool2 16 → conv3 3 16 → pool3 8 → conv4–5 3 8 → pool5 4

    Args:
        classes: 1 to 100,000.
        channels: 1 or 3.
        input_size: height and width; fc6 always sees the whole of pool5.
        width: maps of conv1, 1 to 512; the others have 3, 6, 4 and 4 times as many.
        hidden: units of fc6 and fc7, 1 to 4096.
        dropout: probability before fc6 and fc7, 0 to 0.95.
        hidden_norm: batch-normalise fc6 and fc7, too, before their activations.
        late_pooling: the first two pooling layers follow conv2 and conv3, as above.
        pool: after conv1 (or conv3), conv2 and conv5. padding: of every convolution.
        norm: between each convolution and its activation. activation: of every layer but fc8.

    Raises:
        InputError: a value out of range, or sizes that leave a layer nothing to see.
    """
    check_whole("width", width, 1, 512)
    check_whole("hidden", hidden, 1, 4096)
    check_number("dropout", dropout, 0, 0.95)
    check_flag("hidden_norm", hidden_norm)
    check_flag("late_pooling", late_pooling)
    return AlexNet(
        small_plan(width, hidden, dropout, hidden_norm, late_pooling),
        classes=classes,
        channels=channels,
        input_size=input_size,
        pool=pool,
        padding=padding,
        norm=norm,
        activation=activation,
    )
