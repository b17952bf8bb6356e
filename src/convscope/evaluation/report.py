"""`report.html`: one file that holds everything, works offline and may be passed on.

It is put together from strings without a template engine; `page.py` has what all pages share.
"""

from convscope.evaluation import report_inside as inside
from convscope.evaluation import report_pixels as pixels
from convscope.evaluation import report_sections as results
from convscope.evaluation import report_trust as trust
from convscope.evaluation.page import page_html
from convscope.evaluation.report_input import FeatureMaps, ReportInput

__all__ = ["FeatureMaps", "ReportInput", "render_html"]


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
    return page_html(
        report.title,
        sections,
        top_html=results.hero_html(report),
        foot=f"Made by convscope, {report.created}.",
    )
