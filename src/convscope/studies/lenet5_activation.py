"""tanh against ReLU against sigmoid in LeNet-5: gradients, speed of learning, accuracy."""

from convscope.studies.shorthand import activation, less, more
from convscope.studies.study import Arm, Budget, Claim, Study, Tune


def _arm(kind: str) -> Arm:
    return Arm(name=kind, set=activation(kind))


STUDY = Study(
    name="lenet5-activation",
    topic="lenet5",
    question="Does tanh make gradients vanish in LeNet-5, and does ReLU mend it?",
    changed="the activation",
    set={"schedule.kind": "constant"},
    probes=("accuracy", "gradients", {"probe": "pace", "loss": 0.05}),
    arms=(
        *(_arm(kind) for kind in ("tanh", "relu", "sigmoid", "scaled-tanh")),
        Arm(
            name="none",
            set=activation("identity"),
            control=True,
            note="a linear network but for max pooling: what the gradients are without activation",
        ),
    ),
    tune=Tune(values=(0.001, 0.003, 0.01, 0.03)),
    quick=Budget(train=2000, test=2000, epochs=10, seeds=5),
    full=Budget(train=5000, test=0, epochs=15, seeds=20),
    claims=(
        Claim(
            id="tanh-vanishes",
            quote="tanh … has vanishing gradient problems",
            source="Exploring LeNet, 3",
            comparisons=(
                less(
                    "gradient_decay",
                    "tanh",
                    "none",
                    margin=0.3,
                    condition="new, than without activation",
                ),
                less(
                    "trained_gradient_decay",
                    "tanh",
                    "none",
                    margin=0.3,
                    condition="trained, than without activation",
                ),
                less(
                    "gradient_decay",
                    "tanh",
                    0.0,
                    margin=0.3,
                    condition="new, than the last layer's",
                ),
            ),
            comment="log₁₀ of the first layer's gradient by the last one's, against the same "
            "network without activation: −1 is ten times smaller; and against equal gradients",
        ),
        Claim(
            id="sigmoid-vanishes",
            quote="traditional sigmoid … functions",
            source="Analyzing AlexNet, 2.2",
            comparisons=(
                less(
                    "gradient_decay",
                    "sigmoid",
                    "none",
                    margin=0.3,
                    condition="than without activation",
                ),
                less(
                    "gradient_decay", "sigmoid", 0.0, margin=0.3, condition="than the last layer's"
                ),
            ),
            comment="log₁₀ of the first layer's gradient by the last one's, in a new network",
        ),
        Claim(
            id="relu-mitigates",
            quote="ReLU to mitigate this issue",
            source="Exploring LeNet, 3",
            comparisons=(
                more("gradient_decay", "relu", "tanh", margin=0.3, condition="than tanh"),
                more("gradient_decay", "relu", "sigmoid", margin=0.3, condition="than sigmoid"),
            ),
        ),
        Claim(
            id="relu-learns-faster",
            quote="ReLU … allowing for faster training",
            source="Analyzing AlexNet, 2.2",
            comparisons=tuple(
                less(
                    "epochs_to_loss",
                    "relu",
                    other,
                    margin=0.1,
                    condition=f"than {other}",
                    ratio=True,
                )
                for other in ("tanh", "sigmoid")
            ),
            comment="epochs until the training loss is 0.05, in LeNet-5; for AlexNet see "
            "alexnet-pace",
        ),
        Claim(
            id="relu-better-lenet",
            quote="modern architectures often use more advanced activation functions",
            source="Exploring LeNet, 3",
            comparisons=tuple(
                more("test_accuracy", "relu", other, margin=0.003, condition=f"than {other}")
                for other in ("tanh", "scaled-tanh", "sigmoid")
            ),
            published="CaffeNet-128, ImageNet top-1: ReLU 47.1, tanh 40.1, 1.73·tanh(2x/3) 42.3 %",
        ),
    ),
    held_equal="parameters (61,706), initial weights (Glorot, which suit tanh), images, epochs, "
    "seeds; the learning rate is chosen for each arm, and does not change from step to step",
    method="gradients of the loss over 500 training images, root mean square over a layer's "
    "weights",
)
