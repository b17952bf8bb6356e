"""What of a run is told to whoever gets its network: how it was trained, on what; no paths."""

from typing import Any

from convscope.run import RunDocument

_KEPT = ("format", "licence", "citation", "sha256")
_LONGEST = 2000


def about_data(document: RunDocument) -> dict[str, Any]:
    """Name and sizes of the data, and of their provenance what is no path."""
    provenance = document.data.provenance
    facts: dict[str, Any] = {"name": document.data.name, "sizes": document.data.sizes}
    for key in _KEPT:
        value = provenance.get(key)
        if isinstance(value, str) and len(value) <= _LONGEST:
            facts[key] = value
    source = provenance.get("source")
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        facts["source"] = source[:_LONGEST]
    return facts


def about_recipe(document: RunDocument) -> dict[str, Any]:
    """The recipe; the data by their name, since the path is nobody's business."""
    return {**document.recipe, "data": document.data.name}
