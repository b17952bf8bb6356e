"""The compiled code under AddressSanitizer and UndefinedBehaviorSanitizer: every byte outside of a
tensor, every overflow and every misaligned access ends the process.

The same tests run again in a process that preloads the sanitizer, on a library of its own. Torch's
allocator is the C library's, which the sanitizer replaces: a kernel that writes behind a tensor is
caught.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convscope.kernels import build, library

HERE = Path(__file__).parent
OPTIONS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-O1", "-g")
PROGRAM = """
import sys
from pathlib import Path
from convscope.kernels import build
build.LIBRARY = Path(sys.argv[1])
import pytest
sys.exit(pytest.main(sys.argv[2:]))
"""


def runtime(name: str) -> str:
    """Path of the compiler's sanitizer library."""
    words = [*build.compiler(), f"-print-file-name={name}"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, compiled with the sanitizers."""
    if not library.available():
        pytest.skip("the kernels are not compiled here: no C compiler")
    if not os.path.isabs(runtime("libasan.so")):
        pytest.skip("the C compiler has no sanitizers")
    return build.compile_kernels(tmp_path_factory.mktemp("sanitized") / "kernels.so", OPTIONS)


def run(program: str, made: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
    }
    return subprocess.run(
        [sys.executable, "-c", program, str(made), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
def test_the_kernels_are_clean(sanitized: Path) -> None:
    files = ["test_block.py", "test_dense.py", "test_turning.py", "test_step.py"]
    files += ["test_batch_norm.py", "test_spectra.py", "test_sgd.py"]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(HERE.parents[1])]
    done = run(PROGRAM, sanitized, *options, *(str(HERE / one) for one in files))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout
    assert "ERROR: AddressSanitizer" not in done.stderr


OUTSIDE = """
import sys
from pathlib import Path
from convscope.kernels import build
build.LIBRARY = Path(sys.argv[1])
import torch
from convscope.kernels.batch_last import empty
from convscope.kernels.dense import DenseJob
from convscope.kernels.calls import address, call
x, w, y = empty((16, 4)), torch.zeros(3, 4), torch.empty(3 * 16 - 1)
call("dense_forward", DenseJob(x=address(x), weight=address(w), y=address(y), images=16, pitch=16,
     inputs=4, outputs=3))
print("nothing noticed")
"""


@pytest.mark.slow
def test_one_number_behind_a_tensor_is_noticed(sanitized: Path) -> None:
    """The test above can fail."""
    done = run(OUTSIDE, sanitized)
    assert done.returncode != 0
    assert "ERROR: AddressSanitizer" in done.stderr
