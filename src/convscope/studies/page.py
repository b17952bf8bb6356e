"""The page of a study: one HTML file with the verdicts, the plots and every number behind them."""

import base64
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from convscope.evaluation.charts import Series, legend_html, line_chart
from convscope.evaluation.markup import count, details_html, duration, facts_html, table_html
from convscope.evaluation.page import Section, page_html
from convscope.files import write_atomically
from convscope.studies.plots import arm_chart, forest_chart
from convscope.studies.results import rows_csv, seeds_done
from convscope.studies.verdicts import is_share
from convscope.studies.wording import (
    command_text,
    compared_text,
    effect_text,
    length_text,
    measure_text,
    number,
    training_images_text,
    value_text,
    verdict_text,
)
from convscope.text import html_text

TONES = "abcdefghi"
MOST_CHARTS = 6

Document = Mapping[str, Any]


def write_page(document: Document, store: Path) -> Path:
    """Write `NAME.html` into the store; its path is returned."""
    path = store / f"{document['study']}.html"
    write_atomically(path, study_html(document).encode())
    return path


def study_html(document: Document) -> str:
    """The results document as a page that loads nothing from outside."""
    sections = [
        _claims(document),
        _arms(document),
        *([_curves(document)] if document["curves"] else []),
        _method(document),
        _rows(document),
    ]
    made = document["made"]
    return page_html(
        f"{document['study']}: {document['question']}",
        sections,
        top_html=_top(document),
        foot=f"Made by convscope {made['versions']['convscope']}, {made['date']}.",
        style=resources.files(__package__).joinpath("study.css").read_text(encoding="utf-8"),
    )


def _top(document: Document) -> str:
    items = "".join(
        f'<li><span class="verdict {_class(claim)}">{html_text(_word(claim))}</span>'
        f'<a href="#{claim["id"]}">{html_text(claim["quote"], 300)}</a></li>'
        for claim in document["claims"]
    )
    return (
        f'<header class="hero"><p class="kicker">convscope study {html_text(document["study"])}</p>'
        f'<h1 class="question">{html_text(document["question"], 300)}</h1>'
        f'<ul class="answers">{items}</ul>{_facts(document)}</header>'
    )


def _facts(document: Document) -> str:
    data = document["data"]
    facts = {
        "networks trained" if document["trained"] else "networks looked at": count(
            len(document["rows"])
        ),
        "arms": count(len(document["arms"])),
        "seeds": count(seeds_done(document)),
        "training images": count(max(one["train"] for one in data)),
        "test images": count(max(one["test"] for one in data)),
        "one core": duration(document["made"]["job_seconds"]),
    }
    pairs = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="figures">{pairs}</dl>'


def _class(claim: Mapping[str, Any]) -> str:
    return str(claim["verdict"]).replace(" ", "-")


def _word(claim: Mapping[str, Any]) -> str:
    word = str(claim["verdict"])
    return f"{word}, underpowered" if claim["seeds_needed"] is not None else word


def _claims(document: Document) -> Section:
    lead = (
        "Each effect is the mean of paired differences, seed by seed, with its 95 % interval "
        "(Student's t). The shade is what would be too small to matter. A verdict needs p &lt; "
        "0.05 after Holm's correction over all comparisons of the study."
    )
    if not document["trained"] and not document["timing"]:
        lead = "These numbers are counted from the networks, not sampled: they have no interval."
    return Section("claims", "Verdicts", lead, "".join(map(_claim, document["claims"])))


def _claim(claim: Mapping[str, Any]) -> str:
    charts, exact = [], []
    groups: dict[tuple[str, str, float], list[Mapping[str, Any]]] = {}
    for effect in claim["effects"]:
        one = effect["comparison"]
        if effect["exact"] or effect["low"] is None:
            where = f"{one['condition']}: " if one.get("condition") else ""
            exact.append(
                f'<p class="exact">{html_text(where)}<strong>{html_text(effect_text(effect))}'
                f"</strong> <small>{html_text(compared_text(effect), 300)}</small></p>"
            )
        else:
            key = (one["measure"], one.get("kind", "difference"), one.get("margin", 0.0))
            groups.setdefault(key, []).append(effect)
    for effects in groups.values():
        charts.append(forest_chart(f"Effects for: {claim['quote']}", effects))
    notes = ""
    if claim["comment"]:
        notes += f'<p class="note">{html_text(claim["comment"], 600)}</p>'
    if claim["published"]:
        notes += f'<p class="note">Published: {html_text(claim["published"], 600)}</p>'
    return (
        f'<article class="claim" id="{claim["id"]}"><blockquote>{html_text(claim["quote"], 400)}'
        f'</blockquote><p class="where">{html_text(claim["source"])}</p>'
        f'<p class="plain"><span class="verdict {_class(claim)}">'
        f"{html_text(verdict_text(claim), 600)}</span></p>"
        f'<div class="forest">{"".join(charts)}</div>{"".join(exact)}{notes}</article>'
    )


def key_measures(document: Document) -> list[str]:
    """The measures that the claims are about, and the test accuracy first where there is one."""
    names = [
        effect["comparison"]["measure"]
        for claim in document["claims"]
        for effect in claim["effects"]
    ]
    measured = {name for arm in document["arms"] for name in arm["measures"]}
    return [name for name in dict.fromkeys(["test_accuracy", *names]) if name in measured]


def _arms(document: Document) -> Section:
    names = key_measures(document)
    charts = ""
    if document["trained"] or document["timing"]:
        charts = "".join(
            f'<figure class="armchart">{arm_chart(measure_text(name), name, document)}</figure>'
            for name in names[:MOST_CHARTS]
        )
        charts = f'<div class="two">{charts}</div>'
    head = ["Arm", *(measure_text(name) for name in names)]
    rows = []
    for arm in document["arms"]:
        cells = [html_text(arm["name"]) + (" (control)" if arm["control"] else "")]
        for name in names:
            cells.append(_mean(arm["measures"].get(name), name))
        rows.append(cells)
    notes = "".join(
        f"<dt>{html_text(arm['name'])}</dt><dd>{html_text(_note(arm), 400)}</dd>"
        for arm in document["arms"]
    )
    table = table_html("Mean ± standard deviation over the seeds", head, rows)
    lead = (
        f"What differs: {html_text(document['changed'] or 'see below', 300)}. "
        f"What is equal: {html_text(document['held_equal'] or 'everything else', 400)}."
    )
    return Section("arms", "Arms", lead, f'{charts}{table}<dl class="facts">{notes}</dl>')


def _mean(one: Mapping[str, Any] | None, measure: str) -> str:
    if one is None:
        return "–"
    mean = html_text(value_text(one["mean"], measure))
    if one["n"] < 2 or not one["sd"]:
        return mean
    spread = f"{100 * one['sd']:.2f}" if is_share(measure) else number(one["sd"])
    return f"{mean} ± {html_text(spread)}"


def _note(arm: Mapping[str, Any]) -> str:
    changes = "; ".join(
        f"{name.removeprefix('model.arguments.')}: {_setting(value)}"
        for name, value in arm["changes"].items()
    )
    return ". ".join(part for part in (arm["note"], changes) if part) or "as the recipe has it"


def _setting(value: Any) -> str:
    """A setting as words: a layer as its kind and what differs from the default."""
    if isinstance(value, Mapping):
        parts = [
            str(inner) if name == "kind" else f"{name} {_setting(inner)}"
            for name, inner in value.items()
            if name != "layer"
        ]
        return ", ".join(parts)
    if isinstance(value, list | tuple):
        return " ".join(map(_setting, value))
    return str(value)


def _curves(document: Document) -> Section:
    charts = []
    for curve in document["curves"]:
        series = [
            Series(
                label=arm["name"],
                tone=TONES[index % len(TONES)],
                dashed=index >= 5,
                points=[
                    (x, arm["measures"][name]["mean"])
                    for x, name in zip(curve["x"], curve["measures"], strict=True)
                    if name in arm["measures"]
                ],
                band=[
                    (x, arm["measures"][name]["low"], arm["measures"][name]["high"])
                    for x, name in zip(curve["x"], curve["measures"], strict=True)
                    if index < 2 and arm["measures"].get(name, {}).get("n", 0) > 2
                ],
            )
            for index, arm in enumerate(document["arms"])
        ]
        share = is_share(curve["measures"][0])
        chart = line_chart(curve["title"], series, x_label=curve["x_label"], as_percent=share)
        charts.append(
            f"<figure><figcaption><h3>{html_text(curve['title'])}</h3>{legend_html(series)}"
            f"</figcaption>{chart}</figure>"
        )
    lead = "Means over the seeds; every seed's numbers are below."
    return Section("curves", "Curves", lead, f'<div class="two curves">{"".join(charts)}</div>')


def _method(document: Document) -> Section:
    made, tuned = document["made"], document["tuned"]
    facts: dict[str, Any] = {
        **({"how it was measured": document["method"]} if document["method"] else {}),
        "data": "; ".join(
            f"{one['name']}: {training_images_text(one)} of {one['of_train']:,} training images, "
            f"{one['test']:,} of {one['of_test']:,} test images"
            for one in document["data"]
        ),
    }
    if document["trained"]:
        facts["length of a training"] = length_text(document["budget"])
        facts["seeds"] = (
            f"0 to {max(seeds_done(document), 1) - 1}, the same in every arm: initial weights, "
            "order, and which training images where not all are taken"
        )
    if tuned and tuned["values"]:
        chosen = ", ".join(f"{arm} {value:g}" for arm, value in tuned["values"].items())
        facts[f"chosen for each arm: {tuned['field']}"] = chosen
    if document["failures"]:
        facts["failed trainings"] = ", ".join(
            f"{one['arm']}, seed {one['seed']}" for one in document["failures"]
        )
    facts |= {
        "machine": f"{made['processor']}, {made['cores']} cores, {made['system']}",
        "versions": ", ".join(f"{name} {value}" for name, value in made["versions"].items()),
        "date": made["date"],
    }
    body = facts_html(facts) + f"<pre><code>{html_text(command_text(document))}</code></pre>"
    lead = "The test images are read once, after everything was chosen. The same seeds give the "
    return Section("method", "How it was done", lead + "same numbers on the same machine.", body)


def _rows(document: Document) -> Section:
    text = rows_csv(document)
    packed = base64.b64encode(text.encode()).decode()
    name = f"{document['study']}.csv"
    link = f'<p><a download="{name}" href="data:text/csv;base64,{packed}">Save as {name}</a></p>'
    lines = "\n".join(html_text(line, 4000) for line in text.splitlines())
    shown = details_html("Show the rows", f'<pre tabindex="0"><code>{lines}</code></pre>')
    lead = f"{len(document['rows'])} rows, one for each network: every measure of every seed."
    return Section("rows", "Every seed", lead, link + shown)
