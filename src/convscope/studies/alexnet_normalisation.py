"""Local response normalisation on and off, and batch normalisation in its place."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim, gap
from convscope.studies.study import Arm, Study, Tune

_NORM = f"{ARGUMENTS}.norm"
_PAPER = {"layer": "norm", "kind": "local-response", "divide": False}

STUDY = Study(
    name="alexnet-normalisation",
    topic="alexnet",
    question="What does local response normalisation bring, and what batch normalisation?",
    changed="the normalisation",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy",),
    arms=(
        Arm(name="none"),
        Arm(name="LRN", set={_NORM: _PAPER}, note="the paper's constants, inputs of variance 1"),
        Arm(
            name="strong LRN",
            set={_NORM: {**_PAPER, "k": 1.0, "alpha": 0.1}},
            note="k 1, α 0.1: it acts on inputs of variance 1",
        ),
        Arm(name="batch norm", set={_NORM: {"layer": "norm", "kind": "batch"}}),
    ),
    tune=Tune(values=(0.001, 0.003, 0.01)),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "lrn-generalises",
            "local response normalization … enhances generalization",
            "2.3",
            [
                accuracy("LRN", "none", "the paper's constants"),
                accuracy("strong LRN", "none", "k 1, α 0.1"),
            ],
            published="−1.4 / −1.2 points of error (paper, one seed); CaffeNet-128 47.0 with, 47.1 "
            "% without",
            comment="inputs have variance 1 here, for which the paper's constants (k 2, α 10⁻⁴) "
            "are hardly more than a constant factor; k 1 and α 0.1 do act",
        ),
        claim(
            "lrn-gap",
            "enhances generalization",
            "2.3",
            [gap("LRN", "none", "the paper's constants"), gap("strong LRN", "none", "k 1, α 0.1")],
            comment="training accuracy less test accuracy",
        ),
        claim(
            "batch-norm-better",
            "batch normalization … can help prevent overfitting",
            "Exploring LeNet, 3",
            [
                accuracy("batch norm", "none", "than none"),
                accuracy("batch norm", "LRN", "than LRN"),
            ],
            comment="test accuracy after as many epochs",
        ),
    ),
    held_equal=HELD + "; the learning rate is chosen for each arm on held-out training images",
    method="LRN stands after the activation of the first two layers, batch normalisation before "
    "each",
)
