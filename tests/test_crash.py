"""Ten kills and ten Ctrl-C at random moments: the run that comes out is the undisturbed one."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import fingerprint

SETTINGS = ("epochs=60", "threads=1", "averaging=0.99", "augmentation.shift=2", "kernels=off")
WORDS = [word for setting in SETTINGS for word in ("--set", setting)]


def start(*words: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "convscope", "train", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert start("lenet5", "--data", "mnist-sample", *WORDS, "--out", out).wait() == 0
    return fingerprint(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "codes"),
    [(signal.SIGKILL, {-9}), (signal.SIGINT, {130})],
    ids=["ten kill -9", "ten Ctrl-C"],
)
def test_disturbed_ten_times_and_resumed_it_ends_the_same(
    tmp_path: Path, undisturbed: dict[str, str], number: signal.Signals, codes: set[int]
) -> None:
    moments = random.Random(0)
    run = tmp_path / "run"
    words: list[str | Path] = ["lenet5", "--data", "mnist-sample", *WORDS, "--out", run]
    hits = 0
    while hits < 10:
        process = start(*words)
        marks = [run / "checkpoint.safetensors", run / "run.json"]
        before = [mark.stat().st_mtime_ns if mark.exists() else 0 for mark in marks]
        while process.poll() is None and not any(
            mark.exists() and mark.stat().st_mtime_ns != old
            for mark, old in zip(marks, before, strict=True)
        ):
            time.sleep(0.01)  # nothing of the run is there to be disturbed before this
        time.sleep(moments.uniform(0.0, 0.5))
        process.send_signal(number)
        code = process.wait()
        assert code in codes, f"after {hits} hits: exit code {code}"
        hits += 1
        words = ["--resume", run]
    assert start(*words).wait() == 0
    assert fingerprint(run) == undisturbed
