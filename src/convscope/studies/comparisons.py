"""Short forms of a comparison: what is claimed of an arm in one measure."""

from typing import Literal

from convscope.studies.study import Comparison


def more(
    measure: str,
    arm: str,
    than: str | float,
    *,
    margin: float = 0.0,
    condition: str = "",
    ratio: bool = False,
) -> Comparison:
    """The arm has more of it.

    Args:
        measure: what is compared.
        arm: the arm that the claim speaks of.
        than: another arm's name, or a number.
        margin: the smallest effect that would matter.
        condition: where, in a word or two.
        ratio: whether the effect is arm / reference, not arm − reference.
    """
    return _compare("more", measure, arm, than, margin, condition, ratio)


def less(
    measure: str,
    arm: str,
    than: str | float,
    *,
    margin: float = 0.0,
    condition: str = "",
    ratio: bool = False,
) -> Comparison:
    """The arm has less of it; arguments as for `more`."""
    return _compare("less", measure, arm, than, margin, condition, ratio)


def same(
    measure: str,
    arm: str,
    than: str | float,
    *,
    margin: float = 0.0,
    condition: str = "",
    ratio: bool = False,
) -> Comparison:
    """The arm has as much of it, to within the margin; arguments as for `more`."""
    return _compare("same", measure, arm, than, margin, condition, ratio)


def _compare(
    expect: Literal["more", "less", "same"],
    measure: str,
    arm: str,
    than: str | float,
    margin: float,
    condition: str,
    ratio: bool,
) -> Comparison:
    named = isinstance(than, str)
    return Comparison(
        measure=measure,
        arm=arm,
        reference=str(than) if named else "",
        constant=None if named else float(than),
        kind="ratio" if ratio else "difference",
        expect=expect,
        margin=margin,
        condition=condition,
    )
