"""What cannot be answered is said in words, with the status that fits, and nothing breaks."""

import base64
import io
import json
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lab_server import Live, is_inert, sample, serve_digits


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from serve_digits(tmp_path_factory)


PIXELS = {"height": 2, "width": 2, "channels": 1}


@pytest.mark.parametrize(
    ("query", "body", "words"),
    [
        ({}, b"1234", "not an image of an allowed kind"),
        ({"height": 2}, b"1234", "'width' is missing"),
        (PIXELS, b"123", "the body has 3 bytes; 2 × 2 × 1 pixels are 4"),
        (PIXELS, b"", "the body has 0 bytes"),
        (PIXELS | {"channels": 2}, b"12345678", "with 2 channels"),
        (PIXELS | {"height": 0}, b"", "height is '0'; allowed: 1 to 4096"),
        (PIXELS | {"height": 4097}, b"", "height is '4097'; allowed: 1 to 4096"),
        (PIXELS | {"height": "-2"}, b"1234", "height is '-2'"),
        (PIXELS | {"height": "1e9"}, b"1234", "height is '1e9'"),
        (PIXELS | {"height": "9" * 5000}, b"1234", "height is '999"),
        (PIXELS | {"centre": 2}, b"1234", "centre is '2'; allowed: 0 to 1"),
        (PIXELS | {"limit": "all"}, b"1234", "limit is 'all'"),
        ({"sample": "test"}, b"", "write split:index"),
        ({"sample": "test:-1"}, b"", "write split:index"),
        ({"sample": "test:٣"}, b"", "write split:index"),
    ],
)
def test_a_picture_that_cannot_be_read(
    lab: Live, query: dict[str, Any], body: bytes, words: str
) -> None:
    answer = lab.client.post("/api/runs/digits/forward", params=query, content=body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("name", ["test:1000", "none:0", "../test:0"])
def test_an_image_that_is_not_there(lab: Live, name: str) -> None:
    answer = lab.client.post("/api/runs/digits/forward", params={"sample": name})
    assert answer.status_code == 404


def png(width: int, height: int) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, format="PNG")
    return file.getvalue()


def huge_png() -> bytes:
    """A PNG of a few bytes whose header says 50,000 × 50,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0"))


GIF = base64.b64decode("R0lGODlhAQABAAAAACwAAAAAAQABAAA=")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "empty file"),
        (png(40, 40)[:900], 400, "(truncated|damaged) image"),
        (png(400, 400)[:-200], 400, "(truncated|damaged) image"),
        (b"<svg onload=alert(1)></svg>", 400, "not an image of an allowed kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", 400, "not an image of an allowed kind"),
        (huge_png(), 400, "2,500,000,000 pixels, more than the"),
        (png(5000, 2), 413, "the picture is 2 × 5000; allowed: 4096 a side"),
        (GIF[:-3], 400, "(truncated|damaged) image"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, 400, "(truncated|damaged) image"),
    ],
    ids=["empty", "half", "end", "svg", "eps", "huge", "wide", "gif", "jpeg"],
)
def test_hostile_files_are_refused_in_words(
    lab: Live, body: bytes, status: int, words: str
) -> None:
    answer = lab.client.post(
        "/api/runs/digits/forward", content=body, headers={"Content-Type": "image/png"}
    )
    assert answer.status_code == status
    assert re.search(words, answer.json()["error"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/runs/none", 404),
        ("/api/runs/digits/layer/c1?image=none", 404),
        ("/api/runs/digits/layer/c1", 400),
        ("/api/runs/digits/layer/none?image={key}", 404),
        ("/api/runs/digits/layer/c1?image={key}&from=6", 400),
        ("/api/runs/digits/layer/c1?image={key}&count=0", 400),
        ("/api/runs/digits/weights/s2", 404),
        ("/api/runs/digits/weights/none", 404),
        ("/api/runs/digits/unit?image={key}&layer=c1&unit=6,0,0", 400),
        ("/api/runs/digits/unit?image={key}&layer=c1&unit=0,0", 400),
        ("/api/runs/digits/unit?image={key}&layer=c1&unit=a,b,c", 400),
        ("/api/runs/digits/unit?image={key}&layer=none&unit=0,0,0", 404),
        ("/api/runs/digits/field?layer=c1&row=28&column=0", 400),
        ("/api/runs/digits/attribution?image={key}&method=guess&class=0", 400),
        ("/api/runs/digits/attribution?image={key}&method=saliency&class=10", 400),
        ("/api/runs/digits/images?truth=10", 400),
        ("/api/runs/digits/images?order=size", 400),
        ("/api/runs/digits/image/test/1000.png", 404),
        ("/api/runs/digits/image/none/1.png", 404),
        ("/api/runs/digits/image/test/x.png", 404),
        ("/api/runs/digits/samples?split=none", 404),
        ("/api/train/none/events", 404),
        ("/api/nothing", 404),
    ],
)
def test_what_is_not_there_is_said_in_words(lab: Live, path: str, status: int) -> None:
    answer = lab.client.get(path.format(key=sample(lab, 1)))
    assert answer.status_code == status
    words = answer.json()["error"]
    assert words
    assert "Traceback" not in words
    assert "\n" not in words


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{}", "application/x-www-form-urlencoded", 415),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"a":1,"a":2}', "application/json", 400),
        (b'{"values":[[NaN]]}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"values":' + b"[" * 99 + b"]" * 99 + b"}", "application/json", 400),
        (b"\xff\xfe{", "application/json", 400),
        (b'{"values":[[1' + b"0" * 5000 + b"]]}", "application/json", 400),
    ],
)
def test_bodies_that_are_no_honest_json(lab: Live, content: bytes, kind: str, status: int) -> None:
    for path in ("/api/bench/pool", "/api/bench/pad", "/api/train", "/api/runs/digits/what-if"):
        answer = lab.client.post(path, content=content, headers={"Content-Type": kind})
        if path.endswith("what-if") and content.startswith(b'{"values":[[[['):
            continue  # it is honest JSON with a key that is not used there
        assert answer.status_code == status
        assert answer.json()["error"]


# ── anything at all ─────────────────────────────────────────────────────────────────────────

GETS = ("layer/c1", "weights/c3", "unit", "field", "attribution", "neighbours", "images", "samples")
POSTS = ("/api/bench/pool", "/api/bench/pad", "/api/train", "/api/runs/digits/what-if")

UNITS = ["image", "from", "count", "layer", "unit", "row", "column", "method", "class", "n"]
LISTS = ["truth", "predicted", "order", "split"]
WINDOWS = ["values", "kind", "size", "stride", "padding", "border", "sides", "mode", "kernel"]
EXTRA = ["ceil", "dilation", "p", "mix", "blur", "coefficient", "bias", "count_padding"]
OTHERS = ["image", "off", "replace", "measure", "data", "settings", "seed"]

texts = st.one_of(
    st.sampled_from(["0", "1", "-1", "c1", "s2", "test", "saliency", "0,0,0", "", "1e3", "loss"]),
    st.text(max_size=12),
    st.integers().map(str),
)
queries = st.dictionaries(
    st.sampled_from([*UNITS, *LISTS]),
    texts,
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)
bodies = st.dictionaries(
    st.sampled_from([*WINDOWS, *EXTRA, *OTHERS]),
    values | st.just([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),
)

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@FUZZ
@given(st.sampled_from(GETS), queries, st.booleans())
def test_any_query_is_answered(lab: Live, path: str, query: dict[str, str], known: bool) -> None:
    if known:
        query = query | {"image": sample(lab, 0)}
    answer = lab.client.get(f"/api/runs/digits/{path}", params=query)
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert is_inert(answer.json()["error"])


@pytest.mark.slow
@FUZZ
@given(st.sampled_from(POSTS), bodies)
def test_any_body_is_answered(lab: Live, path: str, body: dict[str, Any]) -> None:
    content = json.dumps(body)
    answer = lab.client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 404)
    if answer.status_code != 200:
        assert is_inert(answer.json()["error"])


@pytest.mark.slow
@FUZZ
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_answered(lab: Live, body: bytes, named: bool) -> None:
    headers = {"Content-Type": "image/png"} if named else {}
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0"):
        answer = lab.client.post("/api/runs/digits/forward", content=start + body, headers=headers)
        assert answer.status_code in (200, 400, 413)
