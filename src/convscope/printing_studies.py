"""The studies and their results as text for people."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscope.studies.results import seeds_done
from convscope.studies.wording import compared_text, effect_text, verdict_text
from convscope.text import printable

if TYPE_CHECKING:
    from convscope.studies.study import Study

WIDTH = 96


def print_studies(studies: Mapping[str, "Study"]) -> None:
    """The questions, by topic."""
    topic = ""
    for study in studies.values():
        if study.topic != topic:
            topic = study.topic
            print(f"\n{topic}")
        arms = f"{len(study.arms)} arms" if len(study.arms) > 1 else "1 network"
        print(f"  {study.name:<22} {study.question}  ({arms}, {len(study.claims)} claims)")
    print("\nconvscope study NAME --report runs one; `all` runs all.")


def print_study(document: Mapping[str, Any], path: Path, page: Path | None) -> None:
    """The verdict on each claim, with its effects."""
    data = " and ".join(printable(one["name"]) for one in document["data"])
    how = (
        "counted, not sampled"
        if not document["trained"] and not document["timing"]
        else f"{seeds_done(document)} of {document['seeds']} seeds, "
        f"{document['budget']['name']} budget"
    )
    print(f"\n{printable(document['question'])}")
    print(f"{document['study']}: {data}; {how}")
    for failure in document["failures"]:
        print(f"  failed: {printable(failure['arm'])}, seed {failure['seed']}")
    for claim in document["claims"]:
        print(f"\n  “{printable(claim['quote'])}”")
        for line in textwrap.wrap(printable(verdict_text(claim), 400), WIDTH - 4):
            print(f"    {line.upper() if line == claim['verdict'] else line}")
        for effect in claim["effects"]:
            condition = effect["comparison"].get("condition", "")
            where = f"{printable(condition)}: " if condition else ""
            print(f"    {where}{effect_text(effect)}   [{printable(compared_text(effect))}]")
        if claim["published"]:
            published = f"published: {printable(claim['published'], 400)}"
            print(textwrap.indent(textwrap.fill(published, 90), "    "))
    print(f"\nresults  {printable(path)}")
    print(f"rows     {printable(path.with_suffix('.csv'))}")
    if page is not None:
        print(f"page     {printable(page)}")
