"""`torchrun -m convscope train`, as a user has it: a worker is killed, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import fingerprint
from convscope.run import open_run, read_metrics

TRAIN = ["train", "lenet5", "--data", "mnist-sample", "--seed", "1", "--json"]
SETTINGS = (
    "epochs=8",
    "min_steps=0",
    "threads=1",
    "batch_size=64",
    "augmentation.shift=1",
    "kernels=off",
    # Sums over two processes differ in their last bits, which Muon's turns soon make visible.
    'optimizer={"kind":"adam","lr":0.008}',
    "schedule.warmup=0.2",
)
WORDS = [*TRAIN, *(word for setting in SETTINGS for word in ("--set", setting))]


def torchrun(folder: Path, *words: str, restarts: int = 0) -> subprocess.Popen[str]:
    """Two processes that train in `folder`."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "2", "--max-restarts", str(restarts), "-m", "convscope"),
            *words,
        ],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Process numbers of the two that train, in the order of their ranks."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    found = {}
    for child in map(int, children):
        variables = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        for variable in variables:
            if variable.startswith(b"RANK="):
                found[int(variable[5:])] = child
    return [found[rank] for rank in sorted(found)]


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(6000):
        if list(folder.glob("runs/*/checkpoint.safetensors")):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("no checkpoint within a minute")


def only_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    process = torchrun(folder, *WORDS)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert json.loads(out)["run"].startswith("runs/lenet5-"), "one process prints, and once"
    assert err.count("2 processes") == 1
    return only_run(folder)


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")


@pytest.mark.slow
@needs_proc
def test_killed_and_restarted_it_ends_as_undisturbed(tmp_path: Path, undisturbed: Path) -> None:
    """The process that writes is killed. Nobody says --resume, nor where the run lies."""
    process = torchrun(tmp_path, *WORDS, restarts=1)
    wait_for_checkpoint(tmp_path, process)
    os.kill(workers(process)[0], signal.SIGKILL)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert fingerprint(only_run(tmp_path)) == fingerprint(undisturbed)
    assert not (only_run(tmp_path) / "checkpoint.safetensors").exists()


@pytest.mark.slow
@needs_proc
def test_ctrl_c_saves_once_and_one_process_goes_on(tmp_path: Path, undisturbed: Path) -> None:
    process = torchrun(tmp_path, *WORDS)
    wait_for_checkpoint(tmp_path, process)
    pids = workers(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=200)
    assert process.returncode != 0
    assert err.count("go on with: convscope train --resume runs/") == 1
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    run = only_run(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "convscope", "train", "--resume", str(run)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = read_metrics(open_run(undisturbed))
    for row, other in zip(read_metrics(open_run(run)), rows, strict=True):
        assert row == pytest.approx(other, abs=1e-2)
