"""Make names that come from outside (files, classes) inert wherever they are shown.

A file name may hold anything: terminal escapes, HTML, spreadsheet formulas, right-to-left
marks. One function for each place where text ends up.
"""

import html
import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_FORMULA = set("=+-@＝＋－＠")  # a spreadsheet takes the wide forms, too


def printable(text: object, limit: int = 200) -> str:
    r"""`text` on one line, with control, format and unencodable characters spelled out.

    >>> printable("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char
        for char in str(text)[: limit + 1]  # a longer text costs no more
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def html_text(text: object, limit: int = 200) -> str:
    """`text` safe inside HTML, as content or as a quoted attribute.

    >>> html_text('<img src="x">')
    '&lt;img src=&quot;x&quot;&gt;'
    """
    return html.escape(printable(text, limit), quote=True)


def plot_text(text: object, limit: int = 40) -> str:
    r"""`text` safe as a matplotlib label, where a dollar sign would start mathematics.

    >>> plot_text("$\\frac{")
    '\\$\\frac{'
    """
    return printable(text, limit).replace("$", r"\$")


def markdown_text(text: object, limit: int = 200) -> str:
    r"""`text` as nothing but text inside a line of Markdown: no mark-up, link, HTML, table cell.

    >>> markdown_text("<b>*|")
    '\\<b\\>\\*\\|'
    >>> markdown_text("1. https://a_b")
    '1\\. https\\://a\\_b'
    """
    shown = re.sub(r"[\\`*_<>\[\]|#~&!$@]|:(?=//)|(?<=www)\.", r"\\\g<0>", printable(text, limit))
    return re.sub(r"^(\d*)([-+.)=])", r"\1\\\2", shown)  # what begins a list or a heading


def csv_text(text: object) -> str:
    """`text` safe in a cell that a spreadsheet opens: a leading formula sign is quoted.

    >>> csv_text("=HYPERLINK(1)")
    "'=HYPERLINK(1)"
    """
    shown = printable(text)
    return "'" + shown if shown.lstrip()[:1] in _FORMULA else shown
