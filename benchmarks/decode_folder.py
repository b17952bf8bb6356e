"""How fast a folder of photographs is decoded, and how fast it is there the next time.

    python benchmarks/decode_folder.py [--images 20000] [--size 256]

Makes a folder of JPEGs of about 500 × 375 in a temporary directory, half of them upright, then
measures, each in a process of its own:

- the decoder's own limit: Pillow alone (open, decode, resize) on a sample of the files, in one
  thread; times the cores, that is what no program around it can exceed;
- the first load, which decodes everything into the cache, with the share of the cores it kept
  busy and the most memory it took;
- the second load, which starts from the cache, and a pass over all images in random batches.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = 10
SAMPLE = 400  # images to measure the decoder itself

_DECODER = """
import json, sys, time
from pathlib import Path
from PIL import Image
size = json.loads(sys.argv[2])
files = sorted(Path(sys.argv[1]).rglob("*.jpg"))
files = files[:: max(1, len(files) // int(sys.argv[3]))]
def decode(file):
    with Image.open(file) as image:
        image.convert("RGB").resize(size, Image.Resampling.BILINEAR).tobytes()
decode(files[0])
start = time.perf_counter()
for file in files:
    decode(file)
print(json.dumps({"images/s": len(files) / (time.perf_counter() - start)}))
"""

_LOAD = """
import json, resource, sys, time
start = time.perf_counter()
import numpy as np
from convscope.data.loading import load
size = json.loads(sys.argv[2])
splits = load(sys.argv[1], size=tuple(size), channels=3, cache="always")
seconds = time.perf_counter() - start
images, start = splits.train.images, time.perf_counter()
if len(sys.argv) > 3:
    order = np.random.default_rng(0).permutation(len(images))
    for first in range(0, len(order), 128):
        images[order[first : first + 128]]
own = resource.getrusage(resource.RUSAGE_SELF)
children = resource.getrusage(resource.RUSAGE_CHILDREN)
busy = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
peak = own.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
if sys.platform == "linux":  # where the number above begins with the parent's
    status = open("/proc/self/status").read()
    peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
print(json.dumps({
    "seconds": seconds,
    "busy": busy,
    "cache": splits.train.provenance["cache"],
    "pass": time.perf_counter() - start,
    "peak": peak,
}))
"""


def main() -> None:
    """Make the folder, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=256, help="side of the kept pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory, "photographs")
        total = make_folder(folder, options.images)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert cores
        print(f"{options.images:,} JPEGs of about 500 × 375, {total / 1e6:.0f} MB; {cores} cores")
        size = json.dumps([options.size, options.size])
        environment = os.environ | {"CONVSCOPE_CACHE": str(Path(directory, "cache"))}

        def run(program: str, *words: str) -> dict[str, Any]:
            command = [sys.executable, "-c", program, str(folder), size, *words]
            printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            found: dict[str, Any] = json.loads(printed.stdout)
            return found

        alone = run(_DECODER, str(SAMPLE))["images/s"]
        print(
            f"decoder alone: {alone:,.0f} images/s in one thread, times {cores}: "
            f"{alone * cores:,.0f}"
        )
        first = run(_LOAD)
        speed = options.images / first["seconds"]
        print(
            f"first load: {first['seconds']:.2f} s, {speed:,.0f} images/s, "
            f"{speed / (alone * cores):.0%} of the limit; {first['busy'] / first['seconds']:.2f} "
            f"cores busy; peak memory {first['peak'] / 1e9:.2f} GB"
        )
        second = run(_LOAD, "pass")
        print(
            f"second load: {second['seconds']:.2f} s; a pass over the training images in random "
            f"batches of 128: {second['pass']:.2f} s; peak memory {second['peak'] / 1e9:.2f} GB"
        )


def make_folder(folder: Path, count: int) -> int:
    """Pictures of `CLASSES` classes, as hard to decode as photographs; returns their bytes."""
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        return sum(pool.map(make_picture, [folder] * count, range(count), chunksize=64))


def make_picture(folder: Path, index: int) -> int:
    """A smooth picture with some noise, about 60 kB as JPEG of quality 80; returns its bytes."""
    rng = np.random.default_rng(index)
    size = (500, 375) if index % 2 else (375, 500)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    noise = rng.integers(-24, 25, (size[1], size[0], 3), dtype=np.int8)
    pixels = np.clip(np.asarray(smooth, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
    path = folder / f"class{index % CLASSES}" / f"{index:06}.jpg"
    Image.fromarray(pixels).save(path, quality=80)
    return path.stat().st_size


if __name__ == "__main__":
    main()
