"""Does pooling cut computation, memory and parameters, and by how much? Counted, not sampled."""

from convscope.studies.shorthand import OURS, less, same
from convscope.studies.study import Arm, Claim, Comparison, Study

_POOL = "model.arguments.pool"

STUDY = Study(
    name="pooling-cost",
    topic="pooling",
    question="How much computation, memory and how many parameters does pooling save?",
    changed="the pooling after both convolutions of LeNet-5",
    trained=False,
    probes=({"probe": "cost"}, {"probe": "memory"}),
    arms=(
        Arm(name="max", note="2 × 2, stride 2"),
        Arm(name="none", set={_POOL: {"layer": "pool", "kind": "none"}}),
        Arm(
            name="strided",
            set={_POOL: {"layer": "pool", "kind": "max", "kernel": 1, "stride": 2}},
            note="every second value of every second row is kept: a strided convolution",
        ),
        Arm(name="subsampling", set={_POOL: {"layer": "pool", "kind": "subsampling"}}),
        Arm(name="mixed", set={_POOL: {"layer": "pool", "kind": "mixed"}}),
    ),
    claims=(
        Claim(
            id="pooling-reduces-size",
            quote="reduces the spatial dimensions",
            source="Pooling and padding, 1",
            comparisons=(
                Comparison(
                    measure="size_s2", arm="max", other="size_c1", kind="ratio", expect="less"
                ),
            ),
            comment="the height of the maps after the first pooling by that before it",
        ),
        Claim(
            id="pooling-halves-size",
            quote="reduces the size of the feature maps by half",
            source="Exploring LeNet, 2",
            comparisons=(
                same("size_s2", "max", 14, condition="S2"),
                same("size_s4", "max", 5, condition="S4"),
            ),
            published="28 → 14 and 10 → 5 (LeCun et al. 1998)",
            comment="height and width are halved; the number of values is quartered",
        ),
        Claim(
            id="pooling-fewer-computations",
            quote="smaller feature maps require fewer computations",
            source="Pooling and padding, 1.4",
            comparisons=(less("multiply_adds", "max", "none", ratio=True),),
            comment="multiply-adds of LeNet-5 with pooling by those without",
        ),
        Claim(
            id="pooling-less-memory",
            quote="smaller feature maps require less memory",
            source="Pooling and padding, 1.8",
            comparisons=(less("kept_bytes", "max", "none", ratio=True),),
            comment="bytes that a training step of 128 images keeps for the backward pass",
        ),
        Claim(
            id="pooling-fewer-parameters",
            quote="reducing the number of parameters",
            source="Pooling and padding, 1.1",
            comparisons=(
                less("parameters", "max", "none", ratio=True),
                less(
                    "parameters_c3",
                    "max",
                    "none",
                    condition="in the convolution that follows",
                    ratio=True,
                ),
            ),
            comment="the saving is all in the first fully connected layer; a convolution has as "
            "many parameters, whatever the size of its maps",
        ),
        Claim(
            id="pooling-no-parameters",
            quote="pooling involves no learnable parameters",
            source="Pooling and padding, 1.5",
            comparisons=tuple(
                same("pool_parameters", arm, 0, condition=arm)
                for arm in ("max", "subsampling", "mixed")
            ),
            published="LeNet-5's own pooling has 12 + 32 (LeCun et al. 1998)",
            comment="the document calls this parameter sharing, which is what convolutions do",
        ),
        Claim(
            id="pooling-or-stride-cost",
            quote="what saves computation is the stride, not the maximum",
            source=OURS,
            comparisons=(same("multiply_adds", "max", "strided", ratio=True),),
            comment="multiply-adds with max pooling by those with every second value taken. The "
            "convolution before it is counted in full here, of which a stride computes a quarter",
        ),
    ),
    held_equal="everything else of LeNet-5 (lenet5, 32 × 32 input)",
    method="parameters, multiply-adds and kept bytes are counted from the network itself",
)
