"""ReLU against tanh in AlexNet's plan: how soon a training error is reached."""

from convscope.studies.alexnet_common import ARGUMENTS, FULL, HELD, QUICK, accuracy, claim
from convscope.studies.study import Arm, Comparison, Study, Tune

_FIELD = f"{ARGUMENTS}.activation"

STUDY = Study(
    name="alexnet-activation",
    topic="alexnet",
    question="Does AlexNet's plan learn faster with ReLU than with tanh?",
    changed="the activation of every layer",
    recipe="study-pictures",
    images={"source": "pictures"},
    probes=("accuracy", "gradients", {"probe": "pace", "error": 0.65}),
    arms=(
        Arm(name="relu"),
        Arm(name="tanh", set={_FIELD: {"layer": "activation", "kind": "tanh"}}),
        Arm(name="sigmoid", set={_FIELD: {"layer": "activation", "kind": "sigmoid"}}),
    ),
    tune=Tune(values=(0.001, 0.003, 0.01)),
    quick=QUICK,
    full=FULL,
    claims=(
        claim(
            "relu-faster-alexnet",
            "ReLU … allowing for faster training and improved convergence",
            "2.2",
            [
                Comparison(
                    measure="epochs_to_error",
                    arm="relu",
                    reference=other,
                    kind="ratio",
                    expect="less",
                    margin=0.1,
                    condition=f"than {other}",
                )
                for other in ("tanh", "sigmoid")
            ],
            published="six times faster than tanh to 25 % training error on CIFAR-10 (Krizhevsky "
            "et al. 2012, Fig. 1)",
            comment="epochs until the training error is 65 %, which a net this small reaches "
            "within the budget; where it is never reached, one more than all epochs is counted",
        ),
        claim(
            "relu-better-alexnet",
            "ReLU … replaced traditional sigmoid or hyperbolic tangent functions",
            "2.2",
            [accuracy("relu", "tanh", "than tanh"), accuracy("relu", "sigmoid", "than sigmoid")],
            published="CaffeNet-128, ImageNet top-1: ReLU 47.1, tanh 40.1 %",
        ),
        claim(
            "relu-gradient-alexnet",
            "mitigates the vanishing gradient problem",
            "2.2",
            [
                Comparison(
                    measure="gradient_decay",
                    arm="relu",
                    reference=other,
                    expect="more",
                    margin=0.3,
                    condition=f"than {other}",
                )
                for other in ("tanh", "sigmoid")
            ],
            comment="log₁₀ of the first layer's gradient by the last one's, in the new network",
        ),
    ),
    held_equal=HELD + "; the learning rate is chosen for each arm on held-out training images",
    method="initial weights are He's for every activation",
)
