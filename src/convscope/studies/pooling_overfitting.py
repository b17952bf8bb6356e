"""Does pooling reduce overfitting? Few images, many epochs."""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Study

_POOL = "model.arguments.pool"

STUDY = Study(
    name="pooling-overfitting",
    topic="pooling",
    question="Does pooling reduce overfitting and improve generalisation?",
    changed="the pooling after both convolutions of LeNet-5",
    probes=("accuracy", {"probe": "noise", "deviation": 0.3}),
    arms=(
        Arm(name="max"),
        Arm(name="average", set={_POOL: {"layer": "pool", "kind": "average"}}),
        Arm(
            name="strided",
            set={_POOL: {"layer": "pool", "kind": "max", "kernel": 1, "stride": 2}},
            control=True,
            note="as many parameters and maps as large, but nothing is pooled",
        ),
        Arm(name="none", set={_POOL: {"layer": "pool", "kind": "none"}}),
    ),
    quick=Budget(train=500, test=2000, epochs=12, seeds=5),
    full=Budget(train=1000, test=0, epochs=30, seeds=20),
    claims=(
        Claim(
            id="pooling-prevents-overfitting",
            quote="can prevent overfitting by reducing the number of parameters",
            source="Pooling and padding, 1.1",
            comparisons=(
                Comparison(
                    measure="gap",
                    arm="max",
                    reference="none",
                    expect="less",
                    margin=0.01,
                    condition="than no pooling",
                ),
                Comparison(
                    measure="gap",
                    arm="max",
                    reference="strided",
                    expect="less",
                    margin=0.01,
                    condition="than as many parameters without pooling",
                ),
            ),
            comment="training accuracy less test accuracy, after few images are learnt by heart",
        ),
        Claim(
            id="pooling-generalises",
            quote="pooling contributes to better generalization",
            source="Pooling and padding, 1.6",
            comparisons=(
                Comparison(
                    measure="test_accuracy",
                    arm="max",
                    reference="strided",
                    expect="more",
                    margin=0.01,
                    condition="than a strided convolution",
                ),
                Comparison(
                    measure="test_accuracy",
                    arm="max",
                    reference="none",
                    expect="more",
                    margin=0.01,
                    condition="than no pooling",
                ),
            ),
            published="CIFAR-10 error: pooling 9.74, strided 10.19, all-convolutional 9.08 % "
            "(Springenberg 2015)",
        ),
        Claim(
            id="pooling-noise",
            quote="reduces the impact of noise or small variations",
            source="Pooling and padding, 1.6",
            comparisons=tuple(
                Comparison(
                    measure="noisy_accuracy",
                    arm=arm,
                    reference="strided",
                    expect="more",
                    margin=0.03,
                    condition=arm,
                )
                for arm in ("max", "average")
            ),
            comment="accuracy under Gaussian noise of 0.3 of the full range",
        ),
    ),
    held_equal="images, epochs, learning rate and schedule, seeds; parameters but for none",
    method="few training images, so that there is something to overfit",
)
