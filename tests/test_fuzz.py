"""A short run of the fuzzer of runs and ONNX files; see `fuzz_loaders.py` for a long one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_damaged_runs_and_files_never_crash() -> None:
    words = [sys.executable, str(Path(__file__).with_name("fuzz_loaders.py")), "--minutes", "0.15"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no crash" in done.stdout
    assert "run: refused" in done.stdout
    assert "fields: taken" in done.stdout
