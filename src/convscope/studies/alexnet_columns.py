"""Two columns against one, at equal width and at equal parameters."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim
from convscope.studies.study import Arm, Comparison, Study

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
            set={f"{ARGUMENTS}.width": 4, f"{ARGUMENTS}.hidden": 64},
            note="one column with half the kernels and units",
        ),
    ),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "columns-accuracy",
            "two GPUs … parallel processing",
            "1.10",
            [
                accuracy("two columns", "one column", "as many parameters"),
                accuracy("two columns, same width", "half a network", "than half a network"),
            ],
            published="−1.70 / −1.23 points of error against one column with half the "
            "kernels (paper)",
            comment="the document speaks of speed alone; the paper also of accuracy",
        ),
        claim(
            "columns-cost",
            "distribute the computational load",
            "2.8",
            [
                Comparison(
                    measure="multiply_adds",
                    arm="two columns, same width",
                    reference="one column",
                    kind="ratio",
                    expect="less",
                )
            ],
            comment="multiply-adds of two columns by those of one, at the same width",
        ),
    ),
    held_equal=HELD + "; parameters to within 1 % in the control",
    method="the columns meet in conv3, as in the paper",
)
