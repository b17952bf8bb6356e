"""Short forms in which studies are written: comparisons, and what many of their arms change."""

from functools import partial
from typing import Any, Literal

from convscope.studies.study import Comparison

ABSENT = "not in the document"
"""Ends the source of a claim that the document does not make."""
OURS = f"ours, {ABSENT}"


def _compare(
    expect: Literal["more", "less", "same"],
    measure: str,
    arm: str,
    than: str | float,
    *,
    margin: float = 0.0,
    condition: str = "",
    ratio: bool = False,
) -> Comparison:
    """What is expected of an arm in one measure.

    Args:
        expect: see `Comparison`.
        measure: what is compared.
        arm: the arm that the claim speaks of.
        than: another arm's name, or a number.
        margin: the smallest effect that would matter.
        condition: where, in a word or two.
        ratio: whether the effect is arm / reference, not arm − reference.
    """
    against = {"reference": than} if isinstance(than, str) else {"constant": than}
    return Comparison(
        measure=measure,
        arm=arm,
        kind="ratio" if ratio else "difference",
        expect=expect,
        margin=margin,
        condition=condition,
        **against,
    )


more = partial(_compare, "more")
"""The arm has more of the measure; arguments as for `_compare`."""
less = partial(_compare, "less")
"""The arm has less of it."""
same = partial(_compare, "same")
"""The arm has as much of it, to within the margin."""


def activation(kind: str) -> dict[str, Any]:
    """What an arm sets so that every activation of its network is of this kind."""
    return {"model.arguments.activation": {"layer": "activation", "kind": kind}}
