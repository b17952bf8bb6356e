"""One HTML file: head, contents, sections, style and script inside, nothing loaded from outside.

Every text from outside goes through `convscope.text.html_text`; the Content-Security-Policy
allows the style sheet and the script of this package by their hashes, pictures inside the file,
and nothing else.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from convscope.text import html_text


@dataclass(frozen=True)
class Section:
    """A part of the page; `lead_html` and `body_html` are markup."""

    anchor: str
    title: str
    lead_html: str
    body_html: str


def page_html(
    title: str, sections: Sequence[Section], *, top_html: str, foot: str, style: str = ""
) -> str:
    """The document.

    Args:
        title: of the window.
        sections: in order.
        top_html: what stands before them.
        foot: a sentence at the end.
        style: rules beside those of all pages.
    """
    style, script = resource("report.css") + style, resource("report.js")
    links = "".join(
        f'<li><a href="#{section.anchor}">{html_text(section.title)}</a></li>'
        for section in sections
    )
    body = "".join(map(_section_html, sections))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(style, script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{html_text(title)}</title><style>{style}</style></head><body>"
        '<a class="skip" href="#main">Skip to the results</a>'
        '<button id="theme" type="button" aria-pressed="false" hidden>'
        '<span aria-hidden="true">◐</span> Dark</button>'
        f'<div class="page"><nav aria-label="Contents"><ol>{links}</ol></nav>'
        f'<main id="main">{top_html}{body}'
        f"<footer><p>{html_text(foot)} This file needs no network."
        f"</p></footer></main></div><script>{script}</script></body></html>\n"
    )


def _section_html(section: Section) -> str:
    heading = f"{section.anchor}-title"
    return (
        f'<section id="{section.anchor}" aria-labelledby="{heading}">'
        f'<h2 id="{heading}">{html_text(section.title)}</h2>'
        f'<p class="lead">{section.lead_html}</p>{section.body_html}</section>'
    )


def resource(name: str) -> str:
    """The text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; "
        f"script-src {source(script)}; base-uri 'none'; form-action 'none'"
    )
