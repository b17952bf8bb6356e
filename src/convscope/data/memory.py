"""How much memory is left for data."""

import os
from pathlib import Path

_CGROUPS = (  # limit and use of a container, version 2 and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available_memory() -> int:
    """Bytes that can be used without swapping: the system's own estimate, or the container's.

    Where the system gives none (it is no Linux), half of what is built in.
    """
    present = present_memory()
    found = [_meminfo() or present // 2]
    for limit, used in _CGROUPS:
        allowed = _number(limit)
        if allowed is not None and allowed < present:  # version 1 says "no limit" by 2⁶³
            found.append(max(0, allowed - (_number(used) or 0)))
    return min(found)


def present_memory() -> int:
    """Bytes built into this machine."""
    if not hasattr(os, "sysconf"):
        return 8 * 2**30  # Windows: a common size
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _meminfo() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError, IndexError):
        return 0


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # "max" is no number: no limit
        return None
