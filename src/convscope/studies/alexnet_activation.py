"""ReLU against tanh and sigmoid in AlexNet's plan: accuracy and gradients."""

from convscope.studies.alexnet_common import FULL, HELD, QUICK, accuracy, claim
from convscope.studies.shorthand import activation, more
from convscope.studies.study import Arm, Study, Tune

_OTHERS = ("tanh", "sigmoid")


STUDY = Study(
    name="alexnet-activation",
    topic="alexnet",
    question="Is AlexNet's plan more accurate with ReLU than with tanh or sigmoid?",
    changed="the activation of every layer",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy", "gradients"),
    arms=(
        Arm(name="relu"),
        *(Arm(name=name, set=activation(name)) for name in _OTHERS),
    ),
    tune=Tune(values=(0.001, 0.003, 0.01)),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "relu-better-alexnet",
            "ReLU … replaced traditional sigmoid or hyperbolic tangent functions",
            "2.2",
            [accuracy("relu", other, f"than {other}") for other in _OTHERS],
            published="CaffeNet-128, ImageNet top-1: ReLU 47.1, tanh 40.1 %",
        ),
        claim(
            "relu-gradient-alexnet",
            "mitigates the vanishing gradient problem",
            "2.2",
            [
                more("gradient_decay", "relu", other, margin=0.3, condition=f"than {other}")
                for other in _OTHERS
            ],
            comment="log₁₀ of the first layer's gradient by the last one's, in the new network",
        ),
    ),
    held_equal=HELD + "; the learning rate is chosen for each arm on held-out training images",
    method="initial weights are He's for every activation; how fast each learns: alexnet-pace",
)
