"""Fuzz what loads a stranger's run or ONNX file: no crash, nothing but InputError, no growth.

    python tests/fuzz_loaders.py [--minutes 10] [--seed 0]

Good files are damaged in many ways, opened, and asked for one image if they are taken. Each child
process works for a minute at most, so that a crash of native code is seen and its input kept.
`test_fuzz.py` runs it for some seconds.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import convscope

EXAMPLE_SECONDS = 60.0
NUMBERS = (0, 1, -1, 2, 7, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 10**9, 0.5, 1e308)
TEXTS = ("", "x", "\0", "../../etc/passwd", "/etc/passwd", "é" * 3000, "\x1b[2J", "lenet5")


def main() -> None:
    """Run children until the time is over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.seed, options.child)
        return
    end = time.monotonic() + options.minutes * 60
    total, seed = Counter[str](), options.seed
    while (left := end - time.monotonic()) > 0:
        words = [sys.executable, __file__, "--seed", str(seed)]
        words += ["--child", str(max(1.0, min(EXAMPLE_SECONDS, left)))]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit(f"seed {seed}: exit code {done.returncode}; {done.stdout}")
        found = json.loads(done.stdout)
        growth = found.pop("megabytes")
        total.update(found)
        seed += 1
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(total.items()))
    print(f"{sum(total.values()):,} files in {seed - options.seed} processes: {counts}")
    print(f"the last process grew by {growth} MB; no crash")


def child(seed: int, seconds: float) -> None:
    """Damage, open, ask; print what happened as JSON."""
    from convscope.environment import peak_memory_bytes
    from convscope.errors import InputError
    from convscope.exporting.onnx import export_onnx
    from convscope.predictor import open_predictor
    from convscope.run import open_run

    example = Path(convscope.__file__).parent / "example"
    rng, counts = random.Random(seed), Counter[str]()
    good = b"".join(export_onnx(open_run(example), now="", version="").pieces)
    with tempfile.TemporaryDirectory() as folder:
        place, settled, end = Path(folder), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            kind = rng.choice(("bytes", "fields", "run"))
            damaged = _DAMAGES[kind](rng, good, example, place)
            started, said = time.monotonic(), ""
            try:
                predictor = open_predictor(damaged)
                p = predictor.preprocessing
                if p.channels * p.size[0] * p.size[1] < 2**24:
                    predictor.probabilities(np.zeros((1, p.channels, *p.size), np.uint8))
                counts[f"{kind}: taken"] += 1
            except InputError as error:
                counts[f"{kind}: refused"] += 1
                said = str(error)
            except BaseException:
                kept = Path(tempfile.mkdtemp(), damaged.name)
                (shutil.copytree if damaged.is_dir() else shutil.copy)(damaged, kept)
                print(f"its input is {kept}")
                raise
            assert said.isprintable(), ascii(said)
            assert time.monotonic() - started < 30, f"{damaged} takes for ever"
            if sum(counts.values()) == 100:
                settled = peak_memory_bytes() or 0
        peak = (peak_memory_bytes() or 0) - settled if settled else 0
    print(json.dumps(counts | {"megabytes": peak // 2**20}))


def _bytes(rng: random.Random, good: bytes, example: Path, place: Path) -> Path:
    """An ONNX file with bytes changed, cut, put in or repeated."""
    del example
    data = bytearray(good)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(min(len(data), rng.choice((50, 3000, len(data)))) or 1)
        match rng.randrange(4):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.choice((1, 10, 1000))]
            case 2:
                data[at:at] = rng.randbytes(rng.choice((1, 4, 40)))
            case _:
                data[at:at] = data[at : at + rng.choice((5, 50, 5000))]
    path = place / "bytes.onnx"
    path.write_bytes(data)
    return path


def _fields(rng: random.Random, good: bytes, example: Path, place: Path) -> Path:
    """An ONNX file that is well-formed, with fields changed, left out or exchanged."""
    import onnx

    del example
    model = onnx.load_from_string(good)
    for _ in range(rng.randint(1, 4)):
        nodes, tensors = model.graph.node, model.graph.initializer
        node, tensor = rng.choice(nodes), rng.choice(tensors)
        attributes = [a for one in nodes for a in one.attribute]
        match rng.randrange(8):
            case 0:
                attribute = rng.choice(attributes)
                attribute.i = rng.randint(-5, 5)
            case 1:
                attribute = rng.choice(attributes)
                if attribute.ints:
                    attribute.ints[rng.randrange(len(attribute.ints))] = _number(rng)
            case 2:
                node.op_type = rng.choice(nodes).op_type
            case 3:
                node.input[rng.randrange(len(node.input))] = rng.choice(nodes).output[0]
            case 4:
                if tensor.dims:
                    tensor.dims[rng.randrange(len(tensor.dims))] = _number(rng)
            case 5:
                tensor.raw_data = rng.randbytes(len(tensor.raw_data))
            case 6:
                tensor.data_type = rng.randrange(20)
            case _:
                text = json.loads(model.metadata_props[0].value)
                model.metadata_props[0].value = json.dumps(_changed(rng, text))
    path = place / "fields.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _run(rng: random.Random, good: bytes, example: Path, place: Path) -> Path:
    """A run whose description or weights are changed."""
    del good
    path = place / "run"
    path.mkdir(exist_ok=True)
    weights = bytearray((example / "weights.safetensors").read_bytes())
    document = json.loads((example / "run.json").read_bytes())
    if rng.random() < 0.6:
        for _ in range(rng.randint(1, 3)):
            document = _changed(rng, document)
    else:
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(rng.choice((8, 900, len(weights))))
            weights[at : at + rng.choice((0, 1, 9))] = rng.randbytes(rng.choice((1, 2)))
    (path / "run.json").write_text(json.dumps(document))
    (path / "weights.safetensors").write_bytes(weights)
    return path


_DAMAGES: dict[str, Callable[[random.Random, bytes, Path, Path], Path]] = {
    "bytes": _bytes,
    "fields": _fields,
    "run": _run,
}


def _number(rng: random.Random) -> int:
    return int(rng.choice([n for n in NUMBERS if isinstance(n, int)]))


def _changed(rng: random.Random, value: Any) -> Any:
    """A JSON value with one of its parts, deep inside, replaced or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return value | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    return rng.choice([rng.choice(NUMBERS), rng.choice(TEXTS), None, True, [], {}, [0] * 5])


if __name__ == "__main__":
    main()
