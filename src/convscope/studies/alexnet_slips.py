"""The document's program validates in training mode and normalises twice: what that does."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, claim
from convscope.studies.study import Arm, Comparison, Study

STUDY = Study(
    name="alexnet-slips",
    topic="alexnet",
    question="What would the document's slips in evaluation do to an accuracy?",
    changed="nothing: one network is evaluated in three ways",
    recipe="study-pictures",
    set={
        f"{ARGUMENTS}.norm": {"layer": "norm", "kind": "batch"},
        f"{ARGUMENTS}.dropout": 0.5,
        "inputs.normalisation": "measured",
    },
    images={"source": "pictures"},
    probes=("accuracy", "slips"),
    arms=(Arm(name="network", note="batch normalisation and dropout 0.5, as in the document"),),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "slip-train-mode",
            "Accuracy of the network on the 5000 validation images: 60.92 %",
            "4",
            [
                Comparison(
                    measure="train_mode_accuracy",
                    arm="network",
                    other="test_accuracy",
                    expect="same",
                    margin=0.01,
                )
            ],
            comment="the program never calls model.eval(): dropout drops units and batch "
            "normalisation takes the batch's statistics while it validates. So few units suffer "
            "more from dropout than 4,096 do",
        ),
        claim(
            "slip-constants",
            "normalize = transforms.Normalize(mean=[0.485, …], …) for the test set alone",
            "4",
            [
                Comparison(
                    measure="other_constants_accuracy",
                    arm="network",
                    other="test_accuracy",
                    expect="same",
                    margin=0.01,
                )
            ],
            comment="training and test images are normalised by different constants; the program "
            "never uses its test images, so this does not touch the accuracy that it prints",
        ),
    ),
    held_equal=HELD,
    method="the same trained network and the same test images; effects are against correct "
    "evaluation",
)
