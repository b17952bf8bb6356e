"""Compile the kernels: `python -m convscope.kernels.build`.

The C files beside this one become one shared library, each kernel in a version for every target.
Needs a C compiler (`cc`, or what CC names) and nothing else. The package's build does it, too
(hatch_build.py), so that wheels carry the library and installing one needs no compiler.
This file imports nothing of convscope: it runs before there is one.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / ("_kernels.dll" if sys.platform == "win32" else "_kernels.so")

X86 = ("x86_64", "amd64")
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512")
TARGETS: dict[str, tuple[str, ...]] = {
    # name: the compiler's options; the fastest first
    "avx512": (*_AVX2, *_AVX512),
    "avx2": _AVX2,
    "portable": (),
}
ONCE = ("threads.c", "dispatch.c")
"""Sources with one version for all targets."""
# Products and sums may become one operation that rounds once. NaN and infinity stay what they are.
OPTIONS = (
    "-std=gnu11",
    "-O3",
    "-fPIC",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
)


class NoKernels(Exception):
    """The kernels could not be compiled; the text says why."""


def targets() -> tuple[str, ...]:
    """Those that this machine's architecture has."""
    return tuple(TARGETS) if platform.machine().lower() in X86 else ("portable",)


def fingerprint() -> str:
    """Of the sources. A library of other sources is out of date."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("*.c"), *HERE.glob("*.h")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def compiler() -> list[str]:
    """The words that call the C compiler. Raises NoKernels where there is none."""
    words = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(words[0]) is None:
        raise NoKernels(f"there is no C compiler ({words[0]}); install gcc or clang, or set CC")
    return words


def compile_kernels(library: Path = LIBRARY, options: Sequence[str] = ()) -> Path:
    """Compile all sources into `library`, which is replaced only once it is complete.

    Args:
        library: where to put it.
        options: further options for compiler and linker, such as `-fsanitize=address`.

    Raises:
        NoKernels: no compiler, or it failed.
    """
    cc = compiler()
    with tempfile.TemporaryDirectory() as folder:
        objects, calls = [], []
        for source in sorted(HERE.glob("*.c")):
            once = source.name in ONCE
            for target in ("portable",) if once else targets():
                objects.append(str(Path(folder, f"{source.stem}.{target}.o")))
                words = [*cc, *OPTIONS, *TARGETS[target], *options, f"-DTARGET={target}"]
                words += [f'-DFINGERPRINT="{fingerprint()}"'] * once
                calls.append([*words, "-c", str(source), "-o", objects[-1]])
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(_run, calls))
        made = Path(folder, LIBRARY.name)
        _run([*cc, "-shared", "-pthread", *options, *objects, "-lm", "-o", str(made)])
        beside = library.with_name(f"{library.name}.{os.getpid()}")
        shutil.copyfile(made, beside)
        os.replace(beside, library)  # a process that has the old one open keeps it
    return library


def _run(words: list[str]) -> None:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        raise NoKernels(f"the C compiler failed: {shlex.join(words)}\n{text}")


if __name__ == "__main__":
    try:
        print(compile_kernels())
    except NoKernels as error:
        sys.exit(str(error))
