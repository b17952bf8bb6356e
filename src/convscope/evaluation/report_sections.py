"""The parts of the report on training and on the classes, one function a section.

Each returns a `Section`, or None where there is nothing to show. `lead` tells a learner what
the section shows and how to read it.
"""

from collections.abc import Iterable

from convscope.evaluation.chart_confusion import (
    DRAWN,
    NUMBERED,
    confusion_chart,
    drawn_part,
    worst_rate,
)
from convscope.evaluation.charts import (
    Series,
    legend_html,
    line_chart,
)
from convscope.evaluation.markup import (
    count,
    details_html,
    duration,
    finite,
    name_html,
    percent,
    table_html,
)
from convscope.evaluation.page import Section
from convscope.evaluation.report_input import ReportInput
from convscope.evaluation.results import ClassScore, Evaluation
from convscope.evaluation.views import DESCRIPTIONS
from convscope.text import html_text

_CLASSES_SHOWN = 12


def correct(evaluation: Evaluation) -> int:
    """Images on the diagonal of the confusion matrix."""
    return sum(row[i] for i, row in enumerate(evaluation.confusion))


def summary_html(report: ReportInput) -> str:
    """One plain sentence: how many are right, and what goes wrong most often."""
    result = report.evaluation
    right = correct(result)
    sentence = (
        f"{name_html(report.model)} names <strong>{count(right)}</strong> of "
        f"<strong>{count(result.n)}</strong> {name_html(result.split)} images correctly"
    )
    if not result.confused_pairs:
        return f"{sentence}: not one mistake."
    pair = result.confused_pairs[0]
    times = "once" if pair.count == 1 else f"{count(pair.count)} times"
    return (
        f"{sentence}; most often it takes “{name_html(pair.true)}” for "
        f"“{name_html(pair.predicted)}” ({times})."
    )


def hero_html(report: ReportInput) -> str:
    """The heading with the accuracy as a large number, its interval and the key figures."""
    result = report.evaluation
    low, high = result.accuracy_interval
    figures = {
        "Loss": f"{result.loss:.4f}",
        "Macro F1": percent(result.macro_f1, 2),
        "Calibration error": percent(result.calibration.ece, 2),
        "Parameters": count(finite(report.anatomy.get("parameters"))),
        "Epochs": count(len(report.history)) if report.history else "–",
        "Training time": "–"
        if report.training_seconds is None
        else duration(report.training_seconds),
    }
    facts = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in figures.items())
    return (
        f'<header class="hero"><h1>{name_html(report.title, 120)}</h1>'
        f'<p class="score"><span class="big">{percent(result.accuracy, 2)}</span> '
        f'<span class="beside">{name_html(result.split)} accuracy<br>'
        f"95\xa0% interval {percent(low, 2)} to {percent(high, 2)}<br>"
        f"n\xa0=\xa0{count(result.n)} images{_top5_html(result)}</span></p>"
        f"{_views_html(result)}"
        f'<p class="summary">{summary_html(report)}</p>'
        f'<dl class="figures">{facts}</dl></header>'
    )


def _top5_html(result: Evaluation) -> str:
    if result.top5 is None or result.top5_interval is None:
        return ""
    low, high = result.top5_interval
    return f"<br>top-5 accuracy {percent(result.top5, 2)}, {percent(low, 2)} to {percent(high, 2)}"


def _views_html(result: Evaluation) -> str:
    """The scores with several views of each image, set apart from the accuracy itself."""
    parts = []
    for one in result.views:
        low, high = one.accuracy_interval
        top = "" if one.top5 is None else f", top-5 {percent(one.top5, 2)}"
        what = f", {DESCRIPTIONS[one.name]}" if one.name in DESCRIPTIONS else ""
        parts.append(
            '<p class="views">With test-time views '
            f"<strong>{percent(one.accuracy, 2)}</strong>{top} "
            f"(95\xa0% interval {percent(low, 2)} to {percent(high, 2)}): the mean over "
            f"{count(one.count)} views of each image{html_text(what)}.</p>"
        )
    return "".join(parts)


def training_section(report: ReportInput) -> Section | None:
    """Loss, accuracy and learning rate over the epochs."""
    if not report.history:
        return None

    def column(key: str) -> list[tuple[float, float]]:
        pairs = ((finite(row.get("epoch")), finite(row.get(key))) for row in report.history)
        return [(x, y) for x, y in pairs if x is not None and y is not None]

    def panel(title: str, series: list[Series], y_low: float | None, as_percent: bool) -> str:
        ys = [y for one in series for _, y in one.points]
        if not ys:
            return ""
        y_range = (min(ys) if y_low is None else y_low, max(ys))
        last = ", ".join(
            f"{one.label} {_shown(one.points[-1][1], as_percent)}" for one in series if one.points
        )
        label = f"{title} over {len(report.history)} epochs; at the end: {last}"
        chart = line_chart(label, series, x_label="epoch", y_range=y_range, as_percent=as_percent)
        return (
            f"<figure><figcaption><h3>{title}</h3>{legend_html(series)}</figcaption>"
            f'{chart}<p class="note">At the end: {html_text(last)}.</p></figure>'
        )

    held_out = Series(label="validation", points=column("validation_accuracy"), tone="b")
    panels = [
        panel(
            "Loss",
            [
                Series(label="training", points=column("loss")),
                Series(label="validation", points=column("validation_loss"), tone="b"),
            ],
            0.0,
            False,
        ),
        panel(
            "Accuracy",
            [Series(label="training", points=column("train_accuracy")), held_out],
            None,
            True,
        ),
        panel("Learning rate", [Series(label="rate", points=column("learning_rate"))], 0.0, False),
    ]
    best = ""
    if held_out.points:
        at, top = max(held_out.points, key=lambda point: (point[1], -point[0]))
        best = f"<p>The best validation accuracy, {percent(top, 2)}, came after epoch {at:g}.</p>"
    lead = (
        "One step to the right is one pass over the training images: the loss should fall and the "
        "accuracy rise. The validation images are never trained on; where their line turns away "
        "from the training line, the network learns by heart."
    )
    body = f'{best}<div class="three">{"".join(panels)}</div>{_history_table(report)}'
    return Section("training", "Training", lead, body)


def _shown(value: float, as_percent: bool) -> str:
    return percent(value, 2) if as_percent else f"{value:.3g}"


def _history_table(report: ReportInput) -> str:
    columns = {
        "loss": "Loss",
        "validation_loss": "Validation loss",
        "train_accuracy": "Accuracy",
        "validation_accuracy": "Validation accuracy",
        "learning_rate": "Learning rate",
        "seconds": "Seconds",
    }
    present = [
        key for key in columns if any(finite(row.get(key)) is not None for row in report.history)
    ]

    def shown(key: str, value: float | None) -> str:
        return "–" if value is None else _shown(value, key.endswith("accuracy"))

    rows = (
        [
            f"{finite(row.get('epoch')) or 0:g}",
            *(shown(key, finite(row.get(key))) for key in present),
        ]
        for row in report.history
    )
    head = ["Epoch", *(columns[key] for key in present)]
    return details_html("The numbers, epoch by epoch", table_html("Training by epoch", head, rows))


def classes_section(report: ReportInput) -> Section:
    """Precision, recall and F1 of every class, with the missed share as bars."""
    scores = report.evaluation.per_class
    most = max((1 - one.recall for one in scores if one.recall is not None), default=0.0)

    def rows(some: Iterable[ClassScore]) -> Iterable[list[str]]:
        for one in some:
            missed = None if one.recall is None else 1 - one.recall
            width = 100 * missed / most if missed and most else 0
            bar = (
                '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" '
                f'aria-hidden="true"><rect width="{width:.1f}" height="10"/></svg>'
            )
            wrong = "–" if missed is None else count(round(missed * one.support))
            yield [
                name_html(one.name),
                count(one.support),
                *(percent(value) for value in (one.precision, one.recall, one.f1)),
                f'<span class="missed">{bar}{wrong}</span>',
            ]

    head = ["Class", "Images", "Precision", "Recall", "F1", "Missed"]
    lead = (
        "Recall: of the images of a class, how many are recognised. Precision: of the images "
        "given that name, how many deserve it. F1 joins both. A bar shows the share of a class "
        "that is missed" + (f"; the longest stands for {percent(most)}." if most else ".")
    )
    if len(scores) <= NUMBERED:
        return Section(
            "classes", "Class by class", lead, table_html("All classes", head, rows(scores))
        )
    weakest = sorted(scores, key=lambda one: 2 if one.f1 is None else one.f1)[:_CLASSES_SHOWN]
    body = table_html(f"The {_CLASSES_SHOWN} classes with the lowest F1", head, rows(weakest))
    every = table_html("All classes", head, rows(scores))
    return Section(
        "classes", "Class by class", lead, body + details_html(f"All {len(scores)} classes", every)
    )


def confusion_section(report: ReportInput) -> Section:
    """The confusion matrix and the most confused pairs."""
    result = report.evaluation
    classes, cells, totals = drawn_part(result)
    worst = worst_rate(cells, totals)
    lead = (
        "A row holds the images of one true class, a column those that the network gave one name. "
        "The diagonal is right; everything off it is a mistake, and the stronger its colour, the "
        "larger the share of its class"
        + (f" (the strongest: {percent(worst)})." if worst else ". Here there is none.")
    )
    if len(result.classes) > DRAWN:
        lead += (
            f" Of {count(len(result.classes))} classes those of the most confused pairs are here."
        )
    chart = f"<figure>{confusion_chart(classes, cells, totals)}</figure>" if classes else ""
    pairs = ""
    if result.confused_pairs:
        rows = (
            [
                f"{name_html(one.true)} → {name_html(one.predicted)}",
                count(one.count),
                percent(one.rate),
            ]
            for one in result.confused_pairs
        )
        head = ["True → predicted", "Images", "Of the class"]
        pairs = table_html("Most confused pairs", head, rows)
    table = ""
    if len(result.classes) <= NUMBERED:
        rows_html = (
            [name_html(name), *(count(cell) for cell in row)]
            for name, row in zip(result.classes, result.confusion, strict=True)
        )
        table = details_html(
            "The matrix as a table",
            table_html("True classes down, predicted across", ["", *result.classes], rows_html),
        )
    return Section(
        "confusion",
        "What is taken for what",
        lead,
        f'<div class="beside-pairs">{chart}{pairs}</div>{table}',
    )
