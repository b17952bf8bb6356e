"""Chromium on the lab's page: a trained run, a page that is watched, and what it shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from convscope.data.batches import to_input
from convscope.data.loading import load
from convscope.run import build_model, save_weights
from made_runs import MNIST, make_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Chromium at {CHROMIUM}")


def trained_run(path: Path) -> None:
    """LeNet-5 after three passes over 4,000 digits: right for about 19 of 20."""
    run = make_run(path, weights=False)
    model = build_model(run.document, seed=1).train()
    digits = load("mnist-sample").train
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(3):
        for rows in torch.split(torch.randperm(len(digits), generator=order), 50):
            x = to_input(torch.from_numpy(np.array(digits.images[rows.numpy()])), MNIST)
            y = torch.from_numpy(digits.labels[rows.numpy()])
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    save_weights(run, model.state_dict(), "weights.safetensors")
    run.with_changes(status="complete")


@contextmanager
def chromium() -> Iterator["Browser"]:
    """Debian's Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and everything that it should not have done."""

    page: "Page"
    url: str
    faults: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ("503",)  # statuses that the browser may log: "ask again"

    def open(self, state: str = "") -> "Page":
        """Open the lab at a state and wait for its first answer."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{state}")
        self.wait()
        return self.page

    def wait(self) -> None:
        """Until nothing is waited for."""
        self.page.locator("#waiting").wait_for(state="hidden")
        self.page.locator(".view:not([hidden])").wait_for()
        self.page.wait_for_load_state("networkidle")


@contextmanager
def watched(browser: "Browser", url: str, **context: Any) -> Iterator[Watched]:
    """A new page; leaving it fails on an error, or a request to anything but the lab."""
    page = browser.new_page(
        **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | context
    )
    page.set_default_timeout(15_000)
    one = Watched(page, url)
    host = urlsplit(url).netloc

    def on_request(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc != host:
            one.faults.append(f"asked {address}")

    def on_console(kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(code in text for code in one.expected):
            one.faults.append(f"console: {text}")

    page.on("request", lambda request: on_request(request.url))
    page.on("console", lambda message: on_console(message.type, message.text))
    page.on("pageerror", lambda error: one.faults.append(f"error: {error}"))
    try:
        yield one
    finally:
        page.close()
    assert one.faults == []


def shown(grid: "Locator") -> npt.NDArray[np.float64]:
    """The numbers behind a table of numbers; an empty cell is NaN."""
    texts: list[list[str]] = grid.evaluate(
        "table => [...table.rows].map(row => [...row.cells].map(cell => cell.dataset.v))"
    )
    return np.array([[float(text) if text else np.nan for text in row] for row in texts])


def number(output: "Locator") -> float:
    """The number behind an output."""
    return float(output.get_attribute("data-v") or "nan")
