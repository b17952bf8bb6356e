"""The page's arithmetic, its modules loaded into a real browser, against NumPy and Python."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from convscope.lab.answers import Frame
from lab_browser import chromium, needs_chromium
from lab_server import serving

pytestmark = [needs_chromium, pytest.mark.slow]

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """`run(module, expression, argument)`: the value of an expression of `m`, the module, and `x`.

    The page itself is not loaded, only what the server has under /static/.
    """
    with serving(tmp_path_factory.mktemp("runs")) as live, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{live.url}static/icon.svg")

        def evaluate(module: str, expression: str, x: object = None) -> Any:
            return page.evaluate(f"x => import('/static/js/{module}').then(m => ({expression}))", x)

        yield evaluate


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_border_cells_repeat_what_numpy_repeats(run: Any, mode: str) -> None:
    names: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    for size in (2, 3, 7):
        amount = min(size - 1, 4)
        wanted = np.pad(np.arange(size), amount, mode=names[mode]).tolist()
        places = list(range(-amount, size + amount))
        found = run(
            "layout.js",
            "x.places.map(place => m.borderSource(x.mode, place, x.size))",
            {"places": places, "mode": mode, "size": size},
        )
        assert found == wanted
    assert run("layout.js", "m.borderSource('zeros', -1, 5)") is None


def test_the_windows_that_see_a_cell(run: Any) -> None:
    for kernel, stride, rows in ((2, 2, 3), (3, 2, 3), (3, 1, 4), (1, 3, 2)):
        for place in range((rows - 1) * stride + kernel + 1):
            wanted = [[r, 0] for r in range(rows) if r * stride <= place < r * stride + kernel]
            found = run(
                "bench-windows.js",
                "m.seenBy(x.place, 0, x.kernel, x.stride, {rows: x.rows, columns: 1})",
                {"place": place, "kernel": kernel, "stride": stride, "rows": rows},
            )
            assert found == wanted


def test_a_binary_answer_is_read_as_it_was_written(run: Any) -> None:
    for text in ("", "a", "ab", "abc", "Σ ⌊x⌋"):
        frame = Frame()
        frame.add(np.array([1.5, -2.0]))
        offset = frame.add(np.arange(6.0).reshape(1, 2, 3))
        body = frame.to_bytes({"text": text, "offset": offset})
        found = run(
            "frame.js",
            "[m.decodeFrame(new Uint8Array(x).buffer)].map(f => [f.header, [...f.values], "
            "[...m.mapOf(f.values, {shape: [1, 2, 3], offset: 2}).data]])[0]",
            list(body),
        )
        assert found == [
            {"text": text, "offset": 2},
            [1.5, -2, 0, 1, 2, 3, 4, 5],
            [0, 1, 2, 3, 4, 5],
        ]


def test_the_strongest_maps_come_first(run: Any) -> None:
    values = np.random.default_rng(3).normal(size=(9, 4, 5)).astype(np.float32)
    wanted = np.argsort(-np.abs(values).sum(axis=(1, 2)), kind="stable").tolist()
    found = run("layout.js", "m.strongest(new Float32Array(x), 9)", values.ravel().tolist())
    assert found == wanted


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["activations", "weights"])
def test_zero_has_the_same_neutral_colour_on_every_scale(run: Any, theme: str, kind: str) -> None:
    """And what is larger in magnitude is further from it; signs never share a colour."""
    neutral = run("colours.js", "m.rgbOf(m.scaleFor('activations', 0, 5, x), 0)", theme)
    expression = "x.values.map(v => m.rgbOf(m.scaleFor(x.kind, x.low, x.high, x.theme), v))"
    for low, high in ((-1, 1), (-0.2, 7), (-9, 0.5)):
        reach = max(-low, high)
        values = [reach * share for share in (-1, -0.6, -0.2, 0, 0.2, 0.6, 1)]
        what = {"values": values, "kind": kind, "low": low, "high": high, "theme": theme}
        colours = np.array(run("colours.js", expression, what), dtype=float)
        distance = np.abs(colours - neutral).sum(axis=1)
        assert distance[3] <= 6, "zero is neutral up to one step of 256"
        assert distance[2] < distance[1] < distance[0]
        assert distance[4] < distance[5] < distance[6]
        assert len({tuple(colour) for colour in colours.tolist()}) == 7


def test_numbers_on_cells_can_be_read(run: Any) -> None:
    """Black or white on any colour of any scale: a contrast of at least 4.5 (WCAG AA)."""
    colours = run(
        "colours.js",
        "['light', 'dark'].flatMap(t => ['activations', 'weights', 'input'].flatMap(kind => "
        "Array.from({length: 41}, (_, i) => m.rgbOf(m.scaleFor(kind, -1, 1, t), i / 20 - 1))))"
        ".map(rgb => [rgb, m.inkOn(rgb)])",
    )

    def luminance(rgb: Any) -> float:
        share = np.array(rgb) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for rgb, ink in colours:
        high, low = sorted((luminance(rgb), 1.0 if ink == "#fff" else 0.0), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (rgb, ink)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (-3, "−3"),
        (0.25, ".25"),
        (-0.5, "−.50"),
        (0.001, ".00"),
        (-0.001, ".00"),
        (2.5, "2.50"),
        (12.34, "12.3"),
        (123.4, "123"),
        (123456.5, "123k"),
    ],
)
def test_numbers_in_cells_are_short(run: Any, value: float, text: str) -> None:
    assert run("numbers.js", "m.cellText(x)", value) == text


def test_typed_numbers(run: Any) -> None:
    assert run("numbers.js", "m.parseMatrix('1 2,3; −4 5 .5')") == {
        "values": [[1, 2, 3], [-4, 5, 0.5]]
    }
    assert "Row 2 has 1 numbers" in run("numbers.js", "m.parseMatrix('1 2\\n3').error")
    assert "Only numbers" in run("numbers.js", "m.parseMatrix('1 <img>').error")
    assert "at least one" in run("numbers.js", "m.parseMatrix(' ').error")


def test_the_state_survives_its_address(run: Any) -> None:
    state = {"view": "pooling", "values": "1 2;3 4", "unit": "2,4,5", "run": "a b&c=#%é"}
    expression = "m.parse('#' + m.format({...m.DEFAULTS, ...x}))"
    found = run("state.js", expression, state)
    assert {key: found[key] for key in state} == state
    assert run("state.js", "m.format(m.DEFAULTS)") == ""
    assert "__proto__" not in json.dumps(run("state.js", "m.parse('#__proto__=1&nothing=2')"))


def test_a_drawing_survives_its_address(run: Any) -> None:
    random = np.random.default_rng(1)
    strokes = [
        {
            "width": 22,
            "colour": int(random.integers(8)),
            "points": random.integers(256, size=(n, 2)).tolist(),
        }
        for n in (1, 300, 2)
    ]
    assert run("ink.js", "m.decodeInk(m.encodeInk(x))", strokes) == strokes
    for damaged in ("", "!!", "AAAA", "____", "FgAB"):
        assert isinstance(run("ink.js", "m.decodeInk(x)", damaged), list)


def test_switched_off_maps_survive_their_address(run: Any) -> None:
    off = {"c1": [0, 3], "features.0": [12]}
    assert run("changes.js", "m.parseOff(m.formatOff(x))", off) == off
    assert run("changes.js", "m.toggled({c1: [0, 3]}, 'c1', 3)") == {"c1": [0]}


def test_columns_of_the_flow_fit_where_they_can(run: Any) -> None:
    lenet = [[6, 28, 28]] * 2 + [[6, 14, 14]] + [[16, 10, 10]] * 2 + [[16, 5, 5]]
    layers = [{"shape": shape} for shape in [*lenet, [120], [120], [84], [84], [10]]]
    for width in (760, 1000, 1600):
        columns = run("layout.js", f"m.flowColumns(x, {width}, 450, 11, 51)", layers)
        total = sum(max(51, one["width"]) for one in columns) + 11 * (len(columns) - 1)
        assert total <= width
        assert all(one["height"] <= 450 for one in columns)
        assert all(one["rows"] * one["columns"] >= one["count"] for one in columns)
        sizes = [one["size"] for one in columns[:6]]
        assert sizes == sorted(sizes, reverse=True), "maps shrink with their layer"


def test_a_field_is_clipped_to_the_picture(run: Any) -> None:
    size = {"height": 32, "width": 30}
    field = {"top": -3, "left": 20, "height": 40, "width": 8}
    wanted = {"top": 0, "left": 20, "height": 32, "width": 8}
    assert run("layout.js", "m.onPicture(x[0], x[1])", [field, size]) == wanted
    inside = {"top": 1, "left": 2, "height": 3, "width": 4}
    assert run("layout.js", "m.onPicture(x[0], x[1])", [inside, size]) == inside
