"""The parts of the report that show how far the network can be trusted, one function a section."""

from convscope.evaluation.charts import (
    Series,
    legend_html,
    line_chart,
    reliability_chart,
    tick_text,
)
from convscope.evaluation.markup import count, details_html, name_html, percent, table_html
from convscope.evaluation.page import Section
from convscope.evaluation.pixels import photo_html
from convscope.evaluation.report_input import ReportInput
from convscope.evaluation.results import Mistake, RobustnessCurve
from convscope.text import html_text

_MISTAKES_SHOWN = 12


def calibration_section(report: ReportInput) -> Section:
    """The reliability diagram, with the calibration error in words."""
    result, bins = report.evaluation, report.evaluation.calibration.bins
    stated = (
        sum(one.count * one.confidence for one in bins if one.confidence is not None) / result.n
    )
    gap = stated - result.accuracy
    if abs(gap) < 0.0005:
        tendency = "On the whole it is as sure as it should be."
    else:
        which = "too sure" if gap > 0 else "too modest"
        tendency = (
            f"On the whole it is {which} by {100 * abs(gap):.1f} points: {percent(stated)} sure "
            f"on average, {percent(result.accuracy)} right."
        )
    lead = (
        "Does “90\xa0% sure” mean right nine times in ten? Points on the dashed diagonal say yes; "
        "below it the network is too sure of itself, above it too modest. The bars below count "
        "the images: points with few of them are uncertain."
    )
    text = (
        f"<p>The expected calibration error is <strong>{percent(result.calibration.ece, 2)}"
        "</strong>: "
        "averaged over the images, the stated confidence differs by that much from the share that "
        f"is right. {tendency}</p>"
    )
    rows = (
        [
            f"{percent(one.lower, 0)} to {percent(one.upper, 0)}",
            count(one.count),
            percent(one.confidence),
            percent(one.accuracy),
        ]
        for one in bins
        if one.count
    )
    head = ["Confidence", "Images", "Mean", "Right"]
    table = table_html("By stated confidence", head, rows)
    chart = f"<figure>{reliability_chart(result.calibration)}</figure>"
    return Section(
        "calibration",
        "How sure it is",
        lead,
        f'<div class="picture-text">{chart}<div>{text}{table}</div></div>',
    )


def mistakes_section(report: ReportInput) -> Section:
    """The most confident wrong answers as pictures, with what the network thought."""
    mistakes = report.evaluation.mistakes
    if not mistakes:
        lead = "Here the wrong answers would stand. There is none: every image is right."
        return Section("mistakes", "The worst mistakes", lead, "")
    lead = (
        "The wrong answers of which the network was most sure. The bars are its probabilities; the "
        "true class is marked. Would you have known?"
    )
    cards = [
        _mistake_card(mistake, photo_html(image, f"{mistake.true}, taken for {mistake.predicted}"))
        for mistake, image in zip(mistakes, report.mistake_images, strict=True)
    ]
    body = f'<ol class="cards">{"".join(cards[:_MISTAKES_SHOWN])}</ol>'
    if rest := cards[_MISTAKES_SHOWN:]:
        body += details_html(f"{len(rest)} more", f'<ol class="cards">{"".join(rest)}</ol>')
    return Section("mistakes", "The worst mistakes", lead, body)


def _mistake_card(mistake: Mistake, picture_html: str) -> str:
    thoughts = list(mistake.top)
    if mistake.true not in [name for name, _ in thoughts]:
        thoughts.append((mistake.true, mistake.probability_true))
    bars = "".join(
        f"<li{' class=truth' if name == mistake.true else ''}>{name_html(name, 24)}"
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * probability:.1f}" height="10"/></svg>'
        f'<span class="n">{percent(probability)}</span></li>'
        for name, probability in thoughts
    )
    where = f"image {mistake.index}" if mistake.file is None else mistake.file
    return (
        f"<li>{picture_html}<div><h3>{name_html(mistake.true, 24)} "
        f"<small>taken for</small> {name_html(mistake.predicted, 24)}</h3>"
        f'<ul class="thoughts">{bars}</ul><p class="where">{name_html(where, 60)}</p></div></li>'
    )


def robustness_section(report: ReportInput) -> Section | None:
    """Accuracy and agreement against the strength of each perturbation."""
    curves = [curve for curve in report.evaluation.robustness if curve.points]
    if not curves:
        return None
    lead = (
        "The test images are moved, turned or spoiled more and more. The line shows how many are "
        "still right (the band is its 95\xa0% interval), the dashes how many keep the answer that "
        "the untouched image got."
    )
    panels = "".join(map(_robustness_panel, curves))
    return Section("robustness", "What it withstands", lead, f'<div class="two">{panels}</div>')


def _robustness_panel(curve: RobustnessCurve) -> str:
    points = curve.points
    series = [
        Series(
            label="accuracy",
            points=[(point.x, point.accuracy) for point in points],
            band=[(point.x, *point.interval) for point in points],
        ),
        Series(
            label="same answer",
            points=[(point.x, point.agreement) for point in points],
            tone="b",
            dashed=True,
        ),
    ]
    worst = min(points, key=lambda point: point.accuracy)
    low = f"lowest accuracy {percent(worst.accuracy)} at {tick_text(worst.x)}"
    chart = line_chart(
        f"{curve.label}: {low}",
        series,
        x_label=curve.unit or "strength",
        y_range=(0.0, 1.0),
        as_percent=True,
    )
    rows = (
        [
            tick_text(point.x),
            percent(point.accuracy),
            " to ".join(percent(end) for end in point.interval),
            percent(point.agreement),
        ]
        for point in points
    )
    head = [curve.unit or "strength", "Accuracy", "95 % interval", "Same answer"]
    table = details_html("The numbers", table_html(curve.label, head, rows, hide_caption=True))
    return (
        f"<figure><figcaption><h3>{html_text(curve.label)}</h3>{legend_html(series)}</figcaption>"
        f'{chart}<p class="note">{html_text(low.capitalize())}; n\xa0=\xa0{count(curve.n)}.</p>'
        f"{table}</figure>"
    )
