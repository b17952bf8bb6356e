"""Depth: one convolution fewer, with as many parameters."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim
from convscope.studies.study import Arm, Study


def _arm(layers: int, hidden: int, parameters: str) -> Arm:
    return Arm(
        name=f"{layers} convolutions",
        set={f"{ARGUMENTS}.layers": layers, f"{ARGUMENTS}.hidden": hidden},
        note=f"{parameters} parameters, {hidden} hidden units",
    )


STUDY = Study(
    name="alexnet-depth",
    topic="alexnet",
    question="Does depth help, with as many parameters?",
    changed="the number of convolutions; hidden units keep the number of parameters",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy",),
    arms=(
        Arm(name="5 convolutions", note="92,570 parameters, 128 hidden units"),
        _arm(4, 142, "92,646"),
        _arm(3, 154, "92,278"),
        _arm(2, 56, "92,194"),
    ),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "depth-hierarchy",
            "this depth allowed the network to capture hierarchical features",
            "2.1",
            [
                accuracy("5 convolutions", f"{fewer} convolutions", f"than {fewer}")
                for fewer in (4, 3, 2)
            ],
            published="without any one of AlexNet's middle layers top-1 loses about 2 points "
            "(Krizhevsky et al. 2012, §7)",
        ),
    ),
    held_equal=HELD + "; parameters to within 0.5 %",
    method="the fourth, then the third convolution is left out; two of three poolings remain "
    "with two",
)
