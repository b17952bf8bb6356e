"""Find the compiled kernels, choose the version for this processor, call them.

A kernel is a C function that is called by ctypes with plain numbers and addresses: no binding to
torch's internals, so one library serves every version of torch and Python. ctypes lets other
Python threads run meanwhile.

Where there is no library, or it is out of date, everything is computed by torch alone: `load`
gives None, and `why_none` the reason, which `convscope doctor` shows.
"""

import ctypes
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from convscope.errors import InputError, unknown_name
from convscope.kernels import build

VARIABLE = "CONVSCOPE_KERNELS"
"""Environment variable: `off`, or a target to use instead of the processor's best."""
_BITS = {"avx512": 1, "avx2": 2, "portable": 0}
_PAIRS = 4


class Kernels:
    """The library, for one target.

    Attributes:
        target: `avx512`, `avx2` or `portable`.
        multiplies_pairs: whether it has products of pairs of bfloat16 (AVX512-BF16).
    """

    def __init__(self, library: ctypes.CDLL, target: str) -> None:
        self._library, self.target = library, target
        self.multiplies_pairs = target == "avx512" and bool(library.kernels_supported() & _PAIRS)

    def function(self, name: str, arguments: Sequence[Any], result: Any = None) -> Any:
        """The kernel `name` in the version of the target.

        Args:
            name: without the target's.
            arguments: ctypes types. result: likewise; None is void.
        """
        found = getattr(self._library, f"{name}_{self.target}")
        found.argtypes, found.restype = list(arguments), result
        return found


def load() -> Kernels | None:
    """The kernels for this processor, or for what CONVSCOPE_KERNELS says; None: use torch.

    Raises:
        InputError: the variable names no target, or one that this processor cannot run.
    """
    return _load(os.environ.get(VARIABLE, ""))[0]


def why_none() -> str:
    """Why `load` gives None; empty where it does not."""
    return _load(os.environ.get(VARIABLE, ""))[1]


def available() -> tuple[str, ...]:
    """The targets that this processor can run, the fastest first; none without a library."""
    library, _ = _open()
    return _runnable(library) if library else ()


@lru_cache
def _load(wanted: str) -> tuple[Kernels | None, str]:
    if wanted == "off":
        return None, f"switched off by {VARIABLE}=off"
    if wanted and wanted not in build.TARGETS:
        raise unknown_name(f"{VARIABLE}", wanted, [*build.TARGETS, "off"])
    library, reason = _open()
    if library is None:
        return None, reason
    able = _runnable(library)
    if wanted and wanted not in able:
        raise InputError(
            f"{VARIABLE} is {wanted}, which this processor cannot run; it can: {', '.join(able)}"
        )
    return Kernels(library, wanted or able[0]), ""


@lru_cache
def _open() -> tuple[ctypes.CDLL | None, str]:
    """The library and why there is none, one of the two."""
    if not build.LIBRARY.exists():
        return None, (
            "the kernels are not compiled (there was no C compiler at installation): install gcc "
            "or clang, then python -m convscope.kernels.build"
        )
    try:
        library = ctypes.CDLL(str(build.LIBRARY))
        library.kernels_fingerprint.restype = ctypes.c_char_p
        made_from = library.kernels_fingerprint().decode()
    except (OSError, AttributeError) as error:
        return None, (
            f"the compiled kernels cannot be loaded ({error}): python -m convscope.kernels.build"
        )
    if made_from != build.fingerprint():
        return None, (
            "the compiled kernels are older than their sources: python -m convscope.kernels.build"
        )
    return library, ""


def _runnable(library: ctypes.CDLL) -> tuple[str, ...]:
    bits = library.kernels_supported()
    here = build.targets()
    return tuple(name for name in here if not _BITS[name] or bits & _BITS[name])
