"""Max against average against min pooling, on light and on dark digits."""

from convscope.studies.shorthand import activation, less, more
from convscope.studies.study import Arm, Budget, Claim, Study

_DARK = {"changes": ["invert"]}
_FIRST = ("max", "min")


def _arm(kind: str, units: str, *, dark: bool = False) -> Arm:
    fields = {"model.arguments.pool": {"layer": "pool", "kind": kind}} | activation(units)
    if dark:
        fields["inputs.fill"] = 255
    name = f"{kind}, {units}" + (", dark on light" if dark else "")
    return Arm(name=name, set=fields, images=_DARK if dark else {})


def _picture(kind: str, *, dark: bool) -> Arm:
    """The picture itself is pooled, twice by 2 × 2, before an ordinary LeNet-5 sees it."""
    shrink = [f"shrink-{kind}"] * 2
    return Arm(
        name=f"picture by {kind}, {'dark' if dark else 'light'}",
        set={"inputs.fill": 255} if dark else {},
        images={"changes": ["invert", *shrink] if dark else shrink},
        note="28 × 28 to 7 × 7 by pooling, before the first convolution",
    )


STUDY = Study(
    name="pooling-kind",
    topic="pooling",
    question="Is max pooling better than min and average pooling, and when is min better?",
    changed="the kind of pooling, the activation, and whether digits are light or dark",
    probes=("accuracy", {"probe": "noise", "deviation": 0.15}),
    arms=(
        *(_arm(kind, "relu") for kind in ("max", "min", "average")),
        *(_arm(kind, "tanh") for kind in ("max", "min", "average")),
        *(_arm(kind, "relu", dark=True) for kind in _FIRST),
        *(_picture(kind, dark=dark) for dark in (True, False) for kind in _FIRST),
    ),
    quick=Budget(train=2000, test=2000, epochs=3, seeds=5),
    full=Budget(train=20000, test=0, epochs=6, seeds=10),
    claims=(
        Claim(
            id="max-over-min",
            quote="max pooling is generally more effective for preserving dominant features",
            source="Pooling and padding, 2",
            comparisons=tuple(
                more(
                    "test_accuracy",
                    f"max, {units}",
                    f"min, {units}",
                    margin=0.003,
                    condition=f"with {units}",
                )
                for units in ("relu", "tanh")
            ),
            comment="with an odd activation such as tanh, a network with max pooling and one with "
            "min pooling are the same but for the sign of weights (tested exactly)",
        ),
        Claim(
            id="min-for-dark",
            quote="min pooling can be useful where the smallest features are more informative",
            source="Pooling and padding, 2",
            comparisons=(
                more(
                    "test_accuracy",
                    "min, relu, dark on light",
                    "max, relu, dark on light",
                    margin=0.003,
                    condition="dark digits after a convolution",
                ),
                more(
                    "test_accuracy",
                    "picture by min, dark",
                    "picture by max, dark",
                    margin=0.003,
                    condition="dark pictures themselves",
                ),
                less(
                    "test_accuracy",
                    "picture by min, light",
                    "picture by max, light",
                    margin=0.003,
                    condition="light pictures themselves",
                ),
            ),
            comment="ink is the smallest value of dark digits. After a convolution that does not "
            "matter: the negative of a picture is what the negative weights see. It matters where "
            "the picture itself is pooled",
        ),
        Claim(
            id="max-over-average",
            quote="max pooling … tends to capture the most salient features",
            source="Pooling and padding, 1.3",
            comparisons=tuple(
                more(
                    "test_accuracy",
                    f"max, {units}",
                    f"average, {units}",
                    margin=0.003,
                    condition=f"with {units}",
                )
                for units in ("relu", "tanh")
            ),
            published="CaffeNet-128, ImageNet top-1: max 47.1, average 43.5 %; NORB: max better "
            "(Scherer 2010)",
        ),
        Claim(
            id="max-robust-to-noise",
            quote="it is robust to small variations and noise",
            source="Pooling and padding, 2",
            comparisons=tuple(
                more(
                    "noisy_accuracy",
                    f"max, {units}",
                    f"average, {units}",
                    margin=0.05,
                    condition=f"with {units}",
                )
                for units in ("relu", "tanh")
            ),
            comment="accuracy under Gaussian noise of 0.15 of the full range, against average "
            "pooling",
        ),
    ),
    held_equal="parameters (61,706), images, epochs, learning rate and schedule, seeds",
    method="the border around a dark digit is white; pictures that are pooled themselves are made "
    "4 times smaller",
)
