"""The server's page in Chromium: drop a picture, read the answer; hostile names stay text."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from convscope.serving.about import About
from convscope.serving.page import page
from hostile_images import encode, hostile_files, pixels
from hostile_names import NAMES
from lab_browser import chromium, needs_chromium, watched
from live_server import Live, serving
from made_runs import MNIST, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A model of a stranger, whose classes are called as badly as can be."""
    run = make_run(tmp_path_factory.mktemp("runs") / "run", classes=NAMES)
    with serving(run.path) as live:
        yield live


class Elements(HTMLParser):
    """The tags of a page, and where they lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: set[str] = set()
        self.addresses: set[str] = set()
        self.scripts = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src")}
        self.scripts += tag == "script"


def test_names_are_text_and_nothing_comes_from_elsewhere() -> None:
    html = page(About(NAMES[0], NAMES[1], NAMES, MNIST, None), "http://127.0.0.1:8422")
    found = Elements(html)
    assert found.scripts == 1
    assert not [name for name in found.attributes if name.startswith("on") or name == "style"]
    assert all(address.startswith("/") for address in found.addresses)
    assert html.replace("\n", "").isprintable()
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "It was not measured how often" in html


def test_a_thousand_classes_are_counted() -> None:
    names = tuple(f"class {i}" for i in range(1000))
    html = page(About("m", "s", names, MNIST, None), "http://x")
    assert "1,000 classes" in html
    assert "and 700 more" in html


@pytest.mark.slow
@needs_chromium
def test_pictures_are_answered_and_bad_ones_explained(
    browser: "Browser", live: Live, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encode(pixels()))
    bad.write_bytes(hostile_files()["half.png"][0])
    best = live.predict(good.read_bytes(), top=5).json()["guesses"]
    with watched(browser, live.url) as one:
        one.expected = ("422",)
        shown = one.page
        shown.goto(live.url)
        shown.set_input_files("#file", good)
        shown.locator("#guesses li").nth(4).wait_for()
        names = shown.locator("#guesses .name").all_text_contents()
        for name, guess in zip(names, best, strict=True):
            assert name.isprintable()
            if guess["name"].isprintable():
                assert name == guess["name"]
        assert shown.locator("#picture").is_visible()
        shown.set_input_files("#file", bad)
        shown.locator("#message.error").wait_for()
        assert "truncated image" in shown.locator("#message").inner_text()
        assert shown.locator("#guesses li").count() == 0
        shown.click("#example")
        shown.locator("#guesses li").nth(4).wait_for()
        assert shown.evaluate("document.querySelectorAll('img').length") == 1


@pytest.mark.slow
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: "Browser", live: Live, scheme: str, width: int
) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core: npm ci")
    size = {"width": width, "height": 800}
    with watched(browser, live.url, color_scheme=scheme, viewport=size, bypass_csp=True) as one:
        one.page.goto(live.url)
        one.page.click("#example")
        one.page.locator("#guesses li").nth(4).wait_for()
        one.page.add_script_tag(path=AXE)
        result = one.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        assert [violation["id"] for violation in result["violations"]] == []
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
