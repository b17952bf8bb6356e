"""Does pooling reduce overfitting? Few images, many epochs."""

from convscope.studies.shorthand import activation, less, more
from convscope.studies.study import Arm, Budget, Claim, Comparison, Study

_POOL = "model.arguments.pool"
_STRIDED = {"layer": "pool", "kind": "max", "kernel": 1, "stride": 2}
_RELU = activation("relu")


def _overfits_less(arm: str, reference: str, condition: str) -> Comparison:
    return less("loss_gap", arm, reference, margin=0.05, condition=condition)


STUDY = Study(
    name="pooling-overfitting",
    topic="pooling",
    question="Does pooling reduce overfitting and improve generalisation?",
    changed="the pooling after both convolutions of LeNet-5",
    probes=("accuracy", {"probe": "noise", "deviation": 0.15}),
    arms=(
        Arm(name="max"),
        Arm(name="average", set={_POOL: {"layer": "pool", "kind": "average"}}),
        Arm(
            name="strided",
            set={_POOL: _STRIDED},
            control=True,
            note="as many parameters and maps as large, but nothing is pooled",
        ),
        Arm(name="none", set={_POOL: {"layer": "pool", "kind": "none"}}),
        Arm(name="max, ReLU", set=_RELU),
        Arm(name="strided, ReLU", set=_RELU | {_POOL: _STRIDED}, control=True),
    ),
    quick=Budget(train=500, test=2000, epochs=12, seeds=5),
    full=Budget(train=1000, test=0, epochs=30, seeds=20),
    claims=(
        Claim(
            id="pooling-prevents-overfitting",
            quote="can prevent overfitting by reducing the number of parameters",
            source="Pooling and padding, 1.1",
            comparisons=(
                _overfits_less("max", "none", "max pooling against none"),
                _overfits_less("strided", "none", "fewer parameters alone, by a stride"),
                _overfits_less("max", "strided", "pooling alone, with as many parameters"),
            ),
            comment="test loss less training loss, in nats, after few images are learnt by heart: "
            "all arms classify their training images without a mistake",
        ),
        Claim(
            id="pooling-generalises",
            quote="pooling contributes to better generalization",
            source="Pooling and padding, 1.6",
            comparisons=(
                more(
                    "test_accuracy",
                    "max",
                    "strided",
                    margin=0.01,
                    condition="than a strided convolution",
                ),
                more("test_accuracy", "max", "none", margin=0.01, condition="than no pooling"),
            ),
            published="CIFAR-10 error: pooling 9.74, strided 10.19, all-convolutional 9.08 % "
            "(Springenberg 2015)",
        ),
        Claim(
            id="pooling-noise",
            quote="reduces the impact of noise or small variations",
            source="Pooling and padding, 1.6",
            comparisons=tuple(
                more("noisy_accuracy", arm, reference, margin=0.05, condition=condition)
                for arm, reference, condition in (
                    ("max", "strided", "max with tanh"),
                    ("average", "strided", "average with tanh"),
                    ("max, ReLU", "strided, ReLU", "max with ReLU"),
                )
            ),
            comment="accuracy under Gaussian noise of 0.15 of the full range, against a "
            "convolution with stride 2",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds; parameters but for none",
    method="few training images, so that there is something to overfit",
)
