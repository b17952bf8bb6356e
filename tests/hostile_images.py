"""Files and names meant to break a reader, made here so that none has to be stored."""

import functools
import io
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

HOSTILE_NAMES = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)",
    "[red]",
    "quote\"and'quote",
    "{{7*7}}",
    "$\\frac{",
    "[/]",
    "esc\x1b[31mape",
    "new\nline",
    "right\u202eto\u2066left",
    "=HYPERLINK(1)",
    "..",
    "...dots",
    "CON",
    "a" * 255,
    "katze-猫-γάτα",
)
"""Class names, as data in memory may have them."""

FOLDER_NAMES = tuple(name for name in HOSTILE_NAMES if name[0] != "." and "/" not in name)
"""Those that a folder can have and that are not hidden."""


def pixels(seed: int = 0, height: int = 8, width: int = 10, channels: int = 3) -> Pixels:
    """A random picture, uint8 H × W × C."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encode(array: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    """A picture, H × W × C or H × W, as the bytes of an image file."""
    squeezed = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return save(Image.fromarray(np.ascontiguousarray(squeezed)), kind, **options)


def save(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def put(path: Path, array: Pixels) -> Path:
    """Write a picture as PNG, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(array))
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(
    width: int, height: int, depth: int, colour: int, raw: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    """A PNG by its specification, for what Pillow cannot write: any depth, any chunk.

    `raw` holds the rows, each with its filter byte; `extra` chunks come before the pixels.
    """
    header = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *(chunk(kind, data) for kind, data in extra),
            chunk(b"IDAT", zlib.compress(raw)),
            chunk(b"IEND", b""),
        )
    )


def animation(frames: int) -> bytes:
    """A GIF whose first frame is red; the others are 1 × 1 copies of one raw frame."""
    red = Image.new("P", (4, 4), 1)
    red.putpalette([0, 0, 0, 255, 0, 0])
    first = save(red, "GIF")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return first.removesuffix(b";") + frame * (frames - 1) + b";"


class Payload:
    """Unpickled, it would raise; nothing may unpickle it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code ran')",))


@functools.cache
def hostile_files() -> dict[str, tuple[bytes, str]]:
    """File name → its bytes, and what the error about it says."""
    jpeg = encode(pixels(height=64, width=64), "JPEG")
    ok = encode(pixels())
    bomb_text = zlib.compress(b"\0" * (200 * 2**20), 9)  # 200 MB in a text or profile chunk
    rows = b"".join(b"\0" + row.tobytes() for row in pixels())
    kind = "not an image of an allowed kind"
    return {
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated image"),
        "half.png": (ok[: len(ok) // 2], "truncated image"),
        "zero.png": (b"", "empty file"),
        "text.png": (b"this is no image\n" * 9, kind),
        "header-only.png": (ok[:20], "truncated image"),
        "broken-header.jpg": (b"\xff\xd8\xff\xe0" + b"\0" * 40, "damaged image: its header"),
        "huge.png": (png(50_000, 50_000, 8, 2, b""), "2,500,000,000 pixels, more than the 64,"),
        "wide.png": (png(64_000_001, 1, 8, 0, b""), "64,000,001 pixels, more than the 64,000,000"),
        "no-pixels.png": (png(0, 0, 8, 2, b""), "damaged image: its header is broken or says 0"),
        "no-pixels.pgm": (b"P5 0 0 255\n", "damaged image: its header is broken or says 0"),
        "fits.png": (b"SIMPLE  =                    T".ljust(80) + b" " * 2800, kind),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", kind),
        "pickle.png": (pickle.dumps(Payload()), kind),
        "svg.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", kind),
        "icc-bomb.png": (
            png(10, 8, 8, 2, rows, (b"iCCP", b"a\0\0" + bomb_text)),
            "damaged image: Decompressed data too large",
        ),
        "text-bomb.png": (
            png(10, 8, 8, 2, rows, (b"zTXt", b"a\0\0" + bomb_text)),
            "damaged image: Decompressed data too large",
        ),
        "gif-huge.gif": (_huge_gif(), "4,294,836,225 pixels, more than the 64,000,000 allowed"),
        "one-tile.tif": (tiled_tiff(16, 16, (16384, 16384), 1), "tiles of 16384 × 16384 pixels"),
        "same-tiles.tif": (tiled_tiff(16, 256, (2**21, 16), 16), "tiles of 2097152 × 16 pixels"),
        "scans.jpg": (many_scans(), "more than 200 scans"),
        "scans-of-two.jpg": (many_scans("MPO", save_all=True), "more than 200 scans"),
        "float.tif": (
            save(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
            "pixels of the kind 'F' have no agreed 8-bit form",
        ),
        "wide-range.tif": (
            save(Image.fromarray(np.array([[0, 70_000]], np.int32)), "TIFF"),
            "32-bit pixels from 0 to 70000 have no agreed black and white",
        ),
    }


def tiled_tiff(width: int, height: int, tile: tuple[int, int], tiles: int) -> bytes:
    """A grey TIFF whose tiles are all the same few bytes, black when they are unpacked."""
    packer = zlib.compressobj(9)
    row = b"\0" * 2**20
    body = b"".join(packer.compress(row) for _ in range(tile[0] * tile[1] // 2**20 or 1))
    body += packer.flush()
    lists = 8 + len(body) + len(body) % 2
    offsets = struct.pack(f"<{tiles}L", *[8] * tiles)
    lengths = struct.pack(f"<{tiles}L", *[len(body)] * tiles)
    first, second = (lists, lists + 4 * tiles) if tiles > 1 else (8, len(body))
    entries = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
        (322, 4, 1, tile[0]), (323, 4, 1, tile[1]), (324, 4, tiles, first), (325, 4, tiles, second),
    ]  # fmt: skip
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHLL", *entry) for entry in entries) + b"\0\0\0\0"
    start = lists + 8 * tiles
    return (
        struct.pack("<2sHL", b"II", 42, start)
        + body.ljust(lists - 8, b"\0")
        + offsets
        + lengths
        + directory
    )


def many_scans(kind: str = "JPEG", **options: Any) -> bytes:
    """A progressive JPEG, or the first of two in a file (MPO), with its last scan 300 times."""
    image = Image.fromarray(pixels(height=64, width=64))
    more = {"append_images": [image]} if options else {}
    data = save(image, kind, progressive=True, **options, **more)
    end = data.index(b"\xff\xd9")
    last = data.rindex(b"\xff\xda", 0, end)
    return data[:end] + data[last:end] * 300 + data[end:]


def _huge_gif() -> bytes:
    """Its one frame, disposed to the background, would take a canvas of 4 GB."""
    screen = struct.pack("<HHBBB", 0xFFFF, 0xFFFF, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    control = b"\x21\xf9\x04\x08\0\0\0\0"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 0xFFFF, 0xFFFF, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + control + frame + b";"


@functools.cache
def odd_files() -> dict[str, bytes]:
    """File name → its bytes: unusual pictures that are read, by every door the same."""
    grey, rgb = pixels(1, 12, 9, 1)[:, :, 0], pixels(2, 12, 9)
    rgba = np.concatenate([rgb, pixels(3, 12, 9, 1)], axis=2)
    palette = Image.fromarray(rgb).quantize(16)
    turned = Image.Exif()
    turned[0x0112] = 6
    long = Image.Exif()
    long[0x9286] = b"x" * 60_000
    pages = [Image.fromarray(rgb), Image.fromarray(255 - rgb)]
    deep = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in grey)
    return {
        "grey.png": save(Image.fromarray(grey)),
        "16-bit.png": png(9, 12, 16, 0, deep),
        "16-bit.tif": save(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        "1-bit.png": save(Image.fromarray(grey > 127)),
        "alpha.png": save(Image.fromarray(rgba)),
        "grey-alpha.png": save(Image.fromarray(rgba[:, :, 2:])),
        "palette.png": save(palette, transparency=3),
        "palette.gif": save(palette, "GIF", transparency=3),
        "cmyk.jpg": save(Image.fromarray(rgb).convert("CMYK"), "JPEG"),
        "turned.jpg": save(Image.fromarray(rgb), "JPEG", exif=turned),
        "long-exif.jpg": save(Image.fromarray(rgb), "JPEG", exif=long),
        "animated.webp": save(pages[0], "WEBP", save_all=True, append_images=pages[1:]),
        "pages.tif": save(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
        "100,000-frames.gif": animation(100_000),
        "one-pixel.png": encode(pixels(4, 1, 1)),
        "thin.png": encode(pixels(5, 1, 4000)),
    }
