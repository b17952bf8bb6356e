"""Does pooling bring translation invariance?"""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Curve, Study

_POOL = "model.arguments.pool"


def _arm(name: str, note: str = "", **pool: object) -> Arm:
    return Arm(name=name, set={_POOL: {"layer": "pool", **pool}}, note=note)


STUDY = Study(
    name="pooling-invariance",
    topic="pooling",
    question="Does pooling make the answer independent of where the digit lies?",
    changed="the pooling after both convolutions of LeNet-5",
    probes=("accuracy", {"probe": "shift", "most": 4, "images": 300}),
    arms=(
        Arm(name="max"),
        _arm("min", kind="min"),
        _arm("average", kind="average"),
        _arm("l2", kind="l2"),
        _arm("stochastic", kind="stochastic"),
        _arm("mixed", kind="mixed"),
        _arm("anti-aliased", "max, then a binomial blur (BlurPool)", kind="blur"),
        _arm("strided", "a convolution with stride 2 in its place", kind="max", kernel=1, stride=2),
        _arm("none", "16 times as many inputs of C5", kind="none"),
    ),
    quick=Budget(train=2000, test=1000, epochs=3, seeds=5),
    full=Budget(train=0, test=0, epochs=5, seeds=10),
    claims=(
        Claim(
            id="pooling-less-sensitive",
            quote="less sensitive to small shifts",
            source="Pooling and padding, 1.2",
            comparisons=(
                Comparison(
                    measure="consistency",
                    arm="max",
                    reference="strided",
                    expect="more",
                    margin=0.02,
                    condition="than a strided convolution",
                ),
                Comparison(
                    measure="consistency",
                    arm="max",
                    reference="none",
                    expect="more",
                    margin=0.02,
                    condition="than no pooling",
                ),
            ),
            published="pooling alone does not give shift invariance (Azulay & Weiss 2019)",
            comment="share of images whose two random shifts of up to 4 pixels get one answer",
        ),
        Claim(
            id="pooling-invariance",
            quote="can recognize patterns … regardless of their exact position",
            source="Pooling and padding, 1.2",
            comparisons=(
                Comparison(
                    measure="consistency", arm="max", constant=1, expect="same", margin=0.02
                ),
            ),
            published="AlexNet with max pooling: 78.18 % consistency (Zhang 2019)",
            comment="invariance would be a consistency of 100 %",
        ),
        Claim(
            id="pooling-one-pixel",
            quote="by aggregating information in small local regions",
            source="Pooling and padding, 1.2",
            comparisons=tuple(
                Comparison(
                    measure="agreement_1",
                    arm=arm,
                    reference="strided",
                    expect="more",
                    margin=0.02,
                    condition=arm,
                )
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
                Comparison(
                    measure="shifted_accuracy",
                    arm="max",
                    reference="strided",
                    expect="more",
                    margin=0.02,
                    condition="than a strided convolution",
                ),
                Comparison(
                    measure="shifted_accuracy",
                    arm="max",
                    reference="average",
                    expect="more",
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
                Comparison(
                    measure="consistency", arm="max", reference="min", expect="more", margin=0.02
                ),
            ),
            comment="against min pooling, with tanh, where the two are one family of networks",
        ),
        Claim(
            id="blur-more-consistent",
            quote="anti-aliasing before subsampling makes answers more consistent",
            source="Zhang 2019, not in the document",
            comparisons=(
                Comparison(
                    measure="consistency",
                    arm="anti-aliased",
                    reference="max",
                    expect="more",
                    margin=0.02,
                ),
            ),
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
    method="shifts move the digit inside its picture of 28 × 28, which then gets LeNet's border",
)
