import csv
import io
import time
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from convscope.text import csv_text, html_text, plot_text, printable
from hostile_names import NAMES

# Lone surrogates too: bytes of a file name that are no UTF-8 become such.
any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(NAMES)
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
seen = st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – ünïcode 數字 🙂", "plain – ünïcode 數字 🙂"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\u2028", r"\u2028"),
        ("\x85", r"\x85"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        (None, "None"),
        (7, "7"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: object, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("length", "limit", "shown"), [(5, 5, "aaaaa"), (6, 5, "aaaa…"), (2, 1, "…")]
)
def test_a_long_text_ends_in_an_ellipsis(length: int, limit: int, shown: str) -> None:
    assert printable("a" * length, limit) == shown


@given(any_text, st.integers(1, 300))
def test_printable_is_one_inert_line_within_its_limit(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(char) for char in shown} & HIDDEN
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert printable(shown, limit) == shown


@given(st.text(seen, max_size=200))
def test_a_harmless_name_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_huge_text_costs_no_more_than_a_long_one() -> None:
    started = time.perf_counter()
    assert printable("\x00" * 50_000_000, 8) == r"\x00\x0…"
    assert time.perf_counter() - started < 1


class _Page(HTMLParser):
    """Everything that a browser would find in a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(any_text)
def test_html_shows_a_name_and_nothing_else(name: str) -> None:
    safe = html_text(name)
    page = _Page(f"<p title=\"{safe}\" lang='{safe}'>{safe}</p>")
    assert page.tags == [("p", [("title", printable(name)), ("lang", printable(name))])]
    assert page.text == printable(name)
    assert not set("<>\"'") & set(safe)


def test_html_keeps_to_its_limit_and_never_cuts_an_escape() -> None:
    assert html_text("<" * 300, 3) == "&lt;&lt;…"


def draw(text: str, *, parse_math: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    figure = Figure(figsize=(6, 0.4), dpi=50)
    figure.text(0.0, 0.3, text, parse_math=parse_math)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)  # type: ignore[no-untyped-call]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES, ids=lambda name: printable(name, 20))
def test_a_plot_shows_the_name_itself_and_no_mathematics(name: str) -> None:
    drawn = draw(plot_text(name), parse_math=True)
    literal = draw(printable(name, 40), parse_math=False)
    np.testing.assert_array_equal(drawn, literal)
    assert drawn.min() < 200, "nothing was drawn"


@given(any_text)
def test_a_plot_never_sees_a_dollar_sign_that_counts(name: str) -> None:
    safe = plot_text(name)
    assert safe.count("$") == safe.count(r"\$")
    assert len(safe.replace(r"\$", "$")) <= 40


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" \u00a0=1", "' \u00a0=1"),
        ("\t=1", r"\t=1"),
        ("\r=1", r"\r=1"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_a_spreadsheet_takes_no_name_for_a_formula(name: str, cell: str) -> None:
    assert csv_text(name) == cell


@given(any_text)
def test_a_csv_cell_is_one_cell_that_starts_with_no_formula_sign(name: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([csv_text(name), "next"])
    [(cell, following)] = csv.reader(io.StringIO(buffer.getvalue()))
    assert following == "next"
    assert cell.lstrip()[:1] not in set("=+-@\t\r＝＋－＠")
    assert cell.removeprefix("'") == printable(name).removeprefix("'")
