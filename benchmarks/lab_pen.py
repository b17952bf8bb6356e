"""From pen to maps: how long the lab takes to show what a network makes of a drawing.

    python benchmarks/lab_pen.py [--strokes 60] [RUN]

Starts the lab on RUN (the packaged LeNet-5 where none is named), opens it in Chromium, draws, and
reads the times that the page itself takes: from a movement of the pen to the updated activations
of all layers. Nothing else running.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TIMES = "performance.getEntriesByName('convscope: picture to maps').map(e => e.duration)"


def main() -> None:
    """Draw, and print the median and the 95th percentile."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", help="a run directory")
    parser.add_argument("--strokes", type=int, default=60, help="movements of the pen")
    parser.add_argument("--chromium", default=CHROMIUM)
    options = parser.parse_args()
    run = [] if options.run is None else [str(options.run.resolve())]
    words = [sys.executable, "-m", "convscope", "lab", *run, "--no-browser"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            times = drawn(address(process), options.chromium, options.strokes)
        finally:
            process.terminate()
            process.wait()
    late = statistics.quantiles(times, n=20)[-1]
    print(
        f"{len(times)} movements of the pen: median {statistics.median(times):.1f} ms, "
        f"95th percentile {late:.1f} ms, most {max(times):.1f} ms"
    )


def address(process: "subprocess.Popen[str]") -> str:
    """Where the lab says that it is."""
    assert process.stdout is not None
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://"):
                return word
    sys.exit("the lab did not start")


def drawn(url: str, chromium: str, strokes: int) -> list[float]:
    """Milliseconds from pen to maps, for each movement after a few to warm up."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.locator(".column").first.wait_for()
        page.wait_for_function(f"() => {TIMES}.length > 0", timeout=60_000)
        box = page.locator("canvas.pad").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 40, box["y"] + 40)
        page.mouse.down()
        for step in range(strokes + 5):
            move(page, box["x"], box["y"], step)
        page.mouse.up()
        times: list[float] = page.evaluate(TIMES)
        browser.close()
    return times[-strokes:]


def move(page: Page, left: float, top: float, step: int) -> None:
    """One movement, along a zigzag, and wait until the maps have followed."""
    before = page.evaluate(f"{TIMES}.length")
    across, down = divmod(step * 7, 160)
    page.mouse.move(left + 40 + (160 - down if across % 2 else down), top + 40 + 18 * across)
    page.wait_for_function(f"() => {TIMES}.length > {before}", timeout=30_000)


if __name__ == "__main__":
    main()
