"""`convscope serve` as a process: its lines, its command, its end, and its behaviour under load."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

import convscope
from convscope.errors import InputError
from convscope.serving.server import Limits, serve
from made_runs import make_run

COMMAND = [sys.executable, "-m", "convscope", "serve"]
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "serve_under_load.py"
TOKEN = "right-token-0123456789"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "digits").path


@contextmanager
def started(
    *words: str, lines: int = 2, **more: str
) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The command on a free port, and the lines that it prints."""
    process = subprocess.Popen(
        [*COMMAND, *words, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | more,
    )
    try:
        assert process.stdout is not None
        yield process, "".join(process.stdout.readline() for _ in range(lines))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def command(lines: str) -> str:
    """The shell command that the start prints."""
    found = re.search(r"^try +(.*)$", lines, re.MULTILINE)
    assert found, lines
    return found[1]


def asked(lines: str) -> dict[str, object]:
    done = subprocess.run(
        ["sh", "-c", command(lines)], capture_output=True, text=True, check=True, timeout=60
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_command_works_and_the_end_is_clean(run: Path, signal_: signal.Signals) -> None:
    with started(str(run), "--access-log") as (process, lines):
        assert re.match(r"serve  lenet5, 10 classes  http://127\.0\.0\.1:\d+/  \(Ctrl-C", lines)
        assert asked(lines).keys() == {"guesses"}
        process.send_signal(signal_)
        out, err = process.communicate(timeout=30)
        assert process.returncode == (0 if signal_ == signal.SIGINT else -signal.SIGTERM)
        assert out == ""
        entries = [json.loads(line) for line in err.splitlines()]
        assert [(entry["path"], entry["status"]) for entry in entries] == [
            ("/example.png", 200),
            ("/predict", 200),
        ]


@pytest.mark.slow
def test_off_loopback_the_token_is_in_the_command(run: Path) -> None:
    with started(str(run), "--host", "0.0.0.0", lines=3, CONVSCOPE_TOKEN=TOKEN) as (_, lines):
        assert f"/?token={TOKEN}" in lines
        assert "The connection is not encrypted" in lines
        port = int(re.findall(r":(\d+)/", lines)[0])
        assert httpx.get(f"http://127.0.0.1:{port}/model", trust_env=False).status_code == 401
        shown = lines.replace(f"http://{os.uname().nodename.lower()}:", "http://127.0.0.1:")
        assert asked(shown).keys() == {"guesses"}


@pytest.mark.slow
def test_an_onnx_file_is_served_without_torch(run: Path) -> None:
    file = convscope.export(run).path
    code = (
        "import sys, threading, os, signal\n"
        "from convscope.serving.server import serve\n"
        "threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"serve({str(file)!r}, port=0)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["throughput", "--seconds", "1"], r"the nearest limit is \w+"),
        (["mixed", "--requests", "400"], "400 requests, 40 of them bad in 38 ways"),
        (["stop", "--seconds", "2"], "0 lost; exit code -15"),
    ],
    ids=lambda part: part[0] if isinstance(part, list) else "",
)
def test_under_load(run: Path, words: list[str], printed: str) -> None:
    """The benchmark, shorter: it ends with 1 where an answer is wrong, lost, or memory grows."""
    what, *options = words
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), what, str(run), "--connections", "32", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(printed, done.stdout)
    assert "wrong answers: 0" in done.stdout


def test_a_model_that_is_none_is_refused_before_anything_else(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no run directory and no \.onnx file"):
        serve(tmp_path / "nothing", port=0)


def test_a_taken_port_is_said_and_no_other_is_taken(run: Path) -> None:
    """A service that is somewhere else than it was told is no service."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 cannot be used"):
            serve(run, port=port)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch": 0}, "batch is 0; allowed: 1 to 1,024"),
        ({"waiting": 10**6}, "waiting \\(--queue\\) is 1,000,000; allowed: 1 to 100,000"),
        ({"body": -1}, "body \\(--max-mb, here in bytes\\) is -1; allowed: 1 to 268,435,456"),
        ({"threads": 0}, "threads is 0; allowed: 1 to 1,024"),
    ],
)
def test_limits_that_are_none(changes: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Limits(**changes)


@pytest.mark.parametrize(
    ("token", "words"),
    [("short", "the token has 5 characters"), ("a" * 20 + ";\n", "letters, digits and")],
)
def test_a_token_that_is_none(
    run: Path, monkeypatch: pytest.MonkeyPatch, token: str, words: str
) -> None:
    monkeypatch.setenv("CONVSCOPE_TOKEN", token)
    with pytest.raises(InputError, match=words):
        serve(run, port=0)


@pytest.mark.parametrize("name", ["http://a.example", "a b", "", "a/b", "x" * 300, "\x1b[2J"])
def test_a_name_that_is_none(run: Path, name: str) -> None:
    with pytest.raises(InputError, match="is no host name: give it as in") as caught:
        serve(run, port=0, names=[name])
    assert str(caught.value).isprintable()


def test_the_help_names_every_option() -> None:
    from convscope.cli import app

    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    shown = CliRunner().invoke(app, ["serve", "--help"], env=environment).output
    for word in ("MODEL", "--host", "--port", "--allow-host", "--access-log", "CONVSCOPE_TOKEN"):
        assert word in shown
    assert "curl --data-binary" in shown
