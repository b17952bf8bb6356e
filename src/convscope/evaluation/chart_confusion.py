"""The confusion matrix as inline SVG: errors in colour, the diagonal in the background."""

import math
from collections.abc import Sequence

from convscope.evaluation.markup import count, percent
from convscope.evaluation.results import Evaluation
from convscope.text import html_text, printable

NUMBERED, NAMED, DRAWN = 20, 40, 120
"""Up to so many classes the cells hold numbers; up to so many they have a name and a tip; up to
so many the cells can be seen at all."""

ERROR_SHADES, RIGHT_SHADES = 6, 4
_AREA, _FEW = 400.0, 4


def error_shade(rate: float, worst: float) -> int:
    """Shade 1 to 6 of an error that `rate` of its class suffers; `worst` is the matrix's largest.

    >>> [error_shade(rate, 0.36) for rate in (0.01, 0.18, 0.36)]
    [1, 3, 6]
    """
    return max(1, math.ceil(ERROR_SHADES * rate / worst - 1e-9))


def right_shade(recall: float) -> int:
    """Shade 1 to 4 of a cell on the diagonal.

    >>> right_shade(0.1), right_shade(0.99)
    (1, 4)
    """
    return max(1, math.ceil(RIGHT_SHADES * recall))


def worst_rate(confusion: Sequence[Sequence[int]], totals: Sequence[int] | None = None) -> float:
    """The largest share of a class that is taken for one other class; 0 without mistakes.

    `totals` are the images of each class, where they are more than the row holds.
    """
    totals = totals or [sum(row) for row in confusion]
    return max(
        (
            cell / totals[i]
            for i, row in enumerate(confusion)
            for j, cell in enumerate(row)
            if i != j and cell
        ),
        default=0.0,
    )


def drawn_part(result: Evaluation) -> tuple[list[str], list[list[int]], list[int]]:
    """Classes, confusion and images of each class: of more than 120 classes a part.

    That part are the classes of the most confused pairs, 20 at most; none without mistakes. The
    images of each class are all of its images, also those that were taken for a class left out.
    """
    shown = list(range(len(result.classes)))
    if len(shown) > DRAWN:
        named = {name for pair in result.confused_pairs for name in (pair.true, pair.predicted)}
        shown = [i for i in shown if result.classes[i] in named][:NUMBERED]
    return (
        [result.classes[i] for i in shown],
        [[result.confusion[i][j] for j in shown] for i in shown],
        [sum(result.confusion[i]) for i in shown],
    )


def confusion_chart(
    classes: Sequence[str],
    confusion: Sequence[Sequence[int]],
    totals: Sequence[int] | None = None,
) -> str:
    """True classes down, predicted classes across.

    Up to 20 classes the counts stand in the cells, up to 40 each cell tells them when pointed
    at; beyond that, cells of one shade are one path, so that the page stays light.

    Args:
        classes: names.
        confusion: images by true class (rows) and predicted class (columns).
        totals: images of each class, where `confusion` is a part of a larger matrix.
    """
    whole = totals is None
    totals = totals or [sum(row) for row in confusion]
    size = _AREA / len(classes)
    longest = 12
    names = [printable(name, longest) for name in classes]
    label_width = min(max(map(len, names)), longest) * 6.3 + 10
    tilted = max(map(len, names)) * 6.3 > size - 4
    left, top = label_width + 16, (label_width if tilted else 18) + 20
    every = 1 if len(classes) <= NAMED else math.ceil(len(classes) / 20)
    parts = [_titles(left, top)]
    for i, name in enumerate(names):
        if i % every == 0:
            middle = (i + 0.5) * size
            parts.append(_label(name, classes[i], left, top, middle, tilted=tilted))
    if len(classes) <= NAMED:
        parts.append(_cells(classes, confusion, totals, left, top, size))
    else:
        parts.append(_paths(confusion, totals, left, top, size))
    parts.append(f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="400" height="400"/>')
    right, n = sum(row[i] for i, row in enumerate(confusion)), sum(totals)
    label = html_text(
        f"Confusion matrix of {len(classes)} {'classes' if whole else 'chosen classes'}: "
        f"{count(right)} of {count(n)} images on the diagonal; "
        "the most confused pairs are listed below"
    )
    width, height = left + _AREA + 4, top + _AREA + 4
    few = " few" if len(classes) <= _FEW else ""
    return (
        f'<svg class="matrix{few}" role="img" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'aria-label="{label}">{"".join(parts)}</svg>'
    )


def _titles(left: float, top: float) -> str:
    middle = top + _AREA / 2
    return (
        f'<text class="axis mid" x="{left + _AREA / 2:.1f}" y="11">predicted</text>'
        f'<text class="axis mid" transform="translate(11 {middle:.1f}) rotate(-90)">true</text>'
    )


def _label(shown: str, name: str, left: float, top: float, middle: float, *, tilted: bool) -> str:
    text, title = html_text(shown), f"<title>{html_text(name)}</title>"
    x, y = left + middle, top + middle
    row = f'<text class="tick end" x="{left - 6:.1f}" y="{y + 4:.1f}">{text}{title}</text>'
    if tilted:
        place = f'class="tick start" transform="translate({x + 4:.1f} {top - 6:.1f}) rotate(-90)"'
    else:
        place = f'class="tick mid" x="{x:.1f}" y="{top - 7:.1f}"'
    return f"{row}<text {place}>{text}{title}</text>"


def _shade(i: int, j: int, cell: int, total: int, worst: float) -> str:
    if i == j:
        return f"right{right_shade(cell / total)}"
    return f"wrong{error_shade(cell / total, worst)}"


def _cells(
    classes: Sequence[str],
    confusion: Sequence[Sequence[int]],
    totals: Sequence[int],
    left: float,
    top: float,
    size: float,
) -> str:
    worst, parts = worst_rate(confusion, totals), []
    # The number must fit its cell; on a narrow screen the reader can enlarge the page.
    font = min(15.0, size * 0.42)
    for i, row in enumerate(confusion):
        total = totals[i]
        for j, cell in enumerate(row):
            if not cell:
                continue
            x, y = left + j * size, top + i * size
            shade = _shade(i, j, cell, total, worst)
            title = html_text(
                f"true {printable(classes[i], 60)}, predicted {printable(classes[j], 60)}: "
                f"{count(cell)} of {count(total)} ({percent(cell / total)})"
            )
            text = ""
            if len(classes) <= NUMBERED:
                place = f'x="{x + size / 2:.1f}" y="{y + size / 2 + font * 0.35:.1f}"'
                text = f'<text class="mid" {place} font-size="{font:.1f}">{cell}</text>'
            parts.append(
                f'<g class="cell {shade}"><rect x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" '
                f'width="{size - 1:.1f}" height="{size - 1:.1f}"/>{text}<title>{title}</title></g>'
            )
    return "".join(parts)


def _paths(
    confusion: Sequence[Sequence[int]],
    totals: Sequence[int],
    left: float,
    top: float,
    size: float,
) -> str:
    worst = worst_rate(confusion, totals)
    paths: dict[str, list[str]] = {}
    for i, row in enumerate(confusion):
        total = totals[i]
        for j, cell in enumerate(row):
            if cell:
                square = (
                    f"M{left + j * size:.2f},{top + i * size:.2f}"
                    f"h{size:.2f}v{size:.2f}h-{size:.2f}z"
                )
                paths.setdefault(_shade(i, j, cell, total, worst), []).append(square)
    return "".join(
        f'<g class="cell {shade}"><path d="{"".join(squares)}"/></g>'
        for shade, squares in sorted(paths.items())
    )
