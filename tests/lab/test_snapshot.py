"""A snapshot, opened from disk with the network off, computes what Python computes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from lab_browser import chromium, needs_chromium, number, watched
from PIL import Image

import convscope
from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.explain.provenance import provenance_of
from convscope.explain.tracing import Step, trace
from convscope.lab.centring import centre_drawing
from convscope.lab.images import prepare
from convscope.lab.snapshot import modules, write_snapshot
from convscope.run import Run, load_model
from made_runs import DIGITS, MNIST, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

COLOUR = Preprocessing(
    channels=3, size=(32, 32), fill=9, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3)
)
SMALL = {"width": 4, "hidden": 8}
POOL, PAD, ACT = ({"layer": name} for name in ("pool", "pad", "activation"))
RUNS: dict[str, dict[str, Any]] = {
    "lenet5-1998": {"model": "lenet5-1998"},  # table, subsampling, scaled tanh, RBF
    "lenet5": {"model": "lenet5"},
    "lenet5-keras": {
        "model": "lenet5-keras",
        "preprocessing": MNIST.model_copy(update={"padding": (0, 0, 0, 0)}),
    },
    "averages that count padding": {
        "model": "lenet5",
        "arguments": {
            "pool": POOL | {"kind": "average", "kernel": 3, "stride": 2, "padding": 1},
            "padding": PAD | {"kind": "same", "mode": "reflect"},
        },
    },
    "minima": {
        "model": "lenet5",
        "arguments": {
            "pool": POOL | {"kind": "min", "kernel": 2},
            "padding": PAD | {"kind": "same", "mode": "circular"},
            "activation": ACT | {"kind": "elu"},
        },
    },
    "colours": {
        "model": "alexnet-cifar",
        "arguments": SMALL
        | {
            "hidden_norm": True,
            "padding": PAD | {"kind": "same", "mode": "replicate"},
            "activation": ACT | {"kind": "gelu"},
        },
        "preprocessing": COLOUR,
    },
}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "run"
    return make_run(path, **{"source": "nowhere"} | RUNS[request.param])


@pytest.fixture
def page(run: Run, browser: "Browser") -> Iterator["Page"]:
    file = run.path / "page.html"
    write_snapshot(run.path, file)
    context = browser.new_context(offline=True)
    found = context.new_page()
    found.goto(file.as_uri())
    yield found
    context.close()


def drawing(channels: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth grey or coloured noise, 112 × 112, on a black ground."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((70, 80), Image.Resampling.BICUBIC))
    found = np.zeros((112, 112, channels), dtype=np.uint8)
    found[13:93, 30:100] = smooth[:, :, :channels]
    return found


def sent(pixels: npt.NDArray[np.uint8]) -> str:
    """The picture as an argument of `forward`, in JavaScript."""
    height, width, channels = pixels.shape
    data = json.dumps(pixels.ravel().tolist())
    return (
        f"{{pixels: {{data: Uint8Array.from({data}), height: {height}, width: {width}, "
        f"channels: {channels}}}}}"
    )


def asked(page: "Page", pixels: npt.NDArray[np.uint8], more: str = "found") -> Any:
    """`forward` in the page, and an expression of its answer `found` and of the module `m`."""
    how = "{centre: '1', invert: '0'}"
    return page.evaluate(
        f"import('js/offline/api.js').then(async m => {{ const found = await m.forward('', "
        f"{sent(pixels)}, {how}); return await ({more}); }})"
    )


def traced(run: Run, pixels: npt.NDArray[np.uint8]) -> list[Step]:
    how = run.document.preprocessing
    picture = prepare(pixels, how, centre=how.channels == 1)
    inputs = to_input(torch.from_numpy(picture[None].copy()), how)
    return trace(load_model(run).eval(), inputs[0])


@needs_chromium
@pytest.mark.slow
def test_every_value_of_every_layer(run: Run, page: "Page") -> None:
    pixels = drawing(run.document.preprocessing.channels)
    found = asked(page, pixels, "{header: found.header, values: [...found.values]}")
    steps = traced(run, pixels)
    header, values = found["header"], np.array(found["values"])
    parts = [(header["input"], steps[0].input)]
    parts += list(zip(header["layers"], (step.output for step in steps), strict=True))
    for entry, wanted in parts:
        size = wanted.numel()
        given = values[entry["offset"] : entry["offset"] + size].reshape(entry["shape"])
        assert entry["shape"] == list(wanted.shape)
        assert np.abs(given - wanted.numpy()).max() <= 1e-4 * max(1.0, float(wanted.abs().max()))
    assert [entry["name"] for entry in header["layers"]] == [step.name for step in steps]
    probabilities = torch.softmax(steps[-1].output.double().flatten(), 0).numpy()
    assert np.allclose(header["probabilities"], probabilities, atol=1e-4)


@needs_chromium
@pytest.mark.slow
def test_every_term_of_some_units(run: Run, page: "Page") -> None:
    pixels = drawing(run.document.preprocessing.channels, seed=1)
    steps = traced(run, pixels)
    units = [(step.name, unit) for step in steps for unit in some_units(tuple(step.output.shape))]
    asking = ", ".join(
        f"m.unit('', {{image: found.header.image, layer: '{name}', unit: '{unit}'}})"
        for name, unit in units
    )
    answers = asked(page, pixels, f"Promise.all([{asking}])")
    for (name, unit), answer in zip(units, answers, strict=True):
        place = [int(index) for index in unit.split(",")]
        agree(answer, provenance_of(steps, name, place).to_json(), f"{name} {unit}")


def some_units(shape: tuple[int, ...]) -> list[str]:
    """The first unit, the last, and one between."""
    places = ([0] * len(shape), [size - 1 for size in shape], [size // 3 for size in shape])
    return [",".join(map(str, place)) for place in places]


def agree(found: Any, wanted: Any, where: str) -> None:
    """The same structure, and numbers that agree to 1e-4, those within formulas, too."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key, value in wanted.items():
            agree(found[key], value, f"{where} {key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for index, value in enumerate(wanted):
            agree(found[index], value, f"{where} {index}")
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4), where
    elif isinstance(wanted, str):
        number_in = r"−?[\d.]+(?:e[+−]\d+)?"
        assert re.sub(number_in, "#", found) == re.sub(number_in, "#", wanted), where
        for one, other in zip(
            re.findall(number_in, found), re.findall(number_in, wanted), strict=True
        ):
            plain = [float(text.replace("−", "-")) for text in (one, other)]
            assert plain[0] == pytest.approx(plain[1], rel=2e-3, abs=2e-4), where
    else:
        assert found == wanted, where


@needs_chromium
@pytest.mark.slow
def test_pictures_are_made_as_python_makes_them(tmp_path: Path, browser: "Browser") -> None:
    """Resizing and centring, exactly: another grey level would be another number everywhere."""
    make_run(tmp_path / "run", source="nowhere")
    write_snapshot(tmp_path / "run", tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    rng = np.random.default_rng(5)
    for height, width, new in [(112, 112, 28), (30, 47, 28), (20, 9, 31), (64, 64, 32)]:
        for channels in (1, 3):
            pixels = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
            image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
            for how in ("bilinear", "box"):
                wanted = image.resize((new, new), Image.Resampling[how.upper()])
                data = pixels.ravel().tolist()
                found = page.evaluate(
                    "x => import('js/offline/resample.js').then(m => [...m.resize({data: "
                    "Uint8Array.from(x.data), height: x.height, width: x.width, channels: "
                    "x.channels}, x.new, x.new, x.how).data])",
                    {"data": data, "height": height, "width": width, "channels": channels}
                    | {"new": new, "how": how},
                )
                assert found == np.asarray(wanted).ravel().tolist()
    for seed in range(6):
        pixels = drawing(1, seed)[:, :, 0] // (1 + 3 * seed)
        cut = pixels[seed * 5 :, : 112 - 9 * seed]
        found = page.evaluate(
            "x => import('js/offline/picture.js').then(m => [...m.centreDrawing({data: "
            "Uint8Array.from(x.data), height: x.height, width: x.width, channels: 1}).data])",
            {"data": cut.ravel().tolist(), "height": cut.shape[0], "width": cut.shape[1]},
        )
        assert found == centre_drawing(np.ascontiguousarray(cut)).ravel().tolist()
    page.close()


@needs_chromium
@pytest.mark.slow
def test_draw_predict_and_open_a_unit_offline(tmp_path: Path, browser: "Browser") -> None:
    make_run(tmp_path / "run")
    write_snapshot(tmp_path / "run", tmp_path / "page.html")
    with watched(browser, (tmp_path / "page.html").as_uri()) as live:
        page = live.page
        page.context.set_offline(True)
        page.goto(live.url)
        assert page.locator(".sample").count() == 10
        page.locator(".class-bars, .answers").first.wait_for()
        before = page.evaluate("document.querySelector('canvas.pad').toDataURL()")
        box = page.locator("canvas.pad").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 60, box["y"] + 60)
        page.mouse.down()
        page.mouse.move(box["x"] + 170, box["y"] + 60, steps=5)
        page.mouse.move(box["x"] + 100, box["y"] + 200, steps=5)
        page.mouse.up()
        assert page.evaluate("document.querySelector('canvas.pad').toDataURL()") != before
        page.wait_for_function("location.hash.includes('ink')")
        link = page.evaluate("location.hash")
        page.goto("about:blank")
        page.goto(f"{live.url}{link}&layer=c3&unit=2,4,5")
        value = page.locator("output.unit-value")
        value.wait_for()
        total = page.evaluate(
            "import('js/offline/api.js').then(async m => (await m.unit('', {image: 'picture 1', "
            "layer: 'c3', unit: '2,4,5'})).sum)"
        )
        assert number(value) == pytest.approx(total, abs=1e-5)
        page.locator("nav a", has_text="Anatomy").click()
        page.locator(".view:not([hidden]) tbody tr").first.wait_for()


def test_hostile_names_stay_inside_their_element(tmp_path: Path) -> None:
    classes = ("</script><script>alert(1)</script>", "<!--", *DIGITS[2:])
    make_run(tmp_path / "run", source="nowhere", classes=classes)
    write_snapshot(tmp_path / "run", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "alert(1)</script>" not in text
    assert "<!--" not in text.partition('id="snapshot">')[2].partition("</script>")[0]
    assert text.count("<script") == 3


def test_every_module_is_there_and_none_asks_a_server() -> None:
    found = modules()
    assert "js/offline/api.js" in found
    assert "js/api.js" not in found
    assert not any(re.search(r"(?<![#\w.])fetch\(", text) for text in found.values())
    names = [name for text in found.values() for name in re.findall(r"from '([^']+)'", text)]
    assert names
    assert set(names) <= found.keys()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "alexnet-cifar", "preprocessing": COLOUR}, "parameters; a snapshot takes"),
        (
            {"arguments": {"pool": POOL | {"kind": "stochastic"}}},
            "layer 's2' .* cannot be computed",
        ),
        (
            {"preprocessing": MNIST.model_copy(update={"aspect": "cover"})},
            "pictures that are stretched",
        ),
    ],
)
def test_what_the_page_cannot_compute_is_said(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    make_run(tmp_path / "run", **{"source": "nowhere"} | changes)
    with pytest.raises(InputError, match=reason):
        write_snapshot(tmp_path / "run", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@needs_chromium
@pytest.mark.slow
def test_show_in_a_notebook(tmp_path: Path, browser: "Browser") -> None:
    """A frame without an address of its own, as notebooks make it; the given picture first."""
    run = make_run(tmp_path / "run", source="nowhere")
    pixels = drawing(1)[:, :, 0]
    frame = convscope.show(run, pixels)._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><body>{frame}</body>", "utf-8")
    faults: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto((tmp_path / "notebook.html").as_uri())
    inside = page.frame_locator("iframe")
    how = run.document.preprocessing
    picture = prepare(pixels[:, :, None], how)
    wanted = trace(load_model(run).eval(), to_input(torch.from_numpy(picture[None].copy()), how)[0])
    inside.locator(".column[data-layer=output] .column-head").click()
    inside.locator(".crumb.here", has_text="output").wait_for()
    inside.locator("output.unit-value").wait_for()
    heading = inside.locator(".unit-panel h3").inner_text()
    unit = int(heading.rpartition(" ")[2])
    value = number(inside.locator("output.unit-value"))
    assert value == pytest.approx(float(wanted[-1].output.flatten()[unit]), abs=1e-4)
    assert faults == []
    page.close()


@pytest.mark.parametrize(
    ("image", "height", "reason"),
    [
        (np.zeros((5, 5)), 900, "the image is float64"),
        (np.zeros((2, 5, 5, 1), np.uint8), 900, "H × W or H × W × 3"),
        (np.zeros((5, 5), np.uint8), 10, "height is 10"),
        ("/nonexistent.png", 900, "nonexistent"),
    ],
)
def test_what_show_does_not_take(tmp_path: Path, image: Any, height: int, reason: str) -> None:
    run = make_run(tmp_path / "run", source="nowhere")
    with pytest.raises(InputError, match=reason):
        convscope.show(run, image, height=height)
