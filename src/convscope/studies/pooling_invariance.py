"""Does pooling bring translation invariance?"""

from convscope.studies.shorthand import ABSENT, activation, more, same
from convscope.studies.study import Arm, Budget, Claim, Curve, Study

_POOL = "model.arguments.pool"


def _arm(name: str, note: str = "", **pool: object) -> Arm:
    return Arm(name=name, set={_POOL: {"layer": "pool", **pool}}, note=note)


STUDY = Study(
    name="pooling-invariance",
    topic="pooling",
    question="Does pooling make the answer independent of where the digit lies?",
    changed="the pooling after both convolutions of LeNet-5",
    probes=("accuracy", {"probe": "shift", "most": 4, "images": 1000}),
    arms=(
        Arm(name="max"),
        _arm("min", kind="min"),
        _arm("average", kind="average"),
        _arm("l2", kind="l2"),
        _arm("stochastic", kind="stochastic"),
        _arm("mixed", kind="mixed"),
        _arm("anti-aliased", "max, then a binomial blur (BlurPool)", kind="blur"),
        _arm(
            "strided",
            "every second value of the convolution, down and across",
            kind="max",
            kernel=1,
            stride=2,
        ),
        _arm("none", "23 times as many inputs of C5", kind="none"),
        *(
            Arm(
                name=f"{kind}, ReLU",
                set={_POOL: {"layer": "pool", "kind": kind}} | activation("relu"),
            )
            for kind in ("max", "min")
        ),
    ),
    quick=Budget(train=2000, test=1000, epochs=3, seeds=5),
    full=Budget(train=20000, test=0, epochs=6, seeds=10),
    claims=(
        Claim(
            id="pooling-less-sensitive",
            quote="less sensitive to small shifts",
            source="Pooling and padding, 1.2",
            comparisons=(
                more(
                    "consistency",
                    "max",
                    "strided",
                    margin=0.02,
                    condition="than a strided convolution",
                ),
                more("consistency", "max", "none", margin=0.02, condition="than no pooling"),
            ),
            published="pooling alone does not give shift invariance (Azulay & Weiss 2019)",
            comment="share of images whose two random shifts of up to 4 pixels get one answer",
        ),
        Claim(
            id="pooling-invariance",
            quote="can recognize patterns … regardless of their exact position",
            source="Pooling and padding, 1.2",
            comparisons=(same("consistency", "max", 1, margin=0.02),),
            published="AlexNet with max pooling: 78.18 % consistency (Zhang 2019)",
            comment="invariance would be a consistency of 100 %",
        ),
        Claim(
            id="pooling-one-pixel",
            quote="by aggregating information in small local regions",
            source="Pooling and padding, 1.2",
            comparisons=tuple(
                more("agreement_1", arm, "strided", margin=0.02, condition=arm)
                for arm in ("max", "average", "l2")
            ),
            comment="answers that stay the same after a shift of one pixel, against a strided "
            "convolution, which aggregates nothing",
        ),
        Claim(
            id="lenet-invariance",
            quote="max-pooling layers help LeNet-5 achieve translation invariance",
            source="Exploring LeNet, 3",
            comparisons=(
                more(
                    "shifted_accuracy",
                    "max",
                    "strided",
                    margin=0.02,
                    condition="than a strided convolution",
                ),
                more(
                    "shifted_accuracy",
                    "max",
                    "average",
                    margin=0.02,
                    condition="than average pooling",
                ),
            ),
            comment="accuracy on digits moved by up to 4 pixels along each axis",
        ),
        Claim(
            id="max-over-min-invariance",
            quote="max pooling helps in achieving translation invariance by focusing on the most "
            "dominant features",
            source="Pooling and padding, 2",
            comparisons=(
                more("consistency", "max", "min", margin=0.02, condition="with tanh"),
                more("consistency", "max, ReLU", "min, ReLU", margin=0.02, condition="with ReLU"),
            ),
            comment="against min pooling. With tanh the two are one family of networks, but for "
            "the sign of weights",
        ),
        Claim(
            id="blur-more-consistent",
            quote="anti-aliasing before subsampling makes answers more consistent",
            source=f"Zhang 2019, {ABSENT}",
            comparisons=(more("consistency", "anti-aliased", "max", margin=0.02),),
            published="78.18 → 83.31 % (AlexNet, ImageNet; Zhang 2019)",
        ),
    ),
    curves=(
        Curve(
            title="Answers that stay the same",
            x_label="shift in pixels",
            x=(1, 2, 3, 4),
            measures=("agreement_1", "agreement_2", "agreement_3", "agreement_4"),
        ),
        Curve(
            title="Accuracy of shifted digits",
            x_label="shift in pixels",
            x=(1, 2, 3, 4),
            measures=("accuracy_1", "accuracy_2", "accuracy_3", "accuracy_4"),
        ),
    ),
    held_equal="parameters (61,706; mixed has two more; none has more in C5), images, epochs, "
    "learning rate and schedule, seeds; no augmentation",
    method="shifts move the digit inside the 32 × 32 that the network sees, so that hardly any ink "
    "is lost",
)
