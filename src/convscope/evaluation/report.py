"""`report.html`: one file that holds everything, works offline and may be passed on.

It is put together from strings without a template engine. Every text from outside goes through
`convscope.text.html_text`; the Content-Security-Policy allows the style sheet and the script of
this package by their hashes, pictures inside the file, and nothing else.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources

from convscope.evaluation import report_inside as inside
from convscope.evaluation import report_pixels as pixels
from convscope.evaluation import report_sections as results
from convscope.evaluation import report_trust as trust
from convscope.evaluation.report_input import FeatureMaps, ReportInput
from convscope.text import html_text

__all__ = ["FeatureMaps", "ReportInput", "page_html", "render_html"]


def render_html(report: ReportInput) -> str:
    """The report as one HTML document that loads nothing from outside."""
    candidates = [
        results.training_section(report),
        results.classes_section(report),
        results.confusion_section(report),
        trust.calibration_section(report),
        trust.mistakes_section(report),
        trust.robustness_section(report),
        pixels.filters_section(report),
        pixels.feature_maps_section(report),
        inside.anatomy_section(report),
        inside.origin_section(report),
    ]
    sections = [section for section in candidates if section is not None]
    return page_html(report.title, report.created, results.hero_html(report), sections)


def page_html(title: str, created: str, hero_html: str, sections: Sequence[results.Section]) -> str:
    """A page in the report's style that loads nothing from outside.

    Args:
        title: of the document. created: when, for the foot of the page.
        hero_html: its heading, markup. sections: its parts.
    """
    style, script = _resource("report.css"), _resource("report.js")
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
        f'<main id="main">{hero_html}{body}'
        f"<footer><p>Made by convscope, {html_text(created)}. This file needs no network."
        f"</p></footer></main></div><script>{script}</script></body></html>\n"
    )


def _section_html(section: results.Section) -> str:
    heading = f"{section.anchor}-title"
    return (
        f'<section id="{section.anchor}" aria-labelledby="{heading}">'
        f'<h2 id="{heading}">{html_text(section.title)}</h2>'
        f'<p class="lead">{section.lead_html}</p>{section.body_html}</section>'
    )


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; img-src data:; style-src {source(style)}; "
        f"script-src {source(script)}; base-uri 'none'; form-action 'none'"
    )
