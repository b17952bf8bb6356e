"""`convscope lab` as a process: its one line, its port, its browser, its end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.lab.server import has_display
from lab_server import read_frame
from made_runs import make_run

COMMAND = [sys.executable, "-c", "import typer, convscope.cli_lab as c; typer.run(c.lab)"]


@contextmanager
def started(
    path: Path, *arguments: str, **environment: str
) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The command, and the line that it prints."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | environment,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def address(line: str) -> str:
    assert line.startswith("lab  http://"), line
    return line.split()[1]


def test_a_token_in_the_environment_is_asked_for_on_this_machine_too(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "digits")
    token = "a-token-of-some-length"
    with started(tmp_path, "--port", "0", CONVSCOPE_TOKEN=token) as (_, line):
        page = address(line)
        assert page.endswith(f"/?token={token}")
        runs = page.replace(f"?token={token}", "api/runs")
        assert httpx.get(runs, trust_env=False).status_code == 401
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(runs, headers=bearer, trust_env=False).status_code == 200


def test_one_line_a_quick_page_and_a_clean_end(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "digits")
    with started(tmp_path, "--port", "0") as (process, line):
        began = time.perf_counter()
        url = address(line)
        page = httpx.get(f"{url}static/nothing.js", trust_env=False)
        assert page.status_code == 404
        assert time.perf_counter() - began < 2  # it did not wait for torch
        runs = httpx.get(f"{url}api/runs", trust_env=False, timeout=60)
        assert runs.json()["current"] == "digits"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, "", "")
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


@pytest.mark.slow
def test_a_run_may_be_named(tmp_path: Path) -> None:
    make_run(tmp_path / "elsewhere")
    with started(tmp_path, "elsewhere", "--port", "0", "--no-browser") as (_, line):
        runs = httpx.get(f"{address(line)}api/runs", trust_env=False, timeout=60).json()
        assert runs["current"].startswith("elsewhere-")


@pytest.mark.slow
def test_it_ends_while_clients_wait_and_a_training_goes_on(tmp_path: Path) -> None:
    """SIGTERM, as a service manager sends it: the training's state is saved, no child is left."""
    with started(tmp_path, "--port", "0") as (process, line):
        with httpx.Client(base_url=address(line), trust_env=False, timeout=60) as client:
            settings = ["epochs=500", "threads=1"]
            body = {"recipe": "lenet5", "data": "mnist-sample", "settings": settings}
            job = client.post("/api/train", json=body).json()["job"]
            after = 0
            while after == 0:
                events = client.get(f"/api/train/{job}/events").json()["events"]
                after = len(events)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
        assert not [line for line in command_lines() if str(tmp_path / "runs") in line]


def command_lines() -> list[str]:
    """Of all processes of this machine, where /proc tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.slow
def test_it_ends_at_once_while_something_long_is_computed(tmp_path: Path) -> None:
    """Integrated gradients of a large network take seconds; Ctrl-C does not wait for them."""
    how = Preprocessing(channels=3, size=(224, 224), mean=(0.5,) * 3, std=(0.25,) * 3)
    classes = ("cat", "dog")
    make_run(tmp_path / "runs" / "large", model="alexnet-2012", preprocessing=how, classes=classes)
    with started(tmp_path, "--port", "0") as (process, line):
        with httpx.Client(base_url=address(line), trust_env=False, timeout=60) as client:
            query: dict[str, Any] = {"height": 1, "width": 1, "channels": 3, "limit": 1}
            answer = client.post("/api/runs/large/forward", params=query, content=b"abc")
            header, _ = read_frame(answer.content)
            query = {"image": header["image"], "method": "integrated-gradients", "class": 1}
            with pytest.raises(httpx.ReadTimeout):
                client.get("/api/runs/large/attribution", params=query, timeout=0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - began < 4
        assert (process.returncode, err) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("shown", [True, False])
def test_the_browser_is_opened_where_there_is_a_display(tmp_path: Path, shown: bool) -> None:
    """`BROWSER` names a program; what it is called with is written down."""
    program = tmp_path / "browser"
    program.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    program.chmod(0o755)
    environment = {"BROWSER": str(program)} | ({"DISPLAY": ":9"} if shown else {})
    with started(tmp_path, "--port", "0", **environment) as (_, line):
        opened = tmp_path / "opened"
        deadline = time.monotonic() + (10 if shown else 0.5)
        while time.monotonic() < deadline and not (opened.exists() and opened.read_text()):
            time.sleep(0.05)
        assert opened.exists() is shown
        if shown:
            assert opened.read_text().strip() == address(line)


@pytest.mark.slow
def test_no_browser_on_request(tmp_path: Path) -> None:
    program = tmp_path / "browser"
    program.write_text(f"#!/bin/sh\necho $1 > {tmp_path}/opened\n")
    program.chmod(0o755)
    with started(tmp_path, "--port", "0", "--no-browser", BROWSER=str(program), DISPLAY=":9"):
        time.sleep(0.5)
        assert not (tmp_path / "opened").exists()


def test_a_run_that_is_none_is_refused_before_anything_else(tmp_path: Path) -> None:
    from convscope.lab.server import serve

    with pytest.raises(InputError, match="is no run directory"):
        serve(tmp_path / "nothing", port=0)


def test_the_help_names_every_option() -> None:
    import typer

    from convscope.cli_lab import lab

    app = typer.Typer()
    app.command()(lab)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for word in ("RUN", "--host", "--port", "--no-browser"):
        assert word in shown


def test_a_display_is_needed_on_linux_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert has_display()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("WAYLAND_DISPLAY")
    assert has_display()


def test_the_server_starts_without_torch() -> None:
    code = "import sys, convscope.lab.server; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
