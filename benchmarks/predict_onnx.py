"""How fast an exported network answers: cold, warm, and on thousands of pictures.

    python benchmarks/predict_onnx.py [--run RUN] [--images 10000]

Exports a run (by default the example that comes with convscope, LeNet-5 on MNIST) and measures:

- cold: `convscope predict MODEL.onnx picture.png` in a fresh process, from start to end, beside a
  fresh Python that does nothing and one that imports what is needed (NumPy, Pillow, ONNX Runtime);
- warm: one image that is already decoded, by `convscope.open_predictor` and by ONNX Runtime alone,
  in turn;
- many: `convscope predict` on JPEGs of mixed sizes, with the most memory it took, beside the
  decoder's own limit: Pillow alone on a sample of the files, in one thread, times the cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

import convscope
from convscope.predictor import EXAMPLE

STARTS, CALLS, SAMPLE = 15, 2000, 500

_DECODER = """
import json, sys, time
from pathlib import Path
from PIL import Image
size, mode = json.loads(sys.argv[2]), sys.argv[3]
files = sorted(Path(sys.argv[1]).glob("*.jpg"))
files = files[:: max(1, len(files) // int(sys.argv[4]))]
def decode(file):
    with Image.open(file) as image:
        image.convert(mode).resize(size, Image.Resampling.BILINEAR).tobytes()
decode(files[0])
start = time.perf_counter()
for file in files:
    decode(file)
print(len(files) / (time.perf_counter() - start))
"""


def main() -> None:
    """Export, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=EXAMPLE)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        model = convscope.export(options.run, out=Path(directory, "model.onnx")).path
        cold(model, Path(directory))
        warm(model)
        if options.images:
            many(model, Path(directory, "pictures"), options.images)


def cold(model: Path, directory: Path) -> None:
    """Fresh processes."""
    picture = directory / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28), dtype=np.uint8)).save(
        picture
    )
    imports = "import numpy, PIL.Image, onnxruntime"
    for label, words in (
        ("Python that does nothing", ["-c", "pass"]),
        (imports, ["-c", imports]),
        ("convscope predict", ["-m", "convscope", "predict", str(model), str(picture)]),
    ):
        seconds = [_seconds([sys.executable, *words]) for _ in range(STARTS)]
        print(
            f"cold: {label}: {statistics.median(seconds):.3f} s "
            f"({min(seconds):.3f} to {max(seconds):.3f}, {STARTS} starts)"
        )


def _seconds(words: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def warm(model: Path) -> None:
    """One decoded image at a time, ours and the runtime's in turn."""
    predictor = convscope.open_predictor(model)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shape = (1, predictor.preprocessing.channels, *predictor.preprocessing.size)
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ours, bare = list[float](), list[float]()
    for _ in range(CALLS):
        ours.append(_call(lambda: predictor.probabilities(image)))
        bare.append(_call(lambda: session.run(["probabilities"], {"pixels": image})))
    median, alone = (statistics.median(times[100:]) * 1e6 for times in (ours, bare))
    print(
        f"warm: {median:,.0f} µs an image, ONNX Runtime alone {alone:,.0f} µs: "
        f"{median / alone:.2f} times (medians of {CALLS - 100:,} calls)"
    )


def _call(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def many(model: Path, folder: Path, count: int) -> None:
    """Thousands of files of mixed sizes."""
    folder.mkdir()
    with ProcessPoolExecutor() as pool:
        total = sum(pool.map(make_picture, [folder] * count, range(count), chunksize=32))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert cores
    print(f"many: {count:,} JPEGs of 64 × 48 to 1280 × 960, {total / 1e6:,.0f} MB; {cores} cores")
    preprocessing = convscope.open_predictor(model).preprocessing
    size, mode = json.dumps(preprocessing.size[::-1]), "L" if preprocessing.channels == 1 else "RGB"
    words = [sys.executable, "-c", _DECODER, str(folder), size, mode, str(SAMPLE)]
    alone = float(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"many: decoder alone {alone:,.0f} images/s in one thread, times {cores}: "
        f"{alone * cores:,.0f}"
    )
    words = [sys.executable, "-m", "convscope", "predict", str(model), str(folder), "--csv"]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(words, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        lines = output.read().count(b"\n") - 1
    assert process.returncode == 0, process.returncode
    assert lines == count, lines
    busy = (usage.ru_utime + usage.ru_stime) / seconds
    print(
        f"many: convscope predict {seconds:.1f} s, {count / seconds:,.0f} images/s, "
        f"{count / seconds / (alone * cores):.0%} of the limit; {busy:.2f} cores busy; peak memory "
        f"{usage.ru_maxrss / 1024:,.0f} MB in one process"
    )


def make_picture(folder: Path, index: int) -> int:
    """A smooth picture with some noise, as JPEG of quality 80; returns its bytes."""
    rng = np.random.default_rng(index)
    width = int(64 * 20 ** rng.random())
    size = (width, width * 3 // 4)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    noise = rng.integers(-24, 25, (size[1], size[0], 3), dtype=np.int8)
    pixels = np.clip(np.asarray(smooth, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
    path = folder / f"{index:06}.jpg"
    Image.fromarray(pixels).save(path, quality=80)
    return path.stat().st_size


if __name__ == "__main__":
    main()
