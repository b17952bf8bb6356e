"""A contact sheet: a row of pictures for each class, on white."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from convscope.text import printable

PREVIEWS = 10  # pictures a class
MAX_ROWS = 100

_CELL, _GAP, _LABEL = 64, 8, 176  # pixels
_INK, _FAINT = (32, 33, 36), (117, 121, 128)

Pixels = npt.NDArray[np.uint8]


def thumbnail(pixels: Pixels) -> Pixels:
    """uint8 H × W × C, made to fit 64 × 64 with its aspect ratio kept.

    Larger pictures shrink smoothly; smaller ones grow by a whole factor, each pixel a square.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= _CELL:
        factor = _CELL // longest
        return pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    size = max(1, round(width * _CELL / longest)), max(1, round(height * _CELL / longest))
    picture = Image.fromarray(
        np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    )
    return np.atleast_3d(np.asarray(picture.resize(size, Image.Resampling.BILINEAR)))


def sheet(rows: Mapping[str, Sequence[Pixels]], counts: Mapping[str, int]) -> Image.Image:
    """An RGB picture: for each class its name and number of images, and its thumbnails.

    Args:
        rows: class → thumbnails, at most 10 are shown; of more than 100 classes the first 100.
        counts: class → number of images, written below its name.
    """
    shown = list(rows)[:MAX_ROWS]
    pitch = _CELL + _GAP
    width = 2 * _GAP + _LABEL + PREVIEWS * pitch
    height = 2 * _GAP + len(shown) * pitch + (pitch // 2 if len(rows) > len(shown) else 0)
    picture = Image.new("RGB", (width, max(height, pitch)), "white")
    draw = ImageDraw.Draw(picture)
    name_font, count_font = _font(14), _font(11)
    for row, name in enumerate(shown):
        top = _GAP + row * pitch
        label = _shortened(printable(name), name_font, _LABEL - _GAP)
        draw.text((_GAP, top + 15), label, fill=_INK, font=name_font)
        draw.text((_GAP, top + 35), f"{counts.get(name, 0):,}", fill=_FAINT, font=count_font)
        for column, pixels in enumerate(rows[name][:PREVIEWS]):
            left = _GAP + _LABEL + column * pitch
            _place(picture, pixels, left, top)
    if len(rows) > len(shown):
        text = f"… and {len(rows) - len(shown):,} more classes"
        draw.text((_GAP, _GAP + len(shown) * pitch), text, fill=_FAINT, font=name_font)
    return picture


def _place(picture: Image.Image, pixels: Pixels, left: int, top: int) -> None:
    colour = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    offset = (_CELL - colour.width) // 2, (_CELL - colour.height) // 2
    picture.paste(colour, (left + offset[0], top + offset[1]))
    frame = (left - 1, top - 1, left + _CELL, top + _CELL)
    ImageDraw.Draw(picture).rectangle(frame, outline=(222, 225, 230))


def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # for the font it carries: Latin, Greek, Cyrillic and more

    file = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(str(file), size, layout_engine=ImageFont.Layout.BASIC)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
