"""tanh against ReLU against sigmoid in LeNet-5: gradients, speed of learning, accuracy."""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Study, Tune

_ACTIVATION = "model.arguments.activation"


def _arm(kind: str) -> Arm:
    return Arm(name=kind, set={_ACTIVATION: {"layer": "activation", "kind": kind}})


STUDY = Study(
    name="lenet5-activation",
    topic="lenet5",
    question="Does tanh make gradients vanish in LeNet-5, and does ReLU mend it?",
    changed="the activation",
    probes=("accuracy", "gradients", {"probe": "pace", "loss": 0.3}),
    arms=(_arm("tanh"), _arm("relu"), _arm("sigmoid"), _arm("scaled-tanh")),
    tune=Tune(values=(0.001, 0.003, 0.01)),
    quick=Budget(train=2000, test=2000, epochs=4, seeds=5),
    full=Budget(train=0, test=0, epochs=5, seeds=10),
    claims=(
        Claim(
            id="tanh-vanishes",
            quote="tanh … has vanishing gradient problems",
            source="Exploring LeNet, 3",
            comparisons=(
                Comparison(
                    measure="gradient_decay",
                    arm="tanh",
                    constant=0,
                    expect="less",
                    margin=0.3,
                    condition="in a new network",
                ),
                Comparison(
                    measure="trained_gradient_decay",
                    arm="tanh",
                    constant=0,
                    expect="less",
                    margin=0.3,
                    condition="after training",
                ),
            ),
            comment="log₁₀ of the first layer's gradient by the last one's: −1 is ten times "
            "smaller",
        ),
        Claim(
            id="sigmoid-vanishes",
            quote="traditional sigmoid … functions",
            source="Analyzing AlexNet, 2.2",
            comparisons=(
                Comparison(
                    measure="gradient_decay", arm="sigmoid", constant=0, expect="less", margin=0.3
                ),
            ),
            comment="log₁₀ of the first layer's gradient by the last one's, in a new network",
        ),
        Claim(
            id="relu-mitigates",
            quote="ReLU to mitigate this issue",
            source="Exploring LeNet, 3",
            comparisons=(
                Comparison(
                    measure="gradient_decay",
                    arm="relu",
                    reference="tanh",
                    expect="more",
                    margin=0.3,
                    condition="than tanh",
                ),
                Comparison(
                    measure="gradient_decay",
                    arm="relu",
                    reference="sigmoid",
                    expect="more",
                    margin=0.3,
                    condition="than sigmoid",
                ),
            ),
        ),
        Claim(
            id="relu-learns-faster",
            quote="ReLU … allowing for faster training",
            source="Analyzing AlexNet, 2.2",
            comparisons=tuple(
                Comparison(
                    measure="epochs_to_loss",
                    arm="relu",
                    reference=other,
                    kind="ratio",
                    expect="less",
                    margin=0.1,
                    condition=f"than {other}",
                )
                for other in ("tanh", "sigmoid")
            ),
            comment="epochs until the training loss is 0.3, in LeNet-5; for AlexNet see "
            "alexnet-activation",
        ),
        Claim(
            id="relu-better-lenet",
            quote="modern architectures often use more advanced activation functions",
            source="Exploring LeNet, 3",
            comparisons=tuple(
                Comparison(
                    measure="test_accuracy",
                    arm="relu",
                    reference=other,
                    expect="more",
                    margin=0.003,
                    condition=f"than {other}",
                )
                for other in ("tanh", "scaled-tanh", "sigmoid")
            ),
            published="CaffeNet-128, ImageNet top-1: ReLU 47.1, tanh 40.1, 1.73·tanh(2x/3) 42.3 %",
        ),
    ),
    held_equal="parameters (61,706), initial weights (Glorot), images, epochs, schedule, seeds; "
    "the learning rate is chosen for each arm",
    method="gradients of the loss over 500 training images, root mean square over a layer's "
    "weights",
)
