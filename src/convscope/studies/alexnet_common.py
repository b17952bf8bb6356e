"""What the studies of AlexNet's plan share."""

from collections.abc import Sequence

from convscope.studies.shorthand import less, more
from convscope.studies.study import Budget, Claim, Comparison

ARGUMENTS = "model.arguments"
QUICK = Budget(train=2000, test=2000, epochs=6, seeds=3)
FULL = Budget(train=20000, test=0, epochs=6, seeds=10)
HELD = "images, epochs, schedule, seeds; AlexNet's plan at a twelfth of its width on 32 × 32 pixels"


def source(part: str) -> str:
    """Where the document says it: a section of its part on AlexNet; another source as it is."""
    return f"Analyzing AlexNet, {part}" if part[0].isdigit() else part


def accuracy(arm: str, reference: str, condition: str = "", *, margin: float = 0.01) -> Comparison:
    """The arm has the higher test accuracy."""
    return more("test_accuracy", arm, reference, margin=margin, condition=condition)


def gap(arm: str, reference: str, condition: str = "") -> Comparison:
    """The arm has the smaller gap between training and test accuracy."""
    return less("gap", arm, reference, margin=0.02, condition=condition)


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
