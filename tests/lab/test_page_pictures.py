"""Pictures from a file, a drop and a camera, in a real browser, against the same in Python."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.data.batches import to_input
from convscope.data.loading import load
from convscope.lab.images import from_file, prepare
from convscope.run import load_model, open_run
from lab_browser import CHROMIUM, FLAGS, needs_chromium, number, trained_run, watched
from lab_server import Live, serving
from made_runs import MNIST

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from lab_browser import Watched

pytestmark = [needs_chromium, pytest.mark.slow]

CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, nn.Module]]:
    root = tmp_path_factory.mktemp("lab") / "runs"
    trained_run(root / "digits")
    with serving(root) as live:
        yield live, load_model(open_run(root / "digits")).eval()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *CAMERA])
        yield one
        one.close()


@pytest.fixture
def page(browser: "Browser", lab: tuple[Live, nn.Module]) -> Iterator["Watched"]:
    with watched(browser, lab[0].url, permissions=["camera"]) as one:
        yield one


def scanned_digit() -> bytes:
    """A digit of the data set as a scan: dark ink on white paper, larger, off its centre."""
    digit = load("mnist-sample").test.images[7, 0]
    paper = Image.new("L", (150, 200), 255)
    paper.paste(Image.fromarray(255 - digit).resize((84, 84)), (20, 90))
    file = io.BytesIO()
    paper.save(file, "PNG")
    return file.getvalue()


def first_score(network: nn.Module, file: bytes) -> float:
    pixels = prepare(from_file(file), MNIST, centre=True, invert=True)
    with torch.no_grad():
        return float(network(to_input(torch.from_numpy(np.array(pixels[None])), MNIST))[0, 0])


def check(page: "Page", network: nn.Module, file: bytes) -> None:
    """The page shows what the network makes of this file: the score of class 0."""
    page.wait_for_function("() => location.hash.includes('upload')")
    page.wait_for_load_state("networkidle")
    page.locator(".column[data-layer=output] .column-head").click()
    page.evaluate("location.hash += '&unit=0'")
    value = page.locator(".unit-value")
    value.wait_for()
    assert number(value) == pytest.approx(first_score(network, file), abs=1e-4)


def test_a_chosen_file(page: "Watched", lab: tuple[Live, nn.Module], tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(scanned_digit())
    shown = page.open()
    with shown.expect_file_chooser() as chooser:
        shown.get_by_role("button", name="Choose a picture file").click()
    chooser.value.set_files(tmp_path / "scan.png")
    check(shown, lab[1], scanned_digit())
    assert shown.get_by_role("checkbox", name="Swap dark and light").is_checked()


def test_a_dropped_file(page: "Watched", lab: tuple[Live, nn.Module]) -> None:
    shown = page.open()
    drop(shown, scanned_digit(), "scan.png", "image/png")
    check(shown, lab[1], scanned_digit())


@pytest.mark.parametrize(
    ("data", "name", "kind", "words"),
    [
        (b"no picture", "notes.txt", "text/plain", "That file is no picture"),
        (b"\x89PNG cut short", "cut.png", "image/png", "could not be read"),
    ],
)
def test_a_file_that_is_no_picture(
    page: "Watched", data: bytes, name: str, kind: str, words: str
) -> None:
    shown = page.open()
    drop(shown, data, name, kind)
    shown.locator("#error", has_text=words).wait_for()


def drop(page: "Page", data: bytes, name: str, kind: str) -> None:
    """Let a file fall onto the panel of the input."""
    argument: Any = {"data": base64.b64encode(data).decode(), "name": name, "kind": kind}
    page.evaluate(
        """x => {
          const bytes = Uint8Array.from(atob(x.data), letter => letter.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], x.name, {type: x.kind}));
          const event = new DragEvent('drop', {dataTransfer: transfer, bubbles: true});
          document.querySelector('.input-panel').dispatchEvent(event);
        }""",
        argument,
    )


def test_a_picture_of_the_camera(page: "Watched") -> None:
    """Chromium's own camera for tests: it needs no device."""
    shown = page.open()
    shown.get_by_role("button", name="Camera").click()
    shown.locator("dialog.camera video").wait_for()
    shown.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    shown.get_by_role("button", name="Take the picture").click()
    shown.locator("dialog.camera").wait_for(state="detached")
    shown.wait_for_function("() => location.hash.includes('upload')")
    page.wait()
    assert shown.locator("#error").is_hidden()
    assert shown.locator(".bars li").count() == 10
