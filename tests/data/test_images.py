import io
import os
import random
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from convscope.data.images import MAX_PIXELS, SUFFIXES, decode, pillow_guard, read_picture
from convscope.errors import InputError
from hostile_images import animation, chunk, encode, hostile_files, pixels, png, save


def rows(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bytes:
    """The raw data of a PNG: every row behind filter byte 0, 16-bit numbers big-endian."""
    values = array.astype(">u2") if array.dtype == np.uint16 else array
    return b"".join(b"\0" + row.tobytes() for row in values)


# -- documented pixels of every mode ---------------------------------------------------------


def test_grey_stays_one_channel_and_rgb_three() -> None:
    grey, colour = pixels(channels=1), pixels(channels=3)
    np.testing.assert_array_equal(decode(encode(grey)), grey)
    np.testing.assert_array_equal(decode(encode(colour)), colour)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_formats_keep_every_pixel(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = read_picture(encode(pixels(), kind, **options))
    np.testing.assert_array_equal(picture.pixels, pixels())
    assert (picture.format, picture.mode) == (kind, "RGB")


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    np.testing.assert_array_equal(decode(save(image))[:, :, 0], [[0, 255], [255, 0]])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_its_high_byte(kind: str) -> None:
    values = np.array([[0, 255, 256, 0x1234, 0x80FF, 0xFFFF]], np.uint16)
    data = save(Image.fromarray(values), kind)
    np.testing.assert_array_equal(decode(data)[:, :, 0], [[0, 0, 1, 0x12, 0x80, 255]])


def test_big_endian_16_bit_tiff_is_its_high_byte() -> None:
    image = Image.frombytes("I;16B", (3, 1), b"\x12\x34\x80\xff\xff\xff")
    np.testing.assert_array_equal(decode(save(image, "TIFF"))[:, :, 0], [[0x12, 0x80, 255]])


def tiff(bits: int, photometric: int, data: bytes, width: int) -> bytes:
    """A little-endian grey TIFF of one row, by the specification (TIFF 6.0, section 4)."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 1}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 279: len(data)}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<LH", 8, len(tags)) + entries + struct.pack("<L", 0) + data


def test_12_bit_tiff_is_its_high_8_bits() -> None:
    data = tiff(12, 1, bytes([0x12, 0x3F, 0xFF]), width=2)  # 0x123 and 0xfff
    np.testing.assert_array_equal(decode(data)[:, :, 0], [[0x12, 0xFF]])


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_that_stores_white_as_zero_is_inverted(bits: int) -> None:
    stored = np.array([0, 1 << (bits - 1)], f"<u{bits // 8}").tobytes()
    np.testing.assert_array_equal(decode(tiff(bits, 0, stored, width=2))[:, :, 0], [[255, 127]])


def test_16_bit_colour_is_its_high_byte() -> None:
    values = np.array([[[0x1234, 0x80FF, 0xFFFF], [0x00FF, 0x0100, 0]]], np.uint16)
    data = png(2, 1, 16, 2, rows(values.reshape(1, -1)))
    np.testing.assert_array_equal(decode(data), [[[0x12, 0x80, 255], [0, 1, 0]]])


def test_alpha_is_composited_on_white() -> None:
    """By hand: red at alpha 0, 128, 255 is white, (255, 127, 127), red."""
    red = [[[255, 0, 0, 0], [255, 0, 0, 128], [255, 0, 0, 255]]]
    result = decode(encode(np.array(red, np.uint8)))
    np.testing.assert_array_equal(result, [[[255, 255, 255], [255, 127, 127], [255, 0, 0]]])


def test_grey_alpha_stays_grey_on_white() -> None:
    image = Image.fromarray(np.array([[[0, 0], [0, 51], [100, 255]]], np.uint8), "LA")
    np.testing.assert_array_equal(decode(save(image))[:, :, 0], [[255, 204, 100]])


@given(st.integers(0, 255), st.integers(0, 255))
def test_compositing_rounds_to_the_nearest(value: int, alpha: int) -> None:
    data = encode(np.array([[[value, value, value, alpha]]], np.uint8))
    exact = (value * alpha + 255 * (255 - alpha)) / 255
    assert abs(int(decode(data)[0, 0, 0]) - exact) <= 0.5


def test_16_bit_grey_alpha_is_composited() -> None:
    values = np.array([[0x8000, 0xFFFF, 0x8000, 0]], np.uint16)
    np.testing.assert_array_equal(decode(png(2, 1, 16, 4, rows(values)))[:, :, 0], [[0x80, 255]])


def palette_image() -> Image.Image:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF"])
def test_a_palette_becomes_its_colours(kind: str) -> None:
    expected = [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    np.testing.assert_array_equal(decode(save(palette_image(), kind)), expected)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_entry_is_white(kind: str) -> None:
    expected = [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    np.testing.assert_array_equal(decode(save(palette_image(), kind, transparency=1)), expected)


def test_a_palette_with_alpha_is_composited() -> None:
    data = save(palette_image(), transparency=bytes([255, 51, 0]))
    np.testing.assert_array_equal(decode(data), [[[255, 0, 0], [204, 255, 204], [255] * 3]])


def test_the_declared_transparent_colour_is_white() -> None:
    grey = png(3, 1, 8, 0, b"\0\x05\x06\x07", (b"tRNS", b"\0\x06"))
    np.testing.assert_array_equal(decode(grey)[:, :, 0], [[5, 255, 7]])
    deep = png(2, 1, 16, 0, b"\0\x12\x34\x12\x35", (b"tRNS", b"\x12\x34"))
    np.testing.assert_array_equal(decode(deep)[:, :, 0], [[255, 0x12]])
    colour = png(2, 1, 8, 2, b"\0\1\2\3\1\2\4", (b"tRNS", b"\0\1\0\2\0\3"))
    np.testing.assert_array_equal(decode(colour), [[[255, 255, 255], [1, 2, 4]]])
    deep_colour = png(1, 1, 16, 2, b"\0" + b"\x12\x34" * 3, (b"tRNS", b"\x12\x34" * 3))
    np.testing.assert_array_equal(decode(deep_colour), [[[255, 255, 255]]])


def test_cmyk_becomes_rgb() -> None:
    """No ink is white, full black ink black, full cyan has no red."""
    inks = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    data = save(Image.fromarray(inks, "CMYK"), "TIFF")
    np.testing.assert_array_equal(decode(data), [[[255] * 3, [0] * 3, [0, 255, 255]]])


def test_cmyk_jpeg_becomes_rgb() -> None:
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:, :, 0] = 255
    result = decode(save(Image.fromarray(inks, "CMYK"), "JPEG", quality=100))
    np.testing.assert_allclose(result.reshape(-1, 3).mean(axis=0), [0, 255, 255], atol=2)


ARROW = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)  # as it should stand: 2 × 3
STORED = {  # EXIF 2.32, tag 0x0112: how the upright picture lies in the file
    1: ARROW,
    2: ARROW[:, ::-1],
    3: ARROW[::-1, ::-1],
    4: ARROW[::-1],
    5: ARROW.T,
    6: np.rot90(ARROW),  # turned by the camera to the left; the viewer turns it to the right
    7: ARROW[::-1, ::-1].T,
    8: np.rot90(ARROW, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(STORED[orientation], kind, exif=exif, **options)
    np.testing.assert_array_equal(decode(data)[:, :, 0], ARROW)


def test_broken_exif_leaves_the_picture_as_stored() -> None:
    for junk in (b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 50, b"\0" * 7):
        np.testing.assert_array_equal(decode(encode(pixels(), exif=junk)), pixels())


def test_only_the_first_frame_of_an_animation_is_read() -> None:
    data = animation(100_000)
    result = decode(data)
    assert result.shape == (4, 4, 3)
    assert (result == [255, 0, 0]).all()
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("blue", "red", "green")]
    for kind in ("WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        animated = save(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode(animated), np.full((2, 2, 3), [0, 0, 255]))


def test_what_follows_a_jpeg_is_no_part_of_it() -> None:
    """A film behind the picture, as telephones put it there, holds every pair of bytes."""
    data = encode(pixels(height=64, width=64), "JPEG")
    np.testing.assert_array_equal(decode(data + b"\xff\xda" * 1000), decode(data))


# -- hostile files ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile_files())
def test_a_hostile_file_is_refused_in_plain_words(name: str, tmp_path: Path) -> None:
    data, reason = hostile_files()[name]
    with pytest.raises(InputError, match=r"^[^\n]+$") as from_bytes:
        decode(data)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as from_file:
        decode(tmp_path / name)
    assert reason in str(from_bytes.value)
    assert str(from_file.value) == str(from_bytes.value)


def test_half_a_jpeg_is_found_where_verify_passes_it() -> None:
    data, reason = hostile_files()["half.jpg"]
    Image.open(io.BytesIO(data)).verify()
    with pytest.raises(InputError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_no_truncation_passes_with_other_pixels(kind: str) -> None:
    data = encode(pixels(height=16, width=16), kind)
    whole = decode(data)
    for length in range(len(data)):
        try:
            result = decode(data[:length])
        except InputError:
            continue
        np.testing.assert_array_equal(result, whole)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]), st.randoms())
def test_damage_ends_in_pixels_or_an_input_error(kind: str, chance: random.Random) -> None:
    data = bytearray(encode(pixels(), kind))
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    try:
        result = decode(bytes(data), max_pixels=1_000_000)
    except InputError:
        return
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] in (1, 3)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0"]))
def test_noise_is_refused(noise: bytes, signature: bytes) -> None:
    with pytest.raises(InputError, match=r"image|file|pixels"):
        decode(signature + noise)


def test_the_pixel_cap_can_be_lowered_and_not_raised() -> None:
    with pytest.raises(InputError, match="80 pixels, more than the 79 allowed"):
        decode(encode(pixels()), max_pixels=79)
    assert decode(encode(pixels()), max_pixels=80).shape == (8, 10, 3)
    with pytest.raises(InputError, match="64,000,001 pixels, more than the 64,000,000 allowed"):
        decode(png(MAX_PIXELS + 1, 1, 8, 0, b""), max_pixels=10**12)


def test_large_metadata_is_read_without_harm() -> None:
    exif = b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0" + b"\0" * 60_000
    np.testing.assert_array_equal(decode(encode(pixels(), exif=exif)), pixels())
    body = encode(pixels())
    head, tail = body[:33], body[33:]  # behind IHDR
    many = b"".join(chunk(b"tEXt", b"k%d\0" % i + b"v" * 1000) for i in range(3000))
    np.testing.assert_array_equal(decode(head + many + tail), pixels())


def test_hostile_files_take_little_memory(tmp_path: Path) -> None:
    for name, (data, _) in hostile_files().items():
        (tmp_path / name).write_bytes(data)
    program = """
import resource, sys
from pathlib import Path
from convscope.data.images import decode
from convscope.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in Path(sys.argv[1]).iterdir():
    try:
        decode(path)
    except InputError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(grown) < 50_000  # KB


# -- files that are no files -----------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        decode(tmp_path / "pipe.png")


def test_folders_devices_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull), Path("/dev/zero")):
        with pytest.raises(InputError, match=r"^not a regular file$"):
            decode(path)
    with pytest.raises(InputError, match="cannot be opened: No such file"):
        decode(tmp_path / "missing.png")
    with pytest.raises(InputError, match="cannot be opened: embedded null byte"):
        decode(tmp_path / "nul\0.png")


def test_a_file_above_the_size_cap_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(InputError, match="more than 256 MB: make the image smaller"):
        decode(path)


# -- the process around it -------------------------------------------------------------------


def settings_of_the_process() -> tuple[object, ...]:
    return Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)


def test_pillow_and_warnings_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    before = settings_of_the_process()
    with pytest.raises(InputError, match="truncated image"):
        decode(hostile_files()["half.jpg"][0])
    decode(encode(pixels()))
    assert settings_of_the_process() == before


def test_threads_leave_nothing_behind() -> None:
    """Entering `catch_warnings` from overlapping threads would leave its filters for good."""
    before = settings_of_the_process()
    inside = threading.Barrier(2)

    def first() -> None:
        with pillow_guard():
            inside.wait()
            inside.wait()

    def second() -> None:
        inside.wait()
        with pillow_guard():
            inside.wait()
            thread.join()
            decode(encode(pixels()))

    thread = threading.Thread(target=first)
    thread.start()
    second()
    assert settings_of_the_process() == before


def test_no_warning_escapes() -> None:
    """32 to 64 million pixels make Pillow warn; a palette with alpha too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = decode(png(40_000_000, 1, 1, 0, b"\0" + b"\xaa" * 5_000_000))
    assert picture.shape == (1, 40_000_000, 1)
    assert picture[0, :4, 0].tolist() == [255, 0, 255, 0]


def test_every_suffix_belongs_to_an_allowed_decoder() -> None:
    Image.init()
    of = Image.registered_extensions()
    assert {of[suffix] for suffix in SUFFIXES} == {
        *("BMP", "DIB", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
    }
