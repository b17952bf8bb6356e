"""Does pooling speed up training? Steps of two networks in turns."""

from convscope.studies.shorthand import less
from convscope.studies.study import Arm, Budget, Claim, Study

_POOL = "model.arguments.pool"

STUDY = Study(
    name="pooling-speed",
    topic="pooling",
    question="Does pooling make a training step faster?",
    changed="the pooling after both convolutions of LeNet-5",
    trained=False,
    timing=True,
    probes=({"probe": "speed", "against": "none", "pairs": 15},),
    arms=(
        Arm(name="none", set={_POOL: {"layer": "pool", "kind": "none"}}),
        Arm(name="max"),
        Arm(name="average", set={_POOL: {"layer": "pool", "kind": "average"}}),
        Arm(
            name="strided", set={_POOL: {"layer": "pool", "kind": "max", "kernel": 1, "stride": 2}}
        ),
    ),
    quick=Budget(train=500, test=100, seeds=5),
    full=Budget(train=500, test=100, seeds=10),
    claims=(
        Claim(
            id="pooling-faster-training",
            quote="can speed up training",
            source="Pooling and padding, 1.8",
            comparisons=(less("seconds_ratio", "max", 1, margin=0.1, ratio=True),),
            comment="time of a training step of 128 images with max pooling by that without "
            "pooling",
        ),
    ),
    held_equal="everything else of LeNet-5, the batch, the thread; steps of both in turns",
    method="median ratio of 15 pairs of neighbouring steps, for each seed",
)
