"""Small pieces of HTML and numbers for a reader.

Arguments whose name ends in `_html` are markup; every other string is outside text and is
escaped here. No inline styles: the report's Content-Security-Policy forbids them.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from convscope.text import html_text

LONG = 4000
"""Longest single value shown whole: citations and commands are longer than names."""


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction in percent that never rounds to 0 or 100 what is not.

    >>> percent(0.985), percent(0.99999), percent(0.0), percent(None)
    ('98.5\\xa0%', '>\\xa099.9\\xa0%', '0.0\\xa0%', '–')
    """
    if fraction is None:
        return "–"
    shown = f"{100 * fraction:.{digits}f}"
    if fraction < 1 and float(shown) == 100:
        return f">\xa0{100 - 10**-digits:.{digits}f}\xa0%"
    if fraction > 0 and float(shown) == 0:
        return f"<\xa0{10**-digits:.{digits}f}\xa0%"
    return f"{shown}\xa0%"


def count(number: float | None) -> str:
    """A whole number with its thousands apart.

    >>> count(340908), count(None)
    ('340,908', '–')
    """
    return "–" if number is None else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """
    >>> duration(4.26), duration(75), duration(3720)
    ('4.3 s', '1 min 15 s', '1 h 2 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def finite(value: object) -> float | None:
    """The number if it is one, else None: a history may hold NaN or lack a column."""
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def name_html(name: object, limit: int = 60) -> str:
    """A name from outside; `bdi` keeps right-to-left letters from reordering what is around."""
    return f"<bdi>{html_text(name, limit)}</bdi>"


def table_html(
    caption: str,
    head: Sequence[str],
    rows_html: Iterable[Sequence[str]],
    *,
    foot_html: Sequence[str] = (),
    text_columns: Set[int] = frozenset(),
    hide_caption: bool = False,
) -> str:
    """A table that scrolls sideways on its own where the page is narrow.

    Args:
        caption: what the table holds; also names the scrolling region for screen readers.
        head: titles of the columns. The first column holds the row's own heading.
        rows_html: cells, one sequence a row.
        foot_html: cells of a last row of totals.
        text_columns: indices of columns that hold text, set to the left; others hold numbers.
        hide_caption: shown to screen readers only.
    """
    label = html_text(caption, LONG)

    def cell(tag: str, index: int, html: str, scope: str = "") -> str:
        number = "" if index == 0 or index in text_columns else ' class="n"'
        return f"<{tag}{scope}{number}>{html}</{tag}>"

    def line(cells: Sequence[str]) -> str:
        first, *others = cells
        heading = cell("th", 0, first, ' scope="row"')
        return (
            f"<tr>{heading}{''.join(cell('td', i, html) for i, html in enumerate(others, 1))}</tr>"
        )

    titles = "".join(
        cell("th", i, html_text(title), ' scope="col"') for i, title in enumerate(head)
    )
    foot = f"<tfoot>{line(foot_html)}</tfoot>" if foot_html else ""
    hidden = ' class="hidden"' if hide_caption else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>'
        f"<caption{hidden}>{label}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{''.join(map(line, rows_html))}</tbody>{foot}</table></div>"
    )


def details_html(summary: str, body_html: str) -> str:
    return f"<details><summary>{html_text(summary)}</summary>{body_html}</details>"


def json_html(value: Mapping[str, Any]) -> str:
    """The value as indented JSON, inert."""
    # Line by line: the line ends are ours, anything else that is unprintable is spelled out.
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    lines = "\n".join(html_text(line, LONG) for line in text.split("\n"))
    return f'<pre tabindex="0"><code>{lines}</code></pre>'


def facts_html(facts: Mapping[str, Any]) -> str:
    """Names and values as a description list; nested values as JSON."""

    def value_text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key}: {value_text(inner)}" for key, inner in value.items())
        if isinstance(value, list | tuple):
            return ", ".join(map(value_text, value))
        if isinstance(value, bool) or value is None:
            return {True: "yes", False: "no", None: "–"}[value]
        return str(value)

    pairs = "".join(
        f"<dt>{html_text(str(key).replace('_', ' '))}</dt>"
        f"<dd><bdi>{html_text(value_text(value), LONG)}</bdi></dd>"
        for key, value in facts.items()
    )
    return f'<dl class="facts">{pairs}</dl>' if pairs else ""
