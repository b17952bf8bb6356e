"""Decode image files that may be anything at all into documented pixels.

Every reader and `predict` go through `decode`, so an image has the same pixels everywhere:

- 8-bit grey stays grey (one channel), 8-bit RGB stays RGB;
- 1-bit: 0 and 255, grey;
- 16-bit, grey or colour: the high byte (value >> 8); 12-bit TIFF: its high 8 bits (value >> 4);
- palette: the colours it stands for, RGB;
- alpha, and a colour declared transparent: composited on white;
- CMYK and YCbCr: RGB by Pillow's formula; colour profiles (ICC) are not applied;
- EXIF orientation: applied, so a picture stands as its viewer shows it;
- animations and multi-page files: the first frame only.

32-bit and floating-point pixels have no agreed black and white and are refused.
"""

import contextlib
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.TiffImagePlugin  # these two imports register decoders that Pillow loads late
import PIL.WebPImagePlugin  # noqa: F401
from PIL import Image, ImageFile, UnidentifiedImageError

from convscope.errors import InputError
from convscope.text import printable

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's decoders that may be used; an allow-list."""

SUFFIXES = frozenset({".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".png"}) | {
    *(".pbm", ".pgm", ".pnm", ".ppm", ".tif", ".tiff", ".webp")
}
"""Endings, in lower case, of the files taken for images."""

MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 2**20
_STRIP = 2**20  # pixels
MAX_SCANS = 200
"""Of a JPEG file; a progressive one has about ten."""

_SIGNATURES = (
    *(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*"),
    *(f"P{kind}".encode() for kind in range(1, 7)),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 0x0112, 258, 262, 0
_TILE_SIZE = (322, 323)  # width, height


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded image: uint8 H × W × C (C 1 or 3), and the format and mode its file had."""

    pixels: npt.NDArray[np.uint8]
    format: str
    mode: str


def decode(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """The pixels of an image, uint8 H × W × C, C 1 (grey) or 3 (RGB), as documented above.

    Args:
        source: a regular file, or the bytes of one; at most 256 MB.
        max_pixels: height × width at most; checked before anything is decoded. At most
            64,000,000.

    Raises:
        InputError: what is wrong with the file, in plain words.
    """
    return read_picture(source, max_pixels=max_pixels).pixels


def read_picture(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """As `decode`, with the file's format and mode."""
    image, kind, mode = _open(source, max_pixels)
    return Picture(np.atleast_3d(np.asarray(image)), kind, mode)


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """As `decode`, the same pixels as a Pillow image of mode L or RGB."""
    return _open(source, max_pixels)[0]


def _open(source: Path | bytes, max_pixels: int) -> tuple[Image.Image, str, str]:
    """The image in mode L or RGB, the format and the mode of its file."""
    data = source if isinstance(source, bytes) else read_file(source)
    if not data:
        raise InputError("empty file (0 bytes)")
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(MAX_BYTES)
    with pillow_guard():
        try:
            return _read(data, min(max_pixels, MAX_PIXELS))
        except (InputError, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            count = re.search(r"\((\d+) pixels\)", str(error))
            raise _too_many_pixels(int(count[1]) if count else None, MAX_PIXELS) from error
        except UnidentifiedImageError as error:
            if data.startswith(_SIGNATURES):
                raise InputError("damaged image: its header is broken or says 0 pixels") from error
            raise InputError(f"not an image of an allowed kind ({', '.join(FORMATS)})") from error
        except Exception as error:  # what a decoder raises on hostile bytes knows no limits
            if isinstance(error, EOFError) or "truncated" in str(error).lower():
                raise InputError("truncated image: the end of the file is missing") from error
            reason = printable(error) or type(error).__name__
            raise InputError(f"damaged image: {reason}") from error


def read_file(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a regular file; never waits on a pipe, never reads a device.

    Raises:
        InputError: it is missing, unreadable, no regular file, or larger than `max_bytes`.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)  # a pipe without a writer does not block this open
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot be opened: {reason}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError("not a regular file")
        if status.st_size > max_bytes:
            raise _too_many_bytes(max_bytes)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > max_bytes:
        raise _too_many_bytes(max_bytes)
    return data


def _too_many_bytes(limit: int) -> InputError:
    return InputError(f"more than {limit // 2**20} MB: make the image smaller")


def _too_many_pixels(count: int | None, limit: int) -> InputError:
    found = f"{count:,} pixels, " if count else "its pixels are "
    return InputError(f"{found}more than the {limit:,} allowed: make the image smaller")


_guard_lock = threading.Lock()
_guard_stack: list[contextlib.ExitStack] = []
_guard_users = 0


@contextlib.contextmanager
def pillow_guard() -> Iterator[None]:
    """Pillow as `decode` needs it, as it was before when the last user leaves.

    Pillow's settings and Python's warning filters belong to the whole process, and entering
    `warnings.catch_warnings` from several threads at once would leave one thread's filters
    behind for good. So the first user changes them and the last one restores them: inside,
    images over the pixel cap raise as soon as their header is read (before a canvas is
    allocated), truncated files raise, and Pillow's warnings stay silent.
    """
    global _guard_users
    with _guard_lock:
        if _guard_users == 0:
            _guard_stack.append(_changed_settings())
        _guard_users += 1
    try:
        yield
    finally:
        with _guard_lock:
            _guard_users -= 1
            if _guard_users == 0:
                _guard_stack.pop().close()


def _changed_settings() -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    stack.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\.|convscope\.data\.images")
    stack.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    stack.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow raises above twice this number
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return stack


def _read(data: bytes, max_pixels: int) -> tuple[Image.Image, str, str]:
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise _too_many_pixels(width * height, max_pixels)
        mode, tags = image.mode, getattr(image, "tag_v2", {})
        _check_work(image, data, tags, max_pixels)
        needed = {tag: tags.get(tag) for tag in (_BITS_PER_SAMPLE, _PHOTOMETRIC)}
        image.load()
        kind, turned = image.format or "", _upright(image)
        if turned.mode in ("L", "RGB") and "transparency" not in turned.info:
            return turned, kind, mode
        pixels = np.ascontiguousarray(_pixels(turned, needed), dtype=np.uint8)
        return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), kind, mode


def _check_work(
    image: Image.Image, data: bytes, tags: Mapping[int, object], max_pixels: int
) -> None:
    """A few bytes may ask for the work of many images of this size: raise InputError.

    A TIFF's tiles are decoded whole, however little of them lies in the image, and all of them
    may be the same bytes. A progressive JPEG goes over all pixels again with each scan.
    """
    tile = [tags.get(tag) for tag in _TILE_SIZE]
    pixels = 1
    for length, part in zip(image.size, tile, strict=True):
        pixels *= -(-length // part) * part if isinstance(part, int) and part > 0 else length
    if pixels > 2 * max_pixels:
        raise InputError(
            f"tiles of {tile[0]} × {tile[1]} pixels for {image.width} × {image.height}: save it "
            "without tiles"
        )
    is_jpeg = image.format in ("JPEG", "MPO")
    if is_jpeg and data.count(b"\xff\xda") > MAX_SCANS and _scans(data) > MAX_SCANS:
        raise InputError(f"more than {MAX_SCANS} scans: save it as a baseline JPEG")


def _scans(data: bytes) -> int:
    """Of a JPEG file's first image; behind its end may be another one, or a film."""
    count, at = 0, data.find(b"\xff")
    while 0 <= at < len(data) - 3:
        marker = data[at + 1]
        if marker == 0xD9:  # the end
            break
        count += marker == 0xDA
        alone = marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8  # without a length
        length = 0 if alone else int.from_bytes(data[at + 2 : at + 4])
        at = data.find(b"\xff", at + (1 if marker == 0xFF else 2) + length)
    return count


def _upright(image: Image.Image) -> Image.Image:
    if image.format == "JPEG" and not image.info.keys() & {"exif", "xmp"}:
        return image  # has no metadata; asking takes a tenth of the time of a small picture
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # broken metadata says nothing about the picture
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _pixels(image: Image.Image, tags: dict[int, object]) -> npt.NDArray[np.uint8]:
    """uint8 H × W × C from any mode a decoder of the allow-list gives."""
    mode = image.mode
    if mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif mode in ("PA", "RGBa"):
        image = image.convert("RGBA")
    elif mode == "La":
        image = image.convert("LA")
    elif mode in ("CMYK", "YCbCr", "RGBX"):
        image = image.convert("RGB")
    elif mode == "1":
        image = _keep_transparency(image, image.convert("L"))
    if image.mode in ("LA", "RGBA"):
        return _on_white(np.asarray(image))
    if image.mode in ("L", "RGB"):
        values = np.atleast_3d(np.asarray(image))
        return _without_transparent(values, values, image)
    if mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        values = np.asarray(image).astype(np.int64)[:, :, None]
        return _without_transparent(_high_byte(values, tags), values, image)
    raise InputError(
        f"pixels of the kind '{printable(mode)}' have no agreed 8-bit form: save it as an 8-bit PNG"
    )


def _keep_transparency(before: Image.Image, after: Image.Image) -> Image.Image:
    if "transparency" in before.info:
        after.info["transparency"] = before.info["transparency"]
    return after


def _high_byte(values: npt.NDArray[np.int64], tags: dict[int, object]) -> npt.NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 0xFFFF:
        raise InputError(
            f"32-bit pixels from {values.min()} to {values.max()} have no agreed black and white: "
            "save it as an 8-bit or 16-bit PNG"
        )
    bits = 12 if tags.get(_BITS_PER_SAMPLE) == (12,) else 16
    high = (values >> (bits - 8)).astype(np.uint8)
    # Pillow inverts 8-bit TIFFs that store white as zero, and leaves 16-bit ones as they are.
    return 255 - high if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else high


def _on_white(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """alpha × colour + (255 − alpha) × white, over 255, rounded to the nearest.

    A strip at a time: whole, a large picture would need a gigabyte in between.
    """
    height, width, channels = values.shape
    result = np.empty((height, width, channels - 1), dtype=np.uint8)
    rows = max(1, _STRIP // width)
    for start in range(0, height, rows):
        strip = values[start : start + rows]
        colour, alpha = strip[:, :, :-1].astype(np.uint16), strip[:, :, -1:].astype(np.uint16)
        mixed = colour * alpha + 255 * (255 - alpha)  # at most 255 · 255: fits in 16 bits
        result[start : start + rows] = (mixed + 127) // 255
    return result


def _without_transparent(
    pixels: npt.NDArray[np.uint8], values: npt.NDArray[np.generic], image: Image.Image
) -> npt.NDArray[np.uint8]:
    """`pixels`, white where `values` equal the colour that the file declares transparent."""
    declared = image.info.get("transparency")
    if declared is None or isinstance(declared, bytes):
        return pixels
    colour = np.atleast_1d(np.asarray(declared, dtype=np.int64))
    if values.dtype == np.uint8 and colour.max() > 255:
        colour = colour >> 8  # 16-bit RGB, of which the decoder kept the high byte
    white = (values == colour).all(axis=2, keepdims=True)
    return np.where(white, np.uint8(255), pixels)
