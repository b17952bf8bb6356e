"""The page in a real browser: what it shows is what torch computes, and a link restores it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data.batches import to_input
from convscope.data.loading import load
from convscope.data.preprocess import Preprocessing
from convscope.run import load_model, open_run
from lab_browser import chromium, needs_chromium, number, shown, trained_run, watched
from lab_server import Live, serving
from made_runs import DIGITS, MNIST, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from lab_browser import Watched

pytestmark = [needs_chromium, pytest.mark.slow]

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("look", "pooling", "padding", "mistakes", "training", "whatif", "anatomy")
HOSTILE = ('<img src=x onerror="alert(1)">', "</script><script>alert(2)</script>")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lab") / "runs"
    trained_run(root / "digits")
    return root


@pytest.fixture(scope="module")
def lab(root: Path) -> Iterator[Live]:
    with serving(root) as live:
        yield live


@pytest.fixture(scope="module")
def network(root: Path) -> nn.Module:
    return load_model(open_run(root / "digits")).eval()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as one:
        yield one


@pytest.fixture
def lab_page(browser: "Browser", lab: Live) -> Iterator["Watched"]:
    with watched(browser, lab.url) as one:
        yield one


def picture(index: int) -> Tensor:
    """A test image as the network sees it."""
    images = load("mnist-sample").test.images
    return to_input(torch.from_numpy(np.array(images[index : index + 1])), MNIST)


def after(network: nn.Module, x: Tensor, *names: str) -> Tensor:
    """What comes out of these layers, one after the other."""
    layers = dict(network.named_modules())
    with torch.no_grad():
        for name in names:
            x = layers[name](x)
    return x


# ── look inside ─────────────────────────────────────────────────────────────────────────────


def draw(page: "Page", points: list[tuple[float, float]]) -> None:
    """One stroke on the pad; coordinates from 0 to 1."""
    box = page.locator("canvas.pad").bounding_box()
    assert box is not None
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def wait_for_verdict(page: "Page", word: str) -> None:
    page.wait_for_function(
        "word => document.querySelector('.verdict strong')?.textContent === word", arg=word
    )


def test_a_drawn_digit_is_recognised_while_it_is_drawn(lab_page: "Watched") -> None:
    page = lab_page.open()
    page.get_by_role("button", name="Clear").click()
    turn = np.linspace(0, 2 * np.pi, 25)
    circle = [(0.5 + 0.22 * float(np.sin(t)), 0.5 - 0.33 * float(np.cos(t))) for t in turn]
    draw(page, circle)
    wait_for_verdict(page, "0")
    page.get_by_role("button", name="Clear").click()
    draw(page, [(0.5, 0.2), (0.5, 0.8)])
    wait_for_verdict(page, "1")
    assert "What the network sees: 1 × 32 × 32" in page.locator(".tensor").inner_text()
    page.locator("#live", has_text=re.compile(r"Prediction: 1, \d+ %")).wait_for(state="attached")
    page.get_by_role("button", name="Undo").click()
    assert "ink=&" not in page.url
    assert page.locator(".bars li").count() == len(DIGITS)


def test_centring_can_be_switched_off(lab_page: "Watched") -> None:
    page = lab_page.open()
    page.get_by_role("button", name="Clear").click()
    draw(page, [(0.1, 0.1), (0.1, 0.35)])
    page.wait_for_load_state("networkidle")
    pixels = "document.querySelector('.tensor-picture canvas').toDataURL()"
    centred = page.evaluate(pixels)
    page.get_by_role("checkbox", name=re.compile("Centre and scale")).uncheck()
    page.wait_for_function(f"before => {pixels} !== before", arg=centred)
    page.wait_for_function("() => location.hash.includes('centre=0')")


def rows_of(page: "Page") -> list["Locator"]:
    return page.locator(".equation-row").all()


def test_every_number_of_a_convolution_equals_torch(
    lab_page: "Watched", network: nn.Module
) -> None:
    """Reached by clicks: the layer, a map, a unit."""
    page = lab_page.open("image=test:7")
    page.locator(".column[data-layer=c3] .column-head").click()
    page.get_by_role("button", name="Map 9", exact=True).click()
    page.get_by_role("heading", name=re.compile("^c3, map 9,")).wait_for()
    surface = page.locator(".unit-map")
    box = surface.bounding_box()
    assert box is not None
    surface.click(position={"x": box["width"] * 0.75, "y": box["height"] * 0.25})
    page.get_by_text("c3, map 9, row 2, column 7", exact=True).wait_for()
    x = after(network, picture(7), "c1", "c1_activation", "s2")[0].double().numpy()
    layers: dict[str, Any] = dict(network.named_modules())
    kernels = layers["c3"].weight[9].detach().double().numpy()
    bias = float(layers["c3"].bias[9].detach())
    rows = rows_of(page)
    assert [row.get_attribute("data-map") for row in rows] == list("012345")
    total = 0.0
    for row, values, kernel in zip(rows, x, kernels, strict=True):
        patch = values[2:7, 7:12]
        for part, wanted in (("inputs", patch), ("weights", kernel), ("products", patch * kernel)):
            found = shown(row.locator(f"[data-part={part}]"))
            np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
        assert number(row.locator(".row-sum")) == pytest.approx(
            float((patch * kernel).sum()), abs=1e-6
        )
        total += float((patch * kernel).sum())
    assert number(page.locator("[data-part=bias]")) == pytest.approx(bias, abs=1e-6)
    computed = float(after(network, picture(7), "c1", "c1_activation", "s2", "c3")[0, 9, 2, 7])
    assert number(page.locator("[data-part=value]")) == pytest.approx(computed, abs=1e-6)
    assert computed == pytest.approx(total + bias, abs=1e-5)
    following = page.locator(".next-layer button").inner_text().replace("−", "-")
    assert float(following) == pytest.approx(np.tanh(computed), rel=1e-5)


def test_the_winner_of_a_pooling_window_is_marked(lab_page: "Watched", network: nn.Module) -> None:
    page = lab_page.open("image=test:7&layer=s2&unit=1,4,6")
    page.get_by_text("s2, map 1, row 4, column 6", exact=True).wait_for()
    patch = after(network, picture(7), "c1", "c1_activation")[0, 1, 8:10, 12:14].numpy()
    found = shown(page.locator("[data-part=inputs]"))
    np.testing.assert_allclose(found, patch, rtol=1e-6)
    marked = page.locator("[data-part=inputs] td.winner")
    assert marked.count() == 1
    assert number(marked) == pytest.approx(patch.max(), rel=1e-6)


def test_an_input_of_the_equation_leads_to_the_unit_it_came_from(lab_page: "Watched") -> None:
    page = lab_page.open("image=test:7&layer=c3&unit=2,4,5")
    cell = page.locator(".equation-row[data-map='3'] [data-part=inputs] td").nth(
        7
    )  # row 1, column 2
    value = number(cell)
    cell.click()
    page.get_by_text("s2, map 3, row 5, column 7", exact=True).wait_for()
    assert number(page.locator(".unit-value")) == pytest.approx(value, rel=1e-6)


def test_a_link_restores_the_page(lab_page: "Watched", browser: "Browser", lab: Live) -> None:
    page = lab_page.open()
    page.get_by_role("button", name="Clear").click()
    draw(page, [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)])
    page.get_by_role("button", name="network", exact=True).click()
    page.locator(".column[data-layer=c3] .column-head").click()
    page.locator(".unit-map").click(position={"x": 40, "y": 60})
    crumb = page.locator(".crumb.here", has_text="row")
    heading = f"c3, {crumb.inner_text()}"
    page.get_by_role("heading", name=heading, exact=True).wait_for()  # the server's answer
    page.wait_for_load_state("networkidle")
    link = page.url
    value, verdict = number(page.locator(".unit-value")), page.locator(".verdict").inner_text()
    assert "ink=" in link
    with watched(browser, lab.url) as other:
        second = other.open(link.partition("#")[2])
        second.get_by_text(heading, exact=True).wait_for()
        assert number(second.locator(".unit-value")) == pytest.approx(value, rel=1e-6)
        assert second.locator(".verdict").inner_text() == verdict
        assert (
            second.get_by_role("button", name="network", exact=True).get_attribute("aria-pressed")
            == "true"
        )
        assert second.url == link


def test_it_works_with_the_keyboard_alone(lab_page: "Watched") -> None:
    page = lab_page.open("image=test:7")
    page.locator(".column[data-layer=c1] .map").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "c1_activation, map 1"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=re.compile("^c1_activation, map 1")).wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(".crumb.here", has_text="row").wait_for()
    unit = re.search(r"unit=1,(\d+),(\d+)", page.url)
    assert unit is not None
    page.keyboard.press("ArrowDown")
    page.wait_for_function("now => !location.hash.includes(now)", arg=unit[0])
    page.keyboard.press("Escape")
    page.locator(".crumb.here", has_text="c1_activation").wait_for()
    page.keyboard.press("Escape")
    page.locator(".crumb.here", has_text="All layers").wait_for()
    page.locator(".column[data-layer=c1_activation] .column-head:focus").wait_for()


# ── the benches ─────────────────────────────────────────────────────────────────────────────

NUMBERS = torch.tensor(
    [[1, 2, 3, 4, 5], [-6, 7, 8, 9, 1], [2, 3, 4, 5, 6], [7, 8, 9, 1, 2], [3, 4, 5, 6, 7.0]],
    dtype=torch.float64,
)

ROWS = ";".join(" ".join(f"{value:g}" for value in row) for row in NUMBERS.tolist())
TYPED = f"source=typed&values={quote(ROWS)}"


def test_the_padding_bench_equals_torch(lab_page: "Watched") -> None:
    page = lab_page.open(f"view=padding&{TYPED}")
    page.get_by_role("button", name="edge", exact=True).click()
    page.get_by_role("button", name="explicit", exact=True).click()
    page.get_by_role("button", name="Stride: more").click()
    page.locator(".bench-head", has_text="⌊(5 + 4 − 3)/2⌋ + 1 = 4").wait_for()
    kernel = torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1.0]], dtype=torch.float64)
    names = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}
    for mode in ("zeros", "reflect", "replicate", "circular"):
        padded = F.pad(NUMBERS[None, None], (2, 2, 2, 2), mode=names.get(mode, mode))
        output = F.conv2d(padded, kernel[None, None], stride=2)
        found = shown(page.locator(f"[data-part=padded-{mode}]"))
        np.testing.assert_allclose(found, padded[0, 0].numpy(), atol=1e-9)
        found = shown(page.locator(f"[data-part=output-{mode}]"))
        np.testing.assert_allclose(found, output[0, 0].numpy(), atol=1e-9)
        assert page.locator(f"[data-part=padded-{mode}] td.padded").count() == 9 * 9 - 5 * 5


def test_border_cells_light_the_pixel_that_they_repeat(lab_page: "Watched") -> None:
    page = lab_page.open(f"view=padding&border=explicit&sides=2&{TYPED}")
    corner = page.locator("[data-part=padded-reflect] td").first
    corner.hover()
    lit = page.locator("[data-part=padded-reflect] td.lit").evaluate_all(
        "cells => cells.map(cell => [Number(cell.dataset.r), Number(cell.dataset.c)])"
    )
    assert lit == [[0, 0], [4, 4]]
    assert number(corner) == NUMBERS[2, 2].item()


def test_the_pooling_bench_equals_torch(lab_page: "Watched") -> None:
    page = lab_page.open(f"view=pooling&show=gradient&{TYPED}")
    page.get_by_role("button", name="Size: more").click()
    page.locator(".bench-input", has_text="⌊(5 + 0 − 3)/2⌋ + 1 = 2").wait_for()
    x = NUMBERS.clone().requires_grad_(True)
    outputs = {
        "max": F.max_pool2d(x[None, None], 3, 2),
        "min": -F.max_pool2d(-x[None, None], 3, 2),
        "average": F.avg_pool2d(x[None, None], 3, 2),
        "l2": F.avg_pool2d(x[None, None] ** 2, 3, 2, divisor_override=1).sqrt(),
    }
    for kind, output in outputs.items():
        found = shown(page.locator(f"[data-part=pool-{kind}]"))
        np.testing.assert_allclose(found, output[0, 0].detach().numpy(), atol=1e-9)
        (gradient,) = torch.autograd.grad(output.sum(), x, retain_graph=True)
        found = shown(page.locator(f"[data-part=gradient-{kind}]"))
        np.testing.assert_allclose(found, gradient.numpy(), atol=1e-9)
    page.locator("[data-part=pool-average] td").nth(3).hover()  # row 1, column 1
    for kind in ("max", "l2"):
        lit = page.locator(f"[data-part=pool-{kind}] td.lit")
        assert lit.get_attribute("data-r") == lit.get_attribute("data-c") == "1"
    assert page.locator("[data-part=bench-input] td.lit").count() == 9


def test_an_impossible_padding_is_explained(lab_page: "Watched") -> None:
    lab_page.expected += ("400",)
    page = lab_page.open("view=padding&source=typed&values=1%202%3B3%204&border=explicit&sides=3")
    words = page.locator(".bench-card, .card").filter(has_text="Reflect").inner_text()
    assert "reflect padding of 3" in words
    assert page.locator("[data-part=padded-zeros] td").count() == 64


# ── mistakes, what if ───────────────────────────────────────────────────────────────────────


def test_from_a_cell_of_the_matrix_to_the_layers_of_a_mistake(lab_page: "Watched") -> None:
    page = lab_page.open("view=mistakes")
    page.locator(".confusion td:not(.diagonal) button").first.wait_for()
    cell = page.locator(".confusion td:not(.diagonal) button").first
    words = re.fullmatch(r"(\d+) of class (\d) taken for (\d)", cell.get_attribute("title") or "")
    assert words is not None
    count, truth, said = words.groups()
    cell.click()
    page.get_by_role("heading", name=f"{truth} taken for {said}: {count}").wait_for()
    assert page.locator(".image-button").count() == int(count)
    page.locator(".image-button").first.click()
    page.locator(".judgement", has_text=f"it is {truth}").wait_for()
    assert page.locator(".verdict strong").inner_text() == said
    assert page.locator(".column").count() == 11
    page.go_back()
    page.get_by_role("heading", name=f"{truth} taken for {said}: {count}").wait_for()


def test_switched_off_maps_change_the_answer_as_in_torch(
    lab_page: "Watched", network: nn.Module
) -> None:
    page = lab_page.open("image=test:7&view=whatif&offlayer=c1")
    page.get_by_role("button", name="Map 0 of c1 off").click()
    page.get_by_role("button", name="Map 3 of c1 off").click()
    page.wait_for_load_state("networkidle")
    x = after(network, picture(7), "c1").clone()
    x[:, [0, 3]] = 0
    rest = ("c1_activation", "s2", "c3", "c3_activation", "s4")
    x = after(network, x, *rest).flatten(1)
    x = after(network, x, "c5", "c5_activation", "f6", "f6_activation", "output")
    wanted = [f"{100 * p:.0f} %" for p in torch.softmax(x[0], 0).tolist()]
    page.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll('.bars.twice .bar-value')]"
        ".map(one => one.textContent.split(' → ')[1])) === wanted",
        arg=str(wanted).replace("'", '"').replace(", ", ","),
    )
    page.wait_for_function("() => location.hash.includes('off=c1:0.3')")


def test_every_map_of_a_wide_layer_is_seen_before_it_is_switched_off(
    browser: "Browser", root: Path
) -> None:
    """Only the strongest 24 maps of a wide layer travel with the picture; the rest is asked for."""
    how = Preprocessing(channels=3, size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    with serving(root.parent / "wide") as live:
        make_run(
            root.parent / "wide" / "colours",
            model="alexnet-cifar",
            arguments={"width": 64},
            preprocessing=how,
        )
        with watched(browser, live.url) as one:
            page = one.open("image=ink&view=whatif&offlayer=conv2")
            painted = "() => document.querySelectorAll('.off-maps .map canvas').length === 64"
            page.wait_for_function(painted)


def test_another_pooling_is_tried_and_measured(lab_page: "Watched", network: nn.Module) -> None:
    page = lab_page.open("image=test:7&view=whatif")
    page.get_by_role("button", name="average", exact=True).click()
    page.get_by_role("button", name="Measure the test accuracy").click()
    words = page.locator(".measure p")
    words.wait_for(timeout=60_000)
    found = re.match(r"([\d.]+) % of (\d+) right, as trained ([\d.]+) %", words.inner_text())
    assert found is not None
    images = load("mnist-sample").test
    assert int(found[2]) == len(images)
    x = to_input(torch.from_numpy(np.array(images.images[:])), MNIST)
    with torch.no_grad():
        right = (network(x).argmax(1).numpy() == images.labels).mean()
    assert float(found[3]) == pytest.approx(100 * right, abs=0.06)
    assert float(found[1]) < float(found[3])


def test_a_training_is_watched_while_it_learns(lab_page: "Watched") -> None:
    """Started, seen, and its run opened, all from the page."""
    lab_page.expected += ("404",)  # an epoch may end before there are filters to see
    page = lab_page.open("view=training")
    page.get_by_label("Recipe", exact=True).select_option("lenet5")
    page.get_by_label("Data", exact=True).select_option("mnist-sample")
    page.get_by_label(re.compile("Changes to the recipe")).fill("epochs=2\nmin_steps=0\nthreads=1")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("heading", name="How it is learning").wait_for(timeout=120_000)
    page.get_by_role("heading", name="Training: complete").wait_for(timeout=120_000)
    readout = page.locator(".chart .readout").first.inner_text()
    assert re.match(r"epoch 2: training [\d.]+ · validation [\d.]+", readout)
    assert page.locator(".filters canvas").count() == 6
    page.get_by_role("button", name="Look inside").click()
    page.locator(".column[data-layer=c1]").wait_for()
    assert "run=lenet5-mnist-sample" in page.url


# ── every view ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: "Browser", lab: Live, theme: str) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core: npm ci")
    states = [f"view={view}" for view in VIEWS] + [
        "layer=c3&unit=2,4,5",
        "layer=c1_activation&unit=1,4,5",
        "layer=output&unit=3",
        "view=pooling&source=typed&show=gradient",
    ]
    found = []
    with watched(browser, lab.url, color_scheme=theme) as one:
        for state in states:
            page = one.open(f"image=test:7&{state}")
            page.wait_for_timeout(300)
            page.evaluate(AXE.read_text(encoding="utf-8"))
            result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
            found += [
                (state, one["id"], [node["html"][:200] for node in one["nodes"][:3]])
                for one in result["violations"]
                if one["impact"] in ("serious", "critical")
            ]
    assert found == [], "\n".join(map(str, found))


@pytest.mark.parametrize("width", [390, 768, 1280, 1920])
def test_nothing_is_wider_than_the_window(browser: "Browser", lab: Live, width: int) -> None:
    states = [f"view={view}" for view in VIEWS] + ["layer=c3&unit=2,4,5", "layer=output&unit=3"]
    with watched(browser, lab.url, viewport={"width": width, "height": 844}) as one:
        for state in states:
            page = one.open(f"image=test:7&{state}")
            beyond = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert beyond <= 0, f"{state} is {beyond} px too wide"


def test_the_theme_can_be_switched_and_stays(lab_page: "Watched") -> None:
    page = lab_page.open()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(251, 250, 247)"
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate(background) == "rgb(18, 20, 24)"
    lab_page.open()
    assert page.evaluate(background) == "rgb(18, 20, 24)"


def test_hostile_names_are_inert(browser: "Browser", tmp_path: Path) -> None:
    root = tmp_path / "runs"
    classes = (*HOSTILE, *DIGITS[2:])
    make_run(root / "digits", classes=classes, source="nowhere")
    with serving(root) as live, watched(browser, live.url) as one:
        one.page.on("dialog", lambda dialog: one.faults.append(dialog.message))
        page = one.open()
        names = page.locator(".bars .bar-name").all_inner_texts()
        assert names[:2] == list(HOSTILE)
        page.locator("a[data-key=whatif]").click()
        page.wait_for_load_state("networkidle")
        assert page.locator("img[src=x]").count() == 0
        assert page.evaluate("document.scripts.length") == 1
