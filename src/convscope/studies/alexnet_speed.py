"""Seconds of a training step: ReLU, tanh, local response normalisation, two columns."""

from convscope.studies.alexnet_common import ARGUMENTS, claim
from convscope.studies.shorthand import OURS, activation, more
from convscope.studies.study import Arm, Budget, Comparison, Study


def _faster(arm: str, condition: str = "") -> Comparison:
    return more("seconds_ratio", arm, 1, margin=0.05, condition=condition, ratio=True)


STUDY = Study(
    name="alexnet-speed",
    topic="alexnet",
    question="What do AlexNet's parts cost in seconds?",
    changed="one part of AlexNet's plan",
    recipe="study-pictures",
    images={"source": "pictures"},
    trained=False,
    timing=True,
    probes=({"probe": "speed", "against": "plan", "pairs": 15},),
    arms=(
        Arm(name="plan", note="ReLU, overlapping max pooling, one column"),
        Arm(name="tanh", set=activation("tanh")),
        Arm(name="LRN", set={f"{ARGUMENTS}.norm": {"layer": "norm", "kind": "local-response"}}),
        Arm(name="batch norm", set={f"{ARGUMENTS}.norm": {"layer": "norm", "kind": "batch"}}),
    ),
    quick=Budget(train=500, test=100, seeds=5),
    full=Budget(train=500, test=100, seeds=10),
    claims=(
        claim(
            "relu-efficient",
            "ReLU is computationally efficient",
            "2.2",
            [_faster("tanh")],
            comment="time of a training step with tanh by that with ReLU",
        ),
        claim(
            "norm-costs",
            "normalisation costs time",
            OURS,
            [_faster("LRN", "LRN"), _faster("batch norm", "batch norm")],
            comment="what normalisation costs: time of a step with it by that without",
        ),
    ),
    held_equal="batch, thread; steps of both networks in turns",
    method="median ratio of 15 pairs of neighbouring steps, for each seed",
)
