"""`docs/claims.md` from the committed results: every claim, its effect, its verdict, its command.

    python -m convscope.studies.claims studies/results docs/claims.md

A test renders it again and compares, so that no figure in it can differ from the results.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convscope.files import write_atomically
from convscope.studies.questions import STUDIES
from convscope.studies.results import read_results
from convscope.studies.shorthand import ABSENT
from convscope.studies.wording import (
    command_text,
    compared_text,
    effect_text,
    is_open,
    length_text,
    training_images_text,
    verdict_text,
)

TOPICS = {"pooling": "Pooling", "padding": "Padding", "lenet5": "LeNet-5", "alexnet": "AlexNet"}
BUSY = 1.5
"""Load per core above which other work shared the machine."""

Document = Mapping[str, Any]


def claims_markdown(documents: Sequence[Document]) -> str:
    """The page: a table for each topic, and how to read it."""
    claims = [claim for document in documents for claim in document["claims"]]
    counts: dict[str, int] = {}
    for claim in claims:
        counts[claim["verdict"]] = counts.get(claim["verdict"], 0) + 1
    others = sum(claim["source"].endswith(ABSENT) for claim in claims)
    short = sum(claim["seeds_needed"] is not None for claim in claims)
    unsettled = sum(any(map(is_open, claim["effects"])) for claim in claims)
    tally = ", ".join(
        f"{counts[word]} {word}"
        for word in ("supported", "depends", "not supported", "contradicted", "not measured")
        if word in counts
    )
    parts = [
        "# Claims, measured",
        "",
        f"{len(claims)} claims about pooling, padding, LeNet-5 and AlexNet, quoted from the source "
        f"document in a few words ({others} are others' or ours, and say so), each tried by an "
        f"experiment that you can run: {tally}. {_short(unsettled, short)} Where "
        "the document is wrong, [errata](errata.md) has the correction; how to run and write "
        "studies is in [studies](studies.md).",
        "",
        "An effect is the mean of paired differences (the same seeds in both arms) with its 95 % "
        "interval (Student's t), or a ratio (×); accuracies differ in points. n is the number of "
        "pairs; 'counted' means that there is nothing to sample. Intervals are over seeds, for "
        "these test images. A verdict needs p < 0.05 after Holm's correction over all comparisons "
        "of the study, so that an interval of its own may just leave out zero and yet decide "
        "nothing; that two are 'the same' needs an interval within the smallest effect that "
        "matters, which each study names. 'Depends' says on what. 'Not supported' is no "
        "refutation: it says whether an effect that matters is excluded, or more seeds are needed.",
        "",
        "This page is made from `studies/results/*.json` by `python -m convscope.studies.claims "
        "studies/results docs/claims.md`.",
        "",
    ]
    for topic, title in TOPICS.items():
        chosen = [document for document in documents if document["topic"] == topic]
        if chosen:
            parts += [f"## {title}", ""]
        for document in chosen:
            parts += _table(document)
    return "\n".join(parts).rstrip() + "\n"


def _short(unsettled: int, short: int) -> str:
    return (
        "Claims in which an undecided effect may still be what is claimed, and as large as one "
        f"that matters: {unsettled}. Underpowered claims, whose row says how many seeds would make "
        f"the interval as narrow as the smallest effect that matters: {short}."
    )


def _table(document: Document) -> list[str]:
    lines = [
        f"### {document['question']}",
        "",
        f"`{command(document)}`",
        "",
        _made(document) + _tuned(document) + _failures(document),
        "",
        "| claim | where | effect | n | published | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for claim in document["claims"]:
        effects = "<br>".join(map(_effect, claim["effects"]))
        counts = sorted({one["n"] for one in claim["effects"]})
        n = "counted" if claim["effects"][0]["exact"] else "–".join(map(str, counts))
        cells = [
            f"“{claim['quote']}”",
            claim["source"],
            effects + (f"<br>*{claim['comment']}*" if claim["comment"] else ""),
            n,
            claim["published"] or "–",
            f"**{claim['verdict']}**{verdict_text(claim).removeprefix(claim['verdict'])}",
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _effect(effect: Mapping[str, Any]) -> str:
    condition = effect["comparison"].get("condition", "")
    where = f"{condition}: " if condition else ""
    return f"{where}{effect_text(effect)} <sub>{compared_text(effect)}</sub>"


def command(document: Document) -> str:
    """What one types to get the rows again."""
    given = [DATA[one["name"]] for one in document["data"] if _given(one)]
    return command_text(document, given)


DATA = {"mnist": "MNIST", "cifar10-jpeg": "CIFAR10-JPEG"}
"""How the commands name data that are given as a path."""
SHOWN = {"mnist": "MNIST", "cifar10-jpeg": "CIFAR-10 (JPEG)"}


def _given(one: Mapping[str, Any]) -> bool:
    return one["name"] in DATA


def _made(document: Document) -> str:
    made, budget = document["made"], document["budget"]
    data = "; ".join(
        SHOWN.get(one["name"], one["name"])
        + (
            f", {training_images_text(one)} training and {one['test']:,} test images"
            if document["trained"]
            else ""
        )
        for one in document["data"]
    )
    facts = [data]
    if document["trained"]:
        facts.append(length_text(budget))
    if not document["rows"]:
        return ". ".join(facts) + ". **Not run yet.**"
    if document["trained"] or document["timing"]:
        facts.append(f"{made['job_seconds']:.0f} s of one core")
    facts.append(f"{made['processor']}, {made['cores']} cores, torch {made['versions']['torch']}")
    facts.append(made["date"])
    busy = document["timing"] and (made["load"] or 0) > BUSY * made["cores"]
    if busy:
        facts.append("timed while other work shared the machine")
    return ". ".join(facts) + "."


_BEST = {"validation_accuracy": "validation accuracy", "train_accuracy": "training accuracy"}


def _tuned(document: Document) -> str:
    """What was chosen for each arm, and where the best may lie beyond what was tried."""
    found, study = document["tuned"], STUDIES[document["study"]]
    if not found or study.tune is None:
        return ""
    least, most = min(study.tune.values), max(study.tune.values)
    ends = any(value in (least, most) for value in found["values"].values())
    values = ", ".join(
        f"{arm} {value:g}{'*' if value in (least, most) else ''}"
        for arm, value in found["values"].items()
    )
    return (
        f" Each arm has the `{found['field']}`, of those tried from {least:g} to {most:g}, with "
        f"the best {_BEST[study.tune.by]}: {values}."
        + " (* an end of what was tried: a better one may lie beyond.)"
        * ends
    )


def _failures(document: Document) -> str:
    failed = ", ".join(f"{one['arm']} (seed {one['seed']})" for one in document["failures"])
    return f" Trainings that failed and are left out: {failed}." if failed else ""


def read_all(directory: Path) -> list[dict[str, Any]]:
    """The results of every study that has some, in the order of the questions."""
    paths = [directory / f"{name}.json" for name in STUDIES]
    return [read_results(path) for path in paths if path.exists()]


def main(arguments: Sequence[str]) -> None:
    """Render the page: the directory of the results, and the file to write."""
    results, page = map(Path, arguments)
    write_atomically(page, claims_markdown(read_all(results)).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
