"""The built wheel has all that the lab needs: the page, its modules, the example."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lab_browser import chromium, needs_chromium, watched

ROOT = Path(__file__).parents[2]
# The installed package must come from the wheel, not from this checkout.
LAB = """
import sys
sys.path.insert(0, sys.argv[1])
import convscope
assert convscope.__file__.startswith(sys.argv[1]), convscope.__file__
from convscope.cli import main
sys.argv = ["convscope", "lab", "--no-browser", "--port", "18421"]
main()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, built from this checkout, is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, timeout=300)
    (wheel,) = folder.glob("convscope-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_carries_every_file_of_the_package(installed: Path) -> None:
    package = ROOT / "src" / "convscope"
    names = {path.relative_to(package) for path in package.rglob("*") if path.is_file()}
    made = {"__pycache__", ".compiled"}  # on the way, by Python and by make
    wanted = {name for name in names if not made & set(name.parts)}
    found = {path.relative_to(installed / "convscope") for path in _files(installed)}
    assert wanted
    assert wanted - found == set()


def _files(installed: Path) -> list[Path]:
    return [path for path in (installed / "convscope").rglob("*") if path.is_file()]


@needs_chromium
@pytest.mark.slow
def test_the_lab_of_the_wheel_opens_with_its_example(installed: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-I", "-c", LAB, str(installed)]
    with subprocess.Popen(
        words,
        cwd=tmp_path,  # without runs/
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            printed = ""
            while not (found := re.search(r"http://127\.0\.0\.1:\d+/", printed)):
                line = process.stdout.readline()
                assert line, printed
                printed += line
            with chromium() as browser, watched(browser, found[0]) as live:  # only this host
                page = live.open()
                page.locator(".column[data-layer=c3]").wait_for()
                page.locator(".verdict").first.wait_for()
        finally:
            process.terminate()
