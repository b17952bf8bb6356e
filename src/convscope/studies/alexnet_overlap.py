"""Overlapping pooling, with maps of the same size."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim, gap
from convscope.studies.shorthand import ABSENT
from convscope.studies.study import Arm, Study

_SIDE = {"layer": "pool", "kind": "max", "kernel": 2}

STUDY = Study(
    name="alexnet-overlap",
    topic="alexnet",
    question="Do overlapping pooling windows help, with maps of the same size?",
    changed="the window of all three poolings: 3 or 2, with stride 2",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy",),
    arms=(
        Arm(name="overlapping", note="3 × 3, stride 2, padded by 1: 16, 8 and 4"),
        Arm(
            name="side by side",
            set={f"{ARGUMENTS}.pool": _SIDE, f"{ARGUMENTS}.last_pool": _SIDE},
            note="2 × 2, stride 2: 16, 8 and 4",
        ),
    ),
    quick=QUICK.model_copy(update={"seeds": 6}),
    full=FULL.model_copy(update={"seeds": 20}),
    claims=(
        claim(
            "overlap-accuracy",
            "overlapping max-pooling … allowed the network to capture spatial hierarchies",
            "2.4",
            [accuracy("overlapping", "side by side", margin=0.004)],
            published="−0.39 / −0.30 points of error (paper's log, one seed); no significant gain "
            "(Scherer 2010); CaffeNet-128 47.1 against 48.4 %, map size not held equal",
        ),
        claim(
            "overlap-overfits-less",
            "slightly more difficult to overfit",
            f"Krizhevsky et al. 2012, §3.4, {ABSENT}",
            [gap("overlapping", "side by side")],
            comment="training accuracy less test accuracy",
        ),
    ),
    held_equal=HELD + "; parameters and the size of all maps",
    method="both windows leave maps of 16, 8 and 4",
)
