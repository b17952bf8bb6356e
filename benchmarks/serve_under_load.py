"""The server under load, on loopback: how much, how fast, and whether every answer is right.

    python benchmarks/serve_under_load.py throughput [MODEL] [--seconds 60] [--photos]
    python benchmarks/serve_under_load.py mixed [MODEL] [--requests 10000]
    python benchmarks/serve_under_load.py stop [MODEL] [--seconds 5]

MODEL is a run or an exported .onnx file (the packaged LeNet-5 where none is named). Each starts
`convscope serve` on it, asks from 32 connections, and ends it.

throughput: pictures/s and the 50th and 99th percentile of the time to an answer, beside what the
    same cores can do at most: the bare network on full batches (before the load and after it,
    their mean), the decoder on all cores, and HTTP
    alone (requests that are refused before they are decoded). The load generator runs on the same
    cores and is included.
mixed: a tenth of the requests are hostile or broken. Every good one must be answered as `predict`
    answers, every bad one by a status from 400 to 499, and memory must stay flat.
stop: SIGTERM in the middle of a load; no request that was taken may go without its answer.

Ends with exit code 1 where something is wrong.
"""

import argparse
import asyncio
import itertools
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convscope.environment import available_cores
from convscope.predictor import EXAMPLE, Predictor, open_predictor
from convscope.serving.metrics import resident_bytes
from http_load import Answer, Load, Request, load, post

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the hostile files are made there, for every door

from hostile_images import encode, hostile_files  # noqa: E402

PICTURES = 200
TOLERANCE = 1e-5
"""Batches of other sizes round differently."""
MORE_MEMORY = 48 * 2**20
"""That a server may have more after the load than after its first tenth."""


@dataclass(frozen=True)
class Server:
    """A server that runs in a process of its own."""

    process: "subprocess.Popen[str]"
    port: int


def main() -> None:
    """Run one of the three."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["throughput", "mixed", "stop"])
    parser.add_argument("model", type=Path, nargs="?", default=EXAMPLE)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1, help="of one batch, in the server")
    parser.add_argument("--photos", action="store_true", help="JPEGs of 640 × 480 pixels")
    options = parser.parse_args()
    if options.requests > 100_000:
        sys.exit("allowed: up to 100,000 requests")
    run = {"throughput": throughput, "mixed": mixed, "stop": stop}[options.what]
    sys.exit(0 if run(options) else 1)


# ── how much ────────────────────────────────────────────────────────────────────────────────


def throughput(options: argparse.Namespace) -> bool:
    """Pictures/s, percentiles, and which limit is the nearest."""
    predictor = open_predictor(options.model, threads=1)
    files = pictures(predictor, photos=options.photos)
    kind = "image/jpeg" if options.photos else "image/png"
    share = min(3.0, options.seconds / 4)
    limits = {
        "network": network_speed(options.model, share),
        "decoder": decoder_speed(predictor, files, share),
    }
    with served(options.model, options.threads) as server:
        refused = itertools.cycle(
            Request(post(data, server.port, path="/predict?top=0", kind=kind)) for data in files
        )
        asked = itertools.cycle(Request(post(data, server.port, kind=kind)) for data in files)
        http = ask(server, refused.__next__, options.connections, share)
        limits["http"] = len(http.answers) / http.seconds
        ask(server, asked.__next__, options.connections, min(1.0, share))  # warm
        before = time.process_time()
        found = ask(server, asked.__next__, options.connections, options.seconds)
        own = (time.process_time() - before) / found.seconds
        sizes = batch_sizes(server.port)
    again = network_speed(options.model, share)  # other programs on the machine come and go
    limits["network"] = (limits["network"] + again) / 2
    speed = len(found.answers) / found.seconds
    times = sorted(answer.seconds for answer in found.answers)
    late = statistics.quantiles(times, n=100)
    together = 1 / sum(1 / limit for limit in limits.values())
    nearest = min(limits, key=limits.__getitem__)
    print(
        f"{len(found.answers):,} requests in {found.seconds:.1f} s from {options.connections} "
        f"connections, {available_cores()} cores, {np.mean([len(data) for data in files]):,.0f} "
        "bytes a picture\n"
        f"server    {speed:10,.0f} pictures/s, {late[49] * 1000:.1f} ms (50th percentile), "
        f"{late[98] * 1000:.1f} ms (99th), {sizes:.1f} pictures a batch"
    )
    for name, limit in limits.items():
        print(f"{name:8}  {limit:10,.0f} /s alone: the server has {speed / limit:.0%} of it")
    print(
        f"together  {together:10,.0f} /s, were all three done one after the other on all cores; "
        f"the nearest limit is {nearest}; the load generator took {own:.0%} of a core"
    )
    return report_wrong(found, lambda answer: answer.status == 200)


def network_speed(model: Path, seconds: float) -> float:
    """Images/s of the bare network on full batches: a batch a core, or all cores on one batch,
    whichever is faster here."""
    cores = available_cores()
    return max(
        batched_speed(open_predictor(model, threads=1), cores, seconds),
        batched_speed(open_predictor(model, threads=cores), 1, seconds),
    )


def batched_speed(predictor: Predictor, at_once: int, seconds: float) -> float:
    """Images/s of so many threads that each classify full batches."""
    how = predictor.preprocessing
    size = min(64, predictor.largest_batch)
    images = np.random.default_rng(0).integers(
        0, 256, (size, how.channels, *how.size), dtype=np.uint8
    )
    predictor.probabilities(images)
    return in_threads(at_once, seconds, lambda: len(predictor.probabilities(images)))


def in_threads(count: int, seconds: float, work: Callable[[], int]) -> float:
    """How much is done in a second when so many threads work at once."""
    started = time.perf_counter()

    def run(_: int) -> int:
        done = 0
        while time.perf_counter() - started < seconds:
            done += work()
        return done

    with ThreadPoolExecutor(count) as pool:
        done = sum(pool.map(run, range(count)))
    return done / (time.perf_counter() - started)


def decoder_speed(predictor: Predictor, files: list[bytes], seconds: float) -> float:
    """Pictures/s of the decoder in as many threads as there are cores."""
    following = itertools.cycle(files)

    def work() -> int:
        predictor.read(next(following))
        return 1

    return in_threads(available_cores(), seconds, work)


def batch_sizes(port: int) -> float:
    """The mean number of pictures in a batch, by the server's own count."""
    import urllib.request

    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return float(values["convscope_batch_size_sum"]) / float(values["convscope_batch_size_count"])


# ── whether it is right ─────────────────────────────────────────────────────────────────────


def mixed(options: argparse.Namespace) -> bool:
    """Good requests and bad ones, mixed."""
    predictor = open_predictor(options.model, threads=1)
    files = pictures(predictor, photos=options.photos)
    kind = "image/jpeg" if options.photos else "image/png"
    expected = expectations(predictor, files)
    draw = random.Random(0)
    with served(options.model, options.threads) as server:
        good = [
            Request(post(f, server.port, kind=kind), e)
            for f, e in zip(files, expected, strict=True)
        ]
        bad = [Request(data, name) for name, data in bad_requests(server.port)]
        order = [
            draw.choice(bad) if number % 10 == 9 else draw.choice(good)
            for number in range(options.requests)
        ]
        first, rest = order[: len(order) // 10], order[len(order) // 10 :]
        found = ask_all(server, first, options)
        before = resident_bytes(server.process.pid)
        found.answers += ask_all(server, rest, options).answers
        after = resident_bytes(server.process.pid)
        alive = server.process.poll() is None
    assert before is not None
    assert after is not None
    kinds = Counter(
        answer.status for answer in found.answers if isinstance(answer.request.note, str)
    )
    print(
        f"{len(found.answers):,} requests, {sum(kinds.values()):,} of them bad in {len(bad)} ways: "
        + ", ".join(f"{count} × {status}" for status, count in sorted(kinds.items()))
        + f"\nresident memory {before / 2**20:.0f} MB after a tenth of them, "
        f"{after / 2**20:.0f} MB after all"
    )
    right = report_wrong(found, is_right)
    flat = after - before < MORE_MEMORY
    if not flat or not alive or len(found.answers) != options.requests:
        print(f"wrong: memory flat {flat}, server alive {alive}, answers {len(found.answers):,}")
        return False
    return right


def expectations(predictor: Predictor, files: list[bytes]) -> list[dict[str, float]]:
    """The probability of each class, for each file, as `predict` works it out."""
    images = np.stack([predictor.read(data) for data in files])
    size = min(64, predictor.largest_batch)
    parts = [predictor.probabilities(images[i : i + size]) for i in range(0, len(images), size)]
    return [
        dict(zip(predictor.classes, map(float, row), strict=True)) for row in np.concatenate(parts)
    ]


def is_right(answer: Answer) -> bool:
    """Whether a bad request was refused, or a good one answered as expected."""
    expected = answer.request.note
    if isinstance(expected, str):
        return 400 <= answer.status < 500
    if answer.status != 200:
        return False
    assert isinstance(expected, dict)
    guesses = json.loads(answer.body)["guesses"]
    best = sorted(expected.values(), reverse=True)[: len(guesses)]
    return len(guesses) == min(3, len(expected)) and all(
        abs(guess["probability"] - expected[guess["name"]]) < TOLERANCE
        and abs(guess["probability"] - value) < TOLERANCE
        for guess, value in zip(guesses, best, strict=True)
    )


def bad_requests(port: int) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of requests that must be refused."""
    for name, (data, _) in hostile_files().items():
        yield name, post(data, port)
    good = encode(np.zeros((8, 8, 3), np.uint8))
    yield "no type", post(good, port, kind="")
    yield "form", post(good, port, kind="application/x-www-form-urlencoded")
    yield "too large", post(b"\0" * (17 * 2**20), port)
    yield "other host", post(good, port, host="evil.example")
    yield "other origin", post(good, port, more="Origin: http://evil.example\r\n")
    yield "other site", post(good, port, more="Sec-Fetch-Site: cross-site\r\n")
    yield "top 0", post(good, port, path="/predict?top=0")
    yield "top of text", post(good, port, path="/predict?top=%00%F0")
    yield "nowhere", post(good, port, path="/../../etc/passwd")
    yield "other method", post(good, port, method="DELETE")
    yield "no method", b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3\r\n\r\n"
    yield "no head", b"GET\r\n\r\n"
    yield "two lengths", post(good, port, more="Content-Length: 5\r\n")
    yield (
        "no chunks",
        (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: image/png\r\n"
            "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"
        ).encode(),
    )
    yield "long head", post(good, port, more=f"X: {'y' * 600_000}\r\n")


# ── the end ─────────────────────────────────────────────────────────────────────────────────


def stop(options: argparse.Namespace) -> bool:
    """SIGTERM in the middle of a load."""
    predictor = open_predictor(options.model, threads=1)
    files = pictures(predictor, photos=options.photos)
    kind = "image/jpeg" if options.photos else "image/png"
    seconds = min(options.seconds, 60.0)
    with served(options.model, options.threads) as server:
        asked = itertools.cycle(Request(post(data, server.port, kind=kind)) for data in files)

        async def both() -> Load:
            loop = asyncio.get_running_loop()
            loop.call_later(seconds / 2, server.process.send_signal, signal.SIGTERM)
            return await load(
                server.port, asked.__next__, connections=options.connections, seconds=seconds + 10
            )

        found = asyncio.run(both())
        ended = time.perf_counter()
        code = server.process.wait(60)
        waited = time.perf_counter() - ended
    print(
        f"{len(found.answers):,} requests, {found.count(200):,} answered, {found.count(0):,} lost; "
        f"exit code {code}, {waited:.1f} s after the last answer"
    )
    return (
        code == -signal.SIGTERM
        and found.refused
        and report_wrong(found, lambda answer: answer.status == 200)
    )


# ── what they share ─────────────────────────────────────────────────────────────────────────


def pictures(predictor: Predictor, *, photos: bool) -> list[bytes]:
    """Files of different pictures: of the network's own size, or as a camera makes them."""
    draw = np.random.default_rng(0)
    how = predictor.preprocessing
    height, width = (480, 640) if photos else how.size
    channels = 3 if photos else how.channels
    files = []
    for _ in range(PICTURES):
        coarse = draw.integers(0, 256, (8, 8, channels), dtype=np.uint8)
        pixels = coarse.repeat(-(-height // 8), 0).repeat(-(-width // 8), 1)[:height, :width]
        noise = draw.integers(0, 8, pixels.shape, dtype=np.uint8)
        files.append(encode(np.maximum(pixels, noise), "JPEG" if photos else "PNG"))
    return files


@contextmanager
def served(model: Path, threads: int) -> Iterator[Server]:
    """A server on a free port."""
    words = [sys.executable, "-m", "convscope", "serve", str(model), "--port", "0"]
    words += ["--threads", str(threads)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            sys.exit("the server did not start")
        yield Server(process, int(line.split("http://")[1].split("/")[0].rpartition(":")[2]))
    finally:
        process.terminate()
        process.wait(60)


def ask(
    server: Server, take: Callable[[], Request | None], connections: int, seconds: float
) -> Load:
    return asyncio.run(load(server.port, take, connections=connections, seconds=seconds))


def ask_all(server: Server, requests: list[Request], options: argparse.Namespace) -> Load:
    following = iter(requests)
    return ask(server, lambda: next(following, None), options.connections, 600)


def report_wrong(found: Load, is_as_it_should: Callable[[Answer], bool]) -> bool:
    """Print some of the answers that are not as they should be; whether there are none."""
    wrong: list[Any] = [answer for answer in found.answers if not is_as_it_should(answer)]
    print(f"wrong answers: {len(wrong):,}")
    for answer in wrong[:10]:
        print(f"  {answer.status} {answer.body[:200]!r} to {str(answer.request.note)[:80]}")
    return not wrong


if __name__ == "__main__":
    main()
