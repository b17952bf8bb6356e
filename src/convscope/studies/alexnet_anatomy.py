"""AlexNet as published, and what the document says of it. Counted."""

from convscope.studies.shorthand import same
from convscope.studies.study import Arm, Claim, Comparison, Study


def _is(claim: str, quote: str, part: str, *comparisons: Comparison, **more: str) -> Claim:
    return Claim(
        id=claim, quote=quote, source=f"Analyzing AlexNet, {part}", comparisons=comparisons, **more
    )


def _equals(measure: str, value: float, condition: str = "", arm: str = "paper") -> Comparison:
    return same(measure, arm, value, condition=condition)


STUDY = Study(
    name="alexnet-anatomy",
    topic="alexnet",
    question="Is AlexNet built as the document says?",
    changed="whose AlexNet it is",
    trained=False,
    images={"source": "pictures"},
    probes=({"probe": "cost", "own": True},),
    arms=(
        Arm(name="paper", set={"model.name": "alexnet-2012"}),
        Arm(name="document", set={"model.name": "alexnet-bn"}),
    ),
    claims=(
        _is(
            "alexnet-input",
            "designed for images of size 224x224",
            "1.1",
            _equals("input", 224, "the paper"),
            _equals("input", 224, "the document's program", "document"),
            comment="the document's own program takes 227 × 227",
        ),
        _is(
            "alexnet-five",
            "consists of five convolutional layers",
            "1.2",
            _equals("convolutions", 5),
        ),
        _is(
            "alexnet-conv1",
            "96 filters of size 11x11 with a stride of 4",
            "1.2",
            _equals("maps_conv1", 96, "filters"),
            _equals("field_conv1", 11, "window"),
            _equals("size_conv1", 55, "55 × 55 maps"),
            comment="224 gives 55 by rounding up, as the authors' program does",
        ),
        _is(
            "alexnet-some-pooled",
            "after some of the convolutional layers, max-pooling layers are applied",
            "1.3",
            _equals("poolings", 3),
            comment="after three of five",
        ),
        _is(
            "alexnet-connected",
            "first fully connected layer has 4096 neurons … also 4096 … 1000",
            "1.5",
            _equals("units_fc6", 4096, "4096"),
            _equals("units_fc7", 4096, "4096"),
            _equals("units_fc8", 1000, "1000"),
        ),
        _is(
            "alexnet-120-84-10",
            "the first fully connected layer consists of 120 neurons, followed by … 84 … 10",
            "3.3",
            _equals("units_fc6", 120, "120"),
            _equals("units_fc7", 84, "84"),
            _equals("units_fc8", 10, "10"),
            published="4096, 4096, 1000 (Krizhevsky et al. 2012)",
            comment="these are LeNet-5's layers; the document has AlexNet's elsewhere",
        ),
        _is(
            "alexnet-program",
            "Implement AlexNet using a deep learning framework",
            "4",
            _equals("parameters", 60_965_224, "the paper"),
            _equals("parameters", 60_965_224, "the document's program", "document"),
            published="60,965,224 parameters in two columns",
            comment="the document's program has one column, batch normalisation and ten classes",
        ),
    ),
    held_equal="nothing: these are different networks",
    method="counted from the networks themselves; the paper's counts are tested layer by layer",
)
