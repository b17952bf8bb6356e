"""What padding does to the size of maps, to arithmetic and to memory. Counted."""

from convscope.studies.shorthand import less, more
from convscope.studies.study import Arm, Claim, Comparison, Study

_PAD = "model.arguments.padding"
_SMALL = {"model.arguments.input_size": 29}

STUDY = Study(
    name="padding-sizes",
    topic="padding",
    question="What does padding do to the size of the maps, and what does that cost?",
    changed="the padding of LeNet-5's two convolutions",
    trained=False,
    probes=({"probe": "cost"}, {"probe": "memory"}),
    arms=(
        Arm(name="valid"),
        Arm(name="same", set={_PAD: {"layer": "pad", "kind": "same"}}),
        Arm(name="full", set={_PAD: {"layer": "pad", "kind": "full"}}),
        Arm(name="29, pooling cut", set=_SMALL, note="25 rows pooled by 2: the last is not seen"),
        Arm(
            name="29, pooling padded",
            set={
                **_SMALL,
                "model.arguments.pool": {"layer": "pool", "kind": "max", "padding": "same"},
            },
        ),
    ),
    claims=(
        Claim(
            id="valid-shrinks",
            quote="valid-padding reduces the size of the output feature map",
            source="Pooling and padding, 4",
            comparisons=(Comparison(measure="size_c1", arm="valid", other="input", expect="less"),),
            comment="5 × 5 windows: 4 rows and columns less",
        ),
        Claim(
            id="same-keeps",
            quote="the output has the same height and width as the input",
            source="Pooling and padding, 4",
            comparisons=(Comparison(measure="size_c1", arm="same", other="input", expect="same"),),
        ),
        Claim(
            id="zero-padding-grows",
            quote="zero-padding increases the size of the output … compared to the input size",
            source="Pooling and padding, 4",
            comparisons=(
                Comparison(
                    measure="size_c1", arm="same", other="input", expect="more", condition="same"
                ),
                Comparison(
                    measure="size_c1", arm="full", other="input", expect="more", condition="full"
                ),
            ),
            comment="true of full padding alone, which the document does not know; it contradicts "
            "itself two lines later",
        ),
        Claim(
            id="valid-less-work",
            quote="this reduction in size can help control computational complexity",
            source="Pooling and padding, 4",
            comparisons=(less("multiply_adds", "valid", "same", ratio=True),),
        ),
        Claim(
            id="valid-less-memory",
            quote="… and memory requirements",
            source="Pooling and padding, 4",
            comparisons=(less("kept_bytes", "valid", "same", ratio=True),),
            comment="bytes that a training step of 128 images keeps for the backward pass",
        ),
        Claim(
            id="padding-controls-size",
            quote="by adjusting the amount of padding, you can increase or decrease the spatial "
            "resolution",
            source="Pooling and padding, 3.3",
            comparisons=(
                more("size_c1", "full", "same", condition="up"),
                less("size_c1", "valid", "same", condition="down"),
            ),
        ),
        Claim(
            id="padding-and-stride",
            quote="padding can help where the stride does not evenly divide the input size",
            source="Pooling and padding, 3.4",
            comparisons=(more("size_s2", "29, pooling padded", "29, pooling cut"),),
            comment="25 rows pooled in twos: 12 windows leave out the last row, 13 with "
            "padding do not",
        ),
    ),
    held_equal="everything else of LeNet-5",
    method="sizes, multiply-adds and kept bytes are counted from the network itself",
)
