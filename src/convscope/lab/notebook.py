"""The lab inside a notebook: `convscope.show(run, image)`."""

import html
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from convscope.data.images import decode
from convscope.data.preprocess import resize
from convscope.errors import InputError
from convscope.run import Run, open_run
from convscope.text import printable

LEAST_HEIGHT = 200


@dataclass(frozen=True)
class Shown:
    """A page that a notebook displays by itself.

    Attributes:
        page: the whole of it, HTML; it needs no server, and no network.
        height: of the frame around it, in pixels.
    """

    page: str
    height: int

    def _repr_html_(self) -> str:
        frame = f"width:100%;height:{self.height}px;border:0"
        return f'<iframe srcdoc="{html.escape(self.page)}" style="{frame}"></iframe>'


def show(
    run: str | Path | Run,
    image: str | Path | npt.NDArray[np.uint8] | None = None,
    *,
    height: int = 900,
) -> Shown:
    """The lab's views of a small run, inline in a notebook; it computes in the browser.

    Args:
        run: a run directory. Networks of up to a million parameters, as in a snapshot.
        image: shown first: a picture file, or uint8 pixels, H × W (grey) or H × W × 3.
        height: of the frame, in pixels, 200 or more.

    Returns:
        What a notebook displays as the last value of a cell.

    Raises:
        InputError: no such run or picture, or a network that the page cannot compute.
    """
    if importlib.util.find_spec("anyio") is None:
        raise InputError("show needs the lab: pip install 'convscope[lab]'")
    if not isinstance(height, int) or height < LEAST_HEIGHT:
        raise InputError(f"height is {printable(height)}; allowed: {LEAST_HEIGHT} pixels or more")
    from convscope.lab.snapshot import snapshot

    run = open_run(run)
    pixels = None if image is None else resize(_pixels(image), run.document.preprocessing)
    return Shown(snapshot(run.path, pixels).decode("utf-8"), height)


def _pixels(image: str | Path | npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """uint8 H × W × C."""
    if isinstance(image, str | Path):
        try:
            return decode(Path(image))
        except InputError as error:
            raise InputError(f"{printable(image)}: {error}") from None
    found = np.atleast_3d(np.asarray(image))
    if found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] not in (1, 3):
        raise InputError(
            f"the image is {found.dtype} {found.shape}; allowed: a file, or uint8 pixels, "
            "H × W or H × W × 3"
        )
    return found
