"""`report.html` of a study: what was found, in the style of a run's report."""

from collections.abc import Mapping
from datetime import UTC, datetime

from convscope.evaluation.charts import Series, legend_html, line_chart
from convscope.evaluation.markup import (
    LONG,
    count,
    details_html,
    duration,
    json_html,
    name_html,
    percent,
    table_html,
)
from convscope.evaluation.page import Section, page_html
from convscope.text import html_text
from convscope.tuning.space import Choices, Dimension, assignments
from convscope.tuning.study import Study, Trial

SHOWN_TRIALS = 200


def render_report(study: Study, importance: Mapping[str, float], command: str) -> str:
    """The page as one HTML document that needs no network.

    Args:
        study: every trial.
        importance: share of each varied field, by name; empty where it is not known.
        command: trains the best recipe; empty where there is none, or no recipe of that name.
    """
    sections = [
        _best_section(study, command),
        _history_section(study),
        _importance_section(study, importance),
        _trials_section(study),
        _origin_section(study),
    ]
    title = f"Tuning {study.recipe.name} on {study.recipe.data}"
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return page_html(
        title, sections, top_html=_hero_html(study, title), foot=f"Made by convscope, {created}."
    )


def _hero_html(study: Study, title: str) -> str:
    best = None if study.best is None else study.trials[study.best]
    states = [one.state for one in study.trials]
    figures = {
        "Trials": count(len(states)),
        "Cut short": count(states.count("pruned")),
        "Failed": count(states.count("failed")),
        "Settings varied": count(len(study.dimensions)),
        "Epochs": count(sum(len(one.epochs) for one in study.trials)),
        "Time": duration(sum(one.seconds for one in study.trials)),
    }
    facts = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in figures.items())
    shown = percent(best.accuracy if best else None, 2)
    where = "no trial was finished" if study.best is None else f"best in trial {study.best + 1}"
    return (
        f'<header class="hero"><h1>{name_html(title, 120)}</h1>'
        f'<p class="score"><span class="big">{shown}</span> '
        f'<span class="beside">validation accuracy<br>{where}</span></p>'
        '<p class="summary">Chosen on validation images. The best of many trials looks better '
        "there than it is: the test accuracy comes from training with it, see below.</p>"
        f'<dl class="figures">{facts}</dl></header>'
    )


def _best_section(study: Study, command: str) -> Section:
    if study.best is None:
        return Section("best", "The best recipe", "No trial was finished.", "")
    best = study.trials[study.best]
    own = study.trials[0]
    gain = ""
    if study.best and own.accuracy is not None and best.accuracy is not None:
        points = 100 * (best.accuracy - own.accuracy)
        gain = f" The first trial had {percent(own.accuracy, 2)}: {points:.2f} points less."
    rows = [[name_html(key), html_text(_text(value))] for key, value in best.values.items()]
    return Section(
        "best",
        "The best recipe",
        f"{_how(command)}{gain}",
        (f'<pre tabindex="0"><code>{html_text(command, LONG)}</code></pre>' if command else "")
        + table_html("What it changes", ["Setting", "Value"], rows, hide_caption=True),
    )


def _how(command: str) -> str:
    what = "Train it on the same data, and measure it on the test set"
    return f"{what}, with this command." if command else f"{what}: your recipe with these settings."


def _history_section(study: Study) -> Section:
    scores = [
        (float(n), one.accuracy)
        for n, one in enumerate(study.trials, 1)
        if one.accuracy is not None and one.state == "complete"
    ]
    best: list[tuple[float, float]] = []
    for n, score in scores:
        best.append((n, max(score, best[-1][1]) if best else score))
    lines = [
        Series(label="best so far", points=best),
        Series(label="this trial", points=scores, tone="b", dashed=True),
    ]
    figures = _figure_html("Trial by trial", lines, "trial")
    if study.best is not None:
        epochs = [Series(label="best trial", points=_by_epoch(study.trials[study.best]))]
        if study.best:
            first = _by_epoch(study.trials[0])
            epochs.append(Series(label="first trial", points=first, tone="b", dashed=True))
        figures += _figure_html("Epoch by epoch", epochs, "epoch")
    lead = (
        "Validation accuracy of every trial that was finished, and the best until then; and of the "
        "best trial after each epoch."
    )
    return Section("history", "How it went", lead, f'<div class="two">{figures}</div>')


def _by_epoch(trial: Trial) -> list[tuple[float, float]]:
    return [(float(epoch), accuracy) for epoch, accuracy in enumerate(trial.epochs, 1)]


def _figure_html(title: str, lines: list[Series], x_label: str) -> str:
    chart = line_chart(f"Validation accuracy, {title}", lines, x_label=x_label, as_percent=True)
    if not chart:
        return ""
    return f"<figure><figcaption><h3>{title}</h3>{legend_html(lines)}</figcaption>{chart}</figure>"


def _importance_section(study: Study, importance: Mapping[str, float]) -> Section:
    if not importance:
        lead = "Not known: it takes four finished trials or more, with different accuracies."
        return Section("importance", "What matters", lead, "")
    rows = [
        [name_html(name), _bar_html(share), percent(share), html_text(_span(study, name))]
        for name, share in sorted(importance.items(), key=lambda pair: -pair[1])
    ]
    lead = (
        "How much each setting decides whether a trial is among the best, in the ranges searched. "
        "With few trials this is a hint and no more."
    )
    head = ["Setting", "Importance", "Share", "Searched"]
    table = table_html("Importance of each setting", head, rows, text_columns={1, 3})
    return Section("importance", "What matters", lead, table)


def _bar_html(share: float) -> str:
    return (
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{100 * share:.1f}" height="6"/></svg>'
    )


def _trials_section(study: Study) -> Section:
    fields = [one.field for one in study.dimensions]
    numbered = sorted(enumerate(study.trials, 1), key=lambda pair: _order(pair[1]))
    rows = [
        [
            str(number),
            percent(one.accuracy, 2),
            "–" if one.loss is None else f"{one.loss:.4f}",
            html_text({"complete": "finished", "pruned": "cut short"}.get(one.state, one.state)),
            *(html_text(_text(one.values.get(field, ""))) for field in fields),
            duration(one.seconds),
        ]
        for number, one in numbered[:SHOWN_TRIALS]
    ]
    head = ["Trial", "Validation", "Loss", "State", *fields, "Time"]
    lead = "The best first. A trial is cut short where it is below the median after an epoch."
    if len(numbered) > SHOWN_TRIALS:
        lead += f" The best {SHOWN_TRIALS} of {len(numbered)}; all of them are in study.json."
    table = table_html("All trials", head, rows, text_columns={3}, hide_caption=True)
    return Section("trials", "Every trial", lead, table)


def _origin_section(study: Study) -> Section:
    ranges = [[name_html(one.field), html_text(_searched(one))] for one in study.dimensions]
    body = table_html(
        "What was varied", ["Setting", "Searched"], ranges, text_columns={1}
    ) + details_html("The recipe that was varied", json_html(study.recipe.model_dump(mode="json")))
    return Section("origin", "How to get it again", "The same command gives the same trials.", body)


def _order(trial: Trial) -> tuple[int, float, float]:
    states = {"complete": 0, "pruned": 1, "failed": 2}
    return states[trial.state], -(trial.accuracy or 0.0), trial.loss or 0.0


def _span(study: Study, name: str) -> str:
    return next((_searched(one) for one in study.dimensions if one.field == name), "")


def _searched(one: Dimension) -> str:
    if isinstance(one, Choices):
        return ", ".join(_text(value) for value in one.values)
    return f"{_text(one.low)} to {_text(one.high)}" + (", logarithmic" if one.log else "")


def _text(value: object) -> str:
    return assignments({"": value})[0][1:] if isinstance(value, str | int | float) else ""
