"""Two columns against one, at equal width and at equal parameters."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim
from convscope.studies.shorthand import ABSENT, less
from convscope.studies.study import Arm, Study

STUDY = Study(
    name="alexnet-columns",
    topic="alexnet",
    question="What do AlexNet's two columns bring?",
    changed="the number of columns: whether conv2, conv4 and conv5 see all maps or half of them",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy", "cost"),
    arms=(
        Arm(name="one column", note="92,570 parameters"),
        Arm(
            name="two columns",
            set={f"{ARGUMENTS}.columns": 2, f"{ARGUMENTS}.width": 10, f"{ARGUMENTS}.hidden": 112},
            control=True,
            note="93,308 parameters: wider maps, each seeing half",
        ),
        Arm(
            name="two columns, same width",
            set={f"{ARGUMENTS}.columns": 2},
            note="83,642 parameters",
        ),
        Arm(
            name="half a network",
            set={f"{ARGUMENTS}.width": 4, f"{ARGUMENTS}.hidden": 194},
            note="83,774 parameters: one column with half the kernels, and more units",
        ),
    ),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "columns-accuracy",
            "two columns are more accurate than one with half the kernels",
            f"Krizhevsky et al. 2012, §3.2, {ABSENT}",
            [
                accuracy("two columns", "one column", "as many parameters"),
                accuracy("two columns, same width", "half a network", "than half the kernels"),
            ],
            published="−1.70 / −1.23 points of error against one column with half the kernels "
            "(paper)",
            comment="the document speaks of two GPUs' speed alone",
        ),
        claim(
            "columns-cost",
            "distribute the computational load",
            "2.8",
            [less("multiply_adds", "two columns, same width", "one column", ratio=True)],
            comment="multiply-adds of two columns by those of one, at the same width",
        ),
    ),
    held_equal=HELD + "; parameters to within 1 % where two arms are compared in accuracy",
    method="the columns meet in conv3, as in the paper",
)
