"""LeNet-5 as published, as the field has it, and as the document's program has it. Counted."""

from convscope.studies.shorthand import less, same
from convscope.studies.study import Arm, Claim, Comparison, Study


def _is(claim: str, quote: str, part: str, *comparisons: Comparison, **more: str) -> Claim:
    return Claim(
        id=claim, quote=quote, source=f"Exploring LeNet, {part}", comparisons=comparisons, **more
    )


def _equals(measure: str, value: float, arm: str = "paper", condition: str = "") -> Comparison:
    return same(measure, arm, value, condition=condition)


STUDY = Study(
    name="lenet5-anatomy",
    topic="lenet5",
    question="Is LeNet-5 built as the document says?",
    changed="whose LeNet-5 it is",
    trained=False,
    probes=({"probe": "cost"},),
    arms=(
        Arm(name="paper", set={"model.name": "lenet5-1998"}),
        Arm(name="field", set={"model.name": "lenet5"}),
        Arm(name="document", set={"model.name": "lenet5-keras"}),
        Arm(name="AlexNet", set={"model.name": "alexnet-bn"}, images={"source": "pictures"}),
    ),
    claims=(
        _is(
            "lenet-input",
            "designed for 32x32 pixel input images",
            "1.1",
            _equals("input", 32, condition="the paper"),
            _equals("input", 32, "document", "the document's program"),
            comment="the document's own program takes 28 × 28",
        ),
        _is(
            "lenet-c1",
            "the first convolutional layer applies six 5x5 filters",
            "1.2",
            _equals("maps_c1", 6, condition="maps"),
            _equals("field_c1", 5, condition="window"),
        ),
        _is(
            "lenet-c3",
            "the second convolutional layer applies sixteen 5x5 filters",
            "1.2",
            _equals("maps_c3", 16),
            _equals("parameters_c3", 2416, condition="parameters, if each sees all six maps"),
            comment="sixteen maps, but sparse ones: 1,516 parameters in place of 2,416",
        ),
        _is(
            "lenet-two-convolutions",
            "LeNet-5 consists of two convolutional layers",
            "1.2",
            _equals("convolutions", 2, condition="the paper"),
            _equals("convolutions", 2, "document", "the document's program"),
            comment="C5 is a convolution in the paper; on 5 × 5 maps it is the same as a fully "
            "connected layer",
        ),
        _is(
            "lenet-max-pooling",
            "followed by max-pooling layers",
            "1.3",
            _equals("pool_parameters", 0),
            published="12 + 32 parameters: the sum of four inputs, times a coefficient, plus a "
            "bias (LeCun et al. 1998)",
            comment="max pooling has no parameters; LeNet-5's subsampling has 44",
        ),
        _is(
            "lenet-three-connected",
            "three fully connected layers … 120 … 84 … 10 neurons",
            "1.4",
            _equals("maps_c5", 120, condition="120"),
            _equals("units_f6", 84, condition="84"),
            _equals("units_output", 10, condition="10"),
        ),
        _is(
            "lenet-output",
            "the output layer uses the softmax activation function",
            "1.5",
            same("parameters_output", "paper", 850),
            published="Euclidean RBF units with fixed codes (LeCun et al. 1998)",
            comment="a softmax layer of 84 inputs has 850 parameters; the paper's RBF output has "
            "none",
        ),
        _is(
            "lenet-program",
            "Implement LeNet-5 using a deep learning framework",
            "4",
            _equals("parameters", 60000, "document", "the document's program"),
            _equals("parameters", 60000, condition="the paper"),
            published="60,000 parameters (LeCun et al. 1998)",
            comment="what the document implements is another network, of 44,426 parameters",
        ),
        _is(
            "lenet-small-memory",
            "it requires less memory",
            "3",
            less("parameters", "paper", "AlexNet", ratio=True),
            comment="parameters of LeNet-5 by those of the document's AlexNet",
        ),
        _is(
            "lenet-small-work",
            "… and computational power",
            "3",
            less("multiply_adds", "paper", "AlexNet", ratio=True),
            comment="multiply-adds for one image by those of the document's AlexNet",
        ),
        _is(
            "lenet-shallow",
            "limited depth … relatively shallow",
            "3",
            less("convolutions", "document", "AlexNet"),
        ),
    ),
    held_equal="nothing: these are different networks",
    method="counted from the networks themselves; the paper's counts are tested layer by layer",
)
