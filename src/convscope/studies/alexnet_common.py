"""What the studies of AlexNet's plan share."""

from collections.abc import Sequence

from convscope.studies.study import Budget, Claim, Comparison

ARGUMENTS = "model.arguments"
QUICK = Budget(train=2000, test=2000, epochs=6, seeds=3)
FULL = Budget(train=20000, test=0, epochs=10, seeds=10)
HELD = "images, epochs, schedule, seeds; AlexNet's plan at a twelfth of its width on 32 × 32 pixels"


def source(part: str) -> str:
    """Where the document says it."""
    return f"Analyzing AlexNet, {part}"


def accuracy(arm: str, reference: str, condition: str = "", *, margin: float = 0.01) -> Comparison:
    """The arm has the higher test accuracy."""
    return Comparison(
        measure="test_accuracy",
        arm=arm,
        reference=reference,
        expect="more",
        margin=margin,
        condition=condition,
    )


def gap(arm: str, reference: str, condition: str = "") -> Comparison:
    """The arm has the smaller gap between training and test accuracy."""
    return Comparison(
        measure="gap",
        arm=arm,
        reference=reference,
        expect="less",
        margin=0.02,
        condition=condition,
    )


def claim(
    name: str,
    quote: str,
    part: str,
    comparisons: Sequence[Comparison],
    *,
    published: str = "",
    comment: str = "",
) -> Claim:
    """A claim of the document's part on AlexNet."""
    return Claim(
        id=name,
        quote=quote,
        source=source(part),
        comparisons=tuple(comparisons),
        published=published,
        comment=comment,
    )
