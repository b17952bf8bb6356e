"""Dropout in the fully connected layers, on few images."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim, gap
from convscope.studies.study import Arm, Comparison, Study

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
    ),
    quick=QUICK.model_copy(update={"train": 1000, "epochs": 12}),
    full=FULL.model_copy(update={"train": 5000, "epochs": 30}),
    claims=(
        claim(
            "dropout-overfitting",
            "dropout … to prevent overfitting",
            "1.6",
            [gap("0.5", "none", "0.5"), gap("0.2", "none", "0.2")],
        ),
        claim(
            "dropout-generalises",
            "acts as a form of regularization … improving generalization",
            "2.6",
            [accuracy("0.5", "none", "0.5"), accuracy("0.2", "none", "0.2")],
        ),
        claim(
            "dropout-slower",
            "randomly drops out a portion of neurons during training",
            "1.6",
            [
                Comparison(
                    measure="epochs_to_loss",
                    arm="0.5",
                    reference="none",
                    kind="ratio",
                    expect="more",
                    margin=0.1,
                )
            ],
            published="dropout roughly doubles the iterations to converge (Krizhevsky et al. "
            "2012, §4.2)",
            comment="epochs until the training loss is 1.5; where it is never reached, one more "
            "than all epochs is counted",
        ),
    ),
    held_equal=HELD,
    method="as in the paper, the outputs of both hidden layers are dropped",
)
