"""Max against average against min pooling, on light and on dark digits."""

from convscope.studies.study import Arm, Budget, Claim, Comparison, Study

_DARK = {"changes": ["invert"]}


def _arm(kind: str, activation: str, *, dark: bool = False) -> Arm:
    fields: dict[str, object] = {
        "model.arguments.pool": {"layer": "pool", "kind": kind},
        "model.arguments.activation": {"layer": "activation", "kind": activation},
    }
    if dark:
        fields["inputs.fill"] = 255
    name = f"{kind}, {activation}" + (", dark on light" if dark else "")
    return Arm(name=name, set=fields, images=_DARK if dark else {})


STUDY = Study(
    name="pooling-kind",
    topic="pooling",
    question="Is max pooling better than min and average pooling, and when is min better?",
    changed="the kind of pooling, the activation, and whether digits are light or dark",
    probes=("accuracy", {"probe": "noise", "deviation": 0.3}),
    arms=(
        *(_arm(kind, "relu") for kind in ("max", "min", "average")),
        *(_arm(kind, "tanh") for kind in ("max", "min", "average")),
        *(_arm(kind, "relu", dark=True) for kind in ("max", "min")),
    ),
    quick=Budget(train=2000, test=2000, epochs=3, seeds=5),
    full=Budget(train=0, test=0, epochs=5, seeds=10),
    claims=(
        Claim(
            id="max-over-min",
            quote="max pooling is generally more effective for preserving dominant features",
            source="Pooling and padding, 2",
            comparisons=tuple(
                Comparison(
                    measure="test_accuracy",
                    arm=f"max, {activation}",
                    reference=f"min, {activation}",
                    expect="more",
                    margin=0.003,
                    condition=f"with {activation}",
                )
                for activation in ("relu", "tanh")
            ),
            comment="with an odd activation such as tanh, a network with max pooling and one with "
            "min pooling are the same but for the sign of weights (tested exactly)",
        ),
        Claim(
            id="min-for-dark",
            quote="min pooling can be useful where the smallest features are more informative",
            source="Pooling and padding, 2",
            comparisons=(
                Comparison(
                    measure="test_accuracy",
                    arm="min, relu, dark on light",
                    reference="max, relu, dark on light",
                    expect="more",
                    margin=0.003,
                ),
            ),
            comment="dark digits on light ground, where ink is the smallest value of the picture",
        ),
        Claim(
            id="max-over-average",
            quote="max pooling … tends to capture the most salient features",
            source="Pooling and padding, 1.3",
            comparisons=tuple(
                Comparison(
                    measure="test_accuracy",
                    arm=f"max, {activation}",
                    reference=f"average, {activation}",
                    expect="more",
                    margin=0.003,
                    condition=f"with {activation}",
                )
                for activation in ("relu", "tanh")
            ),
            published="CaffeNet-128, ImageNet top-1: max 47.1, average 43.5 %; NORB: max better "
            "(Scherer 2010)",
        ),
        Claim(
            id="max-robust-to-noise",
            quote="it is robust to small variations and noise",
            source="Pooling and padding, 2",
            comparisons=tuple(
                Comparison(
                    measure="noisy_accuracy",
                    arm=f"max, {activation}",
                    reference=f"average, {activation}",
                    expect="more",
                    margin=0.02,
                    condition=f"with {activation}",
                )
                for activation in ("relu", "tanh")
            ),
            comment="accuracy under Gaussian noise of 0.3 of the full range, against average "
            "pooling",
        ),
    ),
    held_equal="parameters (61,706), images, epochs, learning rate and schedule, seeds",
    method="the border around a dark digit is white",
)
