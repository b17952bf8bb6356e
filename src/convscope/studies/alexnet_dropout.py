"""Dropout in the fully connected layers, on few images."""

from collections.abc import Callable

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim, gap
from convscope.studies.shorthand import ABSENT, more
from convscope.studies.study import Arm, Comparison, Study


def _each(compare: Callable[[str, str, str], Comparison]) -> list[Comparison]:
    """Dropout of 0.5 and of 0.2 against none, and of 0.5 where there are units to spare."""
    return [
        compare("0.5", "none", "0.5"),
        compare("0.2", "none", "0.2"),
        compare("0.5, wide", "none, wide", "0.5 of 512 units"),
    ]


STUDY = Study(
    name="alexnet-dropout",
    topic="alexnet",
    question="Does dropout prevent overfitting, and what does it cost in epochs?",
    changed="dropout of the outputs of fc6 and fc7",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy", {"probe": "pace", "loss": 1.5}),
    arms=(
        Arm(name="none"),
        Arm(name="0.5", set={f"{ARGUMENTS}.dropout": 0.5}),
        Arm(name="0.2", set={f"{ARGUMENTS}.dropout": 0.2}),
        *(
            Arm(
                name=f"{dropout or 'none'}, wide",
                set={f"{ARGUMENTS}.hidden": 512, f"{ARGUMENTS}.dropout": dropout},
                control=True,
                note="512 hidden units in place of 128",
            )
            for dropout in (0.0, 0.5)
        ),
    ),
    quick=QUICK.model_copy(update={"train": 1000, "epochs": 12}),
    full=FULL.model_copy(update={"train": 5000, "epochs": 30}),
    claims=(
        claim("dropout-overfitting", "dropout … to prevent overfitting", "1.6", _each(gap)),
        claim(
            "dropout-generalises",
            "acts as a form of regularization … improving generalization",
            "2.6",
            _each(accuracy),
        ),
        claim(
            "dropout-slower",
            "roughly doubles the number of iterations required to converge",
            f"Krizhevsky et al. 2012, §4.2, {ABSENT}",
            [more("epochs_to_loss", "0.5", "none", margin=0.1, ratio=True)],
            comment="epochs until the training loss, in which units are dropped, is 1.5; where it "
            "is never reached, one more than all epochs is counted",
        ),
    ),
    held_equal=HELD,
    method="as in the paper, the outputs of both hidden layers are dropped",
)
