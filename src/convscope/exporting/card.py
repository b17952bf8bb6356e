"""The model card: a README for whoever gets the file and knows nothing of it.

After Mitchell et al. 2019, "Model Cards for Model Reporting": what it is, what it was trained on,
how good it is and where it fails, how to use it.
"""

from collections.abc import Iterator, Sequence

from convscope.evaluation.results import Evaluation
from convscope.onnx_file.document import PIXELS, Accuracy, OnnxDocument
from convscope.text import markdown_text, printable

MARK = "<!-- Written by convscope export. -->"
"""The first line of a card: such a file may be replaced."""

_SHOWN_CLASSES = 100


def render_card(
    document: OnnxDocument, file: str, size: int, results: Evaluation | None, difference: float
) -> str:
    """The card as Markdown.

    Args:
        document: what the file says of itself.
        file: its name. size: in bytes.
        results: of the run, where it was evaluated: classes and confusions.
        difference: the largest between the file's scores and torch's, over the largest score.
    """
    parts = [
        MARK,
        f"# {markdown_text(document.data.get('name', 'data'))}: {markdown_text(document.model)}",
        _what(document, file, size),
        "## Use it\n\n" + _use(document, file),
        "## How good it is\n\n" + "\n\n".join(_quality(document, results, difference)),
        "## What it cannot do\n\n" + _limits(document),
        "## How it was trained\n\n" + "\n".join(_training(document)),
        "## Licence\n\n" + _licence(document),
    ]
    return "\n\n".join(parts) + "\n"


def _what(document: OnnxDocument, file: str, size: int) -> str:
    channels, height, width = document.input_shape
    colours = "grey" if document.preprocessing.channels == 1 else "RGB"
    names = ", ".join(markdown_text(name, 60) for name in document.classes[:_SHOWN_CLASSES])
    more = len(document.classes) - _SHOWN_CLASSES
    taken = (
        f"`pixels`, uint8, N × {channels} × {height} × {width}: {colours} pictures of "
        f"{height} × {width} pixels (rows × columns), 0 black to 255; all other preprocessing is "
        "inside"
        if document.input == PIXELS
        else f"`input`, float32, N × {channels} × {height} × {width}: pictures normalised as the "
        "metadata say under `preprocessing`"
    )
    return (
        f"An image classifier, trained and exported by convscope "
        f"{markdown_text(document.convscope)} on {markdown_text(document.created)}.\n\n"
        f"- File: `{printable(file).replace('`', '')}`, {size:,} bytes, ONNX, "
        f"{'8-bit whole numbers' if document.precision == 'int8' else 'float32'}\n"
        f"- Takes: {taken}\n"
        f"- Gives: `probabilities` and `scores`, float32, N × {len(document.classes)}, in this "
        f"order: {names}{f' and {more:,} more' if more > 0 else ''}"
    )


def _use(document: OnnxDocument, file: str) -> str:
    name = printable(file).replace("`", "")
    return (
        "With ONNX Runtime, NumPy and Pillow alone:\n\n"
        f"```python\n{bare_program(document, name)}```\n\n"
        "With convscope, which reads every kind of picture as in training (16 bits, transparency, "
        "turned photos) and knows the classes:\n\n"
        f"```\npip install 'convscope[onnx]'\nconvscope predict {name} picture.png\n```\n"
    )


def bare_program(document: OnnxDocument, file: str) -> str:
    """Python that classifies `picture.png` without convscope."""
    p = document.preprocessing
    mode = "L" if p.channels == 1 else "RGB"
    height, width = p.size
    fitted = (
        f"ImageOps.fit(picture, ({width}, {height}), 2)"
        if p.aspect == "cover"
        else f"picture.resize(({width}, {height}), 2)"
    )
    order = "[None, None]" if p.channels == 1 else ".transpose(2, 0, 1)[None]"
    lines = [
        "import numpy as np, onnxruntime",
        f"from PIL import Image{', ImageOps' if p.aspect == 'cover' else ''}",
        "",
        f'picture = Image.open("picture.png").convert("{mode}")',
        f"pixels = np.asarray({fitted}){order}",
    ]
    if document.input == PIXELS:
        given = "pixels"
    else:
        top, left = ((a - b) // 2 for a, b in zip(p.size, p.crop or p.size, strict=True))
        seen = p.crop or p.size
        if p.crop:
            lines.append(f"pixels = pixels[:, :, {top}:{top + seen[0]}, {left}:{left + seen[1]}]")
        if p.resize:
            rows, columns = p.resize
            lines.append(
                "pixels = np.array([[Image.fromarray(maps.astype(np.float32))"
                f".resize(({columns}, {rows}), 2) for maps in pixels[0]]])"
            )
        borders = (p.padding[2:], p.padding[:2])
        if any(p.padding):
            sides = f"((0, 0), (0, 0), {borders[0]}, {borders[1]})"
            lines.append(f"pixels = np.pad(pixels, {sides}, constant_values={p.fill})")
        shape = f"np.array({{}}, np.float32).reshape(1, {p.channels}, 1, 1)"
        mean, std = (shape.format(list(values)) for values in (p.mean, p.std))
        lines.append(f"numbers = ((pixels / np.float32(255) - {mean}) / {std})")
        given = "numbers"
    lines.append(f'session = onnxruntime.InferenceSession("{file}")')
    lines.append(f'print(session.run(["probabilities"], {{"{document.input}": {given}}})[0])')
    return "\n".join(lines) + "\n"


def _quality(
    document: OnnxDocument, results: Evaluation | None, difference: float
) -> Iterator[str]:
    if document.accuracy is None:
        yield "It was not evaluated."
    else:
        yield f"Accuracy {_share(document.accuracy)}."
    if document.float_accuracy is not None:
        chance = "" if document.p_value is None else f" (McNemar's p = {document.p_value:.2g})"
        yield f"The same network in float32: {_share(document.float_accuracy)}{chance}."
    subject = "The float32 file it was made of" if document.precision == "int8" else "The file"
    yield (
        f"{subject} was compared with the trained network in PyTorch on made-up pictures: their "
        f"scores differ by at most {difference:.1g} of the largest."
    )
    if results is not None and results.classes == document.classes:
        weakest = sorted(results.per_class, key=lambda s: 1.0 if s.recall is None else s.recall)
        rows = [
            (markdown_text(s.name, 60), f"{s.support:,}", _percent(s.precision), _percent(s.recall))
            for s in weakest[:10]
        ]
        yield "The classes it finds least often:\n\n" + _table(
            ("class", "images", "precision", "recall"), rows
        )
        if results.confused_pairs:
            pairs = "\n".join(
                f"- {markdown_text(pair.true, 60)} taken for {markdown_text(pair.predicted, 60)}: "
                f"{pair.rate:.1%} of its images"
                for pair in results.confused_pairs[:5]
            )
            yield f"What it confuses most often:\n\n{pairs}"
        yield (
            f"When it says 90 %, is it right in 90 of 100? Its probabilities are off by "
            f"{results.calibration.ece:.1%} on average (expected calibration error)."
        )


def _limits(document: OnnxDocument) -> str:
    return (
        f"It always answers with one of its {len(document.classes)} classes, whatever the picture "
        "shows. Its accuracy holds for pictures of the kind it was trained and tested on; other "
        "cameras, backgrounds or framing can make it worse without a warning in the "
        "probabilities. Test it on your own pictures before you rely on it, and do not let it "
        "alone decide about people."
    )


def _training(document: OnnxDocument) -> Iterator[str]:
    data, recipe = document.data, document.recipe
    sizes = data.get("sizes", {})
    counts = ", ".join(f"{count:,} to {markdown_text(name)}" for name, count in sizes.items())
    yield f"- Data: {markdown_text(data.get('name', 'unknown'))}{f' ({counts})' if counts else ''}"
    for key in ("source", "licence", "citation", "sha256"):
        if key in data:
            yield f"- Data, {key}: {markdown_text(data[key], 500)}"
    for key in ("name", "epochs", "batch_size", "optimizer", "schedule", "augmentation", "seed"):
        if key in recipe:
            label = "recipe" if key == "name" else key.replace("_", " ")
            yield f"- {label.capitalize()}: {markdown_text(_short(recipe[key]), 500)}"
    yield "- The whole recipe stands in the file's metadata, under `convscope`"


def _short(value: object) -> str:
    """A setting as text; of a table of settings those that do something."""
    if isinstance(value, dict):
        return ", ".join(
            f"{key} {one}" for key, one in value.items() if one not in (0, 0.0, [], "")
        )
    return str(value)


def _licence(document: OnnxDocument) -> str:
    of_data = document.data.get("licence")
    said = markdown_text(document.licence, 500) or (
        "Not stated for the weights: ask whoever trained them."
    )
    return said + (f"\n\nThe data: {markdown_text(of_data, 500)}." if of_data else "")


def _share(accuracy: Accuracy) -> str:
    low, high = accuracy.interval
    return (
        f"{accuracy.accuracy:.2%} on {accuracy.n:,} {markdown_text(accuracy.split)} images of "
        f"{markdown_text(accuracy.dataset)} (95 % interval {low:.2%} to {high:.2%})"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines)
