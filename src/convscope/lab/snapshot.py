"""A run's page as one file that needs no server: `convscope lab RUN --snapshot page.html`.

The page's own modules go into the file, with `offline/api.js` in place of `api.js`: it has the
network's weights and computes in the browser what the server would answer. An import map names
each module's text, so that nothing is bundled and nothing is fetched.
"""

import base64
import json
import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convscope.data.dataset import Dataset
from convscope.data.preprocess import Preprocessing, constants
from convscope.errors import InputError
from convscope.explain.receptive import field_of
from convscope.explain.tracing import Step
from convscope.files import write_atomically
from convscope.lab import images
from convscope.lab.images import Pixels
from convscope.lab.operations import Weights, operation
from convscope.lab.samples import choose, load_images
from convscope.lab.service import Lab
from convscope.lab.session import Session
from convscope.text import printable
from convscope.web.answers import Refusal, json_bytes

STATIC = Path(__file__).parent / "static"
ENTRY, SERVED, LOCAL = "js/offline/main.js", "js/api.js", "js/offline/api.js"
MOST_PARAMETERS = 1_000_000
PICTURES = 40
_IMPORT = re.compile(r"((?:from|^import)\s+)'(\.{1,2}/[^']+)'", re.MULTILINE)
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src blob:"
)


def write_snapshot(run: Path | None, path: Path) -> int:
    """Write the page of a run as one HTML file, all or nothing; its size in bytes.

    Args:
        run: a run directory; None is the one that the lab would open.
        path: the file to write. An existing one is replaced.

    Raises:
        InputError: no such run; a network that is too large, or has a layer that the page cannot
            compute.
    """
    page = snapshot(run)
    write_atomically(path, page)
    return len(page)


def snapshot(run: Path | None, image: Pixels | None = None) -> bytes:
    """The page of a run as HTML, as `write_snapshot` writes it.

    Args:
        run: a run directory; None is the one that the lab would open.
        image: uint8 C × H × W of the preprocessing's size, to be shown first.
    """
    lab = Lab(run)
    current = lab.runs.current()
    if current is None:
        raise InputError("there is no run to take a snapshot of: train one, or name one")
    session = lab.session(current)
    return _html(_content(lab.describe(current), session, image))


def _content(info: dict[str, Any], session: Session, image: Pixels | None) -> dict[str, Any]:
    """What `offline/api.js` finds in the page."""
    steps, how = session.blank, session.run.document.preprocessing
    _check(info, how)
    weights = Weights()
    layers = [
        {
            "name": step.name,
            "kind": step.kind,
            "shape": list(step.output.shape),
            "input_shape": list(step.input.shape),
            "operation": operation(steps, index, weights),
        }
        for index, step in enumerate(steps)
    ]
    samples = _samples(session)
    if image is not None:
        samples = [_picture("given", 0, image, "your picture", None), *samples]
    scale, shift = constants(how)
    return {
        "info": info | {"has_data": bool(samples), "epoch": None, "epochs": []},
        "layers": layers,
        "fields": {step.name: _fields(steps, step) for step in steps},
        "weights": _base64(weights.to_bytes()),
        "preprocessing": {
            "channels": how.channels,
            "size": list(how.size),
            "padding": list(how.padding),
            "fill": how.fill,
            "scale": scale.tolist(),
            "shift": shift.tolist(),
        },
        "samples": samples,
    }


def _check(info: Mapping[str, Any], how: Preprocessing) -> None:
    parameters = sum(layer["parameters"] for layer in info["layers"])
    if parameters > MOST_PARAMETERS:
        raise InputError(
            f"{info['model']['name']} has {parameters:,} parameters; a snapshot takes "
            f"{MOST_PARAMETERS:,} at most, as the browser computes it: open it with `convscope lab`"
        )
    if how.crop or how.resize or how.aspect != "stretch":
        raise InputError(
            "a snapshot takes pictures that are stretched to the network's input; this run crops "
            "or resizes them in the batch: open it with `convscope lab`"
        )


def _fields(steps: list[Step], step: Step) -> dict[str, list[list[int]]] | None:
    """[first pixel, length] for each row and each column of a layer's maps."""
    rows, columns = step.output.shape[1:] if step.output.ndim == 3 else (1, 1)
    try:
        down = [field_of(steps, step.name, row, 0) for row in range(rows)]
        across = [field_of(steps, step.name, 0, column) for column in range(columns)]
    except InputError:  # a network that branches
        return None
    return {
        "rows": [[field.top, field.height] for field in down],
        "columns": [[field.left, field.width] for field in across],
    }


def _samples(session: Session) -> list[dict[str, Any]]:
    """Some pictures of the run's test set, where it is on this machine."""
    try:
        found = load_images(session.run, lambda _done, _total: None)
    except Refusal:
        return []
    split, dataset = next(iter(found.items()))
    return [_sample(split, dataset, index, session.classes) for index in choose(dataset, PICTURES)]


def _sample(split: str, dataset: Dataset, index: int, classes: tuple[str, ...]) -> dict[str, Any]:
    label = int(dataset.labels[index])
    return _picture(split, index, dataset.images[index], classes[label], label)


def _picture(
    split: str, index: int, pixels: Pixels, name: str, label: int | None
) -> dict[str, Any]:
    return {
        "split": split,
        "index": index,
        "class": name,
        "class_index": label,
        "pixels": _base64(pixels.tobytes()),
        "png": _base64(images.png(pixels)),
    }


def _html(content: Mapping[str, Any]) -> bytes:
    page = (STATIC / "index.html").read_text("utf-8")
    body = page[page.index("<body>") : page.index("</html>")]
    styles = re.findall(r'href="/static/(css/[\w-]+\.css)"', page)
    title = f"{printable(content['info']['name'], 80)} · convscope"
    imports = {
        name: f"data:text/javascript;base64,{_base64(text.encode())}"
        for name, text in modules().items()
    }
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_escaped(title)}</title>",
        *(f"<style>{(STATIC / style).read_text('utf-8')}</style>" for style in styles),
        f'<script type="importmap">{json.dumps({"imports": imports})}</script>',
        f'<script type="application/json" id="snapshot">{_inert(content)}</script>',
        f'<script type="module">import "{ENTRY}";</script>',
        "</head>",
    ]
    return "\n".join([*head, body, "</html>\n"]).encode("utf-8")


def modules() -> dict[str, str]:
    """The texts of all modules that the page needs, by name, importing each other by name."""
    found: dict[str, str] = {}
    waiting = [ENTRY]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        folder = posixpath.dirname(name)
        needed: list[str] = []

        def named(match: re.Match[str], folder: str = folder, needed: list[str] = needed) -> str:
            target = posixpath.normpath(posixpath.join(folder, match[2]))
            target = LOCAL if target == SERVED else target
            needed.append(target)
            return f"{match[1]}'{target}'"

        found[name] = _IMPORT.sub(named, (STATIC / name).read_text("utf-8"))
        waiting += needed
    return found


def _inert(content: Mapping[str, Any]) -> str:
    """JSON in which nothing can end the element that holds it."""
    return json_bytes(content).decode("ascii").replace("<", "\\u003c")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
