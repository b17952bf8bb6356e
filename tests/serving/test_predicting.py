"""`POST /predict`: the same answers as `predict`, in batches, within bounds, and in words."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import convscope
from convscope.data.preprocess import Preprocessing
from convscope.predictor import open_predictor
from convscope.serving.endpoints import guesses as best
from convscope.serving.metrics import Metrics
from convscope.serving.pipeline import Pipeline
from convscope.web.answers import Refusal
from hostile_images import encode, pixels
from hostile_names import NAMES
from live_server import PNG, Live, guesses, read_metrics, serving, wait_for
from made_runs import make_run

COLOUR = Preprocessing(
    channels=3,
    size=(40, 30),
    aspect="cover",
    resize=(32, 32),
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "digits").path


@pytest.fixture(scope="module")
def onnx(run: Path) -> Path:
    return convscope.export(run).path


@pytest.fixture(scope="module")
def live(run: Path) -> Iterator[Live]:
    with serving(run) as live:
        yield live


def files(count: int) -> list[bytes]:
    """Different pictures of several sizes, modes and formats."""
    kinds = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
    return [
        encode(pixels(i, 20 + i % 17, 24 + i % 11, 1 + 2 * (i % 2)), kinds[i % len(kinds)])
        for i in range(count)
    ]


def predicted(model: Path, bodies: list[bytes], folder: Path) -> list[dict[str, float]]:
    """What `convscope.predict` says of the same files."""
    paths = []
    for number, body in enumerate(bodies):
        paths.append(folder / f"{number:03}.png")
        paths[-1].write_bytes(body)
    found = list(convscope.predict(model, paths, top=10))
    assert not [one.error for one in found if one.error]
    return [{guess.name: guess.probability for guess in one.guesses} for one in found]


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_the_answers_are_those_of_predict(kind: str, run: Path, onnx: Path, tmp_path: Path) -> None:
    """Forty clients at once, in whatever batches: each gets its own picture's answer."""
    model = run if kind == "run" else onnx
    bodies = files(40)
    expected = predicted(run, bodies, tmp_path)
    with serving(model, networks=2) as live, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda body: guesses(live.predict(body, top=10)), bodies))
        counts = read_metrics(live.client.get("/metrics").text)
    for one, wanted in zip(found, expected, strict=True):
        assert list(one) == list(wanted)
        assert list(one.values()) == pytest.approx(list(wanted.values()), abs=1e-5)
    assert counts["convscope_batch_size_sum"] == 40


def test_top_says_how_many(live: Live) -> None:
    body = files(1)[0]
    whole = guesses(live.predict(body, top=100_000))
    assert len(whole) == 10
    assert sum(whole.values()) == pytest.approx(1, abs=1e-5)
    assert list(whole.values()) == sorted(whole.values(), reverse=True)
    assert list(guesses(live.predict(body))) == list(whole)[:3]
    assert list(guesses(live.predict(body, top=1))) == list(whole)[:1]


@pytest.mark.parametrize(
    "top", ["0", "-1", "100001", "x", "", "1e1", "٣", "1.0", "\x00", "9" * 900]
)
def test_a_top_that_is_none(live: Live, top: str) -> None:
    answer = live.predict(files(1)[0], top=top)
    assert answer.status_code == 400
    assert "allowed: 1 to 100000" in answer.json()["error"]
    assert answer.json()["error"].isprintable()


@pytest.mark.parametrize("query", ["topp=1", "top=1&top=2", "=", "token=x", "Top=1", "top[]=1"])
def test_a_misspelt_parameter_is_not_ignored(live: Live, query: str) -> None:
    answer = live.client.post(f"/predict?{query}", content=files(1)[0], headers=PNG)
    assert answer.status_code == 400
    assert "allowed: top, once" in answer.json()["error"]


def test_equal_probabilities_stand_in_the_order_of_the_classes() -> None:
    row = np.array([0.25, 0.5, 0.25], np.float32)
    assert [guess["name"] for guess in best(row, ("a", "b", "c"), 3)] == ["b", "a", "c"]


@pytest.mark.parametrize(
    "kind", [None, "", "text/plain", "application/octet-stream", "multipart/form-data", "imagepng"]
)
def test_what_is_not_declared_as_an_image_is_refused_with_the_way(
    live: Live, kind: str | None
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = live.client.post("/predict", content=files(1)[0], headers=headers)
    assert answer.status_code == 415
    assert "-H 'Content-Type: image/png'" in answer.json()["error"]


def test_the_bytes_count_not_the_declared_kind(live: Live) -> None:
    answer = live.client.post(
        "/predict", content=files(2)[1], headers={"Content-Type": "IMAGE/x-whatever; a=b"}
    )
    assert answer.status_code == 200


def test_hostile_class_names_are_ascii_json(tmp_path: Path) -> None:
    make_run(tmp_path / "run", classes=NAMES)
    with serving(tmp_path / "run") as live:
        answer = live.predict(files(1)[0], top=1000)
        assert answer.content.isascii()
        assert {guess["name"] for guess in answer.json()["guesses"]} == set(NAMES)
        model = live.client.get("/model")
        assert model.content.isascii()
        assert tuple(model.json()["classes"]) == NAMES


def test_what_the_model_is(live: Live, tmp_path: Path) -> None:
    assert live.client.get("/model").json() == {
        "model": "lenet5",
        "classes": list("0123456789"),
        "picture": {"channels": 1, "height": 28, "width": 28},
        "accuracy": None,
    }
    example = Path(convscope.__file__).parent / "example"
    results = json.loads((example / "results.json").read_text())
    wanted = {
        "accuracy": results["accuracy"],
        "interval": results["accuracy_interval"],
        "n": results["n"],
        "dataset": results["dataset"],
    }
    (tmp_path / "onnx").mkdir()
    file = convscope.export(example, out=tmp_path / "onnx" / "model.onnx").path
    for model in (example, file):
        with serving(model) as other:
            assert other.client.get("/model").json()["accuracy"] == wanted


def test_the_example_is_a_picture_that_is_answered(live: Live, tmp_path: Path) -> None:
    make_run(tmp_path / "run", preprocessing=COLOUR, classes=("cat", "dog"))
    with serving(tmp_path / "run") as colour:
        for server in (live, colour):
            picture = server.client.get("/example.png")
            assert picture.headers["content-type"] == "image/png"
            assert server.predict(picture.content).status_code == 200


# ── batches and bounds ──────────────────────────────────────────────────────────────────────


class Held:
    """A real predictor whose network waits until it is let go, and notes its batches."""

    def __init__(self, path: Path) -> None:
        self._predictor = open_predictor(path, threads=1)
        self.go, self.sizes = threading.Event(), list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def probabilities(self, images: Any) -> Any:
        self.sizes.append(len(images))
        assert self.go.wait(20)
        return self._predictor.probabilities(images)


def pipeline(held: Held, **settings: Any) -> Pipeline:
    return Pipeline(held, Metrics(), **settings)


async def until(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come to pass")


def test_what_comes_meanwhile_is_one_batch(run: Path) -> None:
    """One alone is not waited for; six that come while it is computed go together, at most four."""
    held = Held(run)
    line = pipeline(held, batch=4, gather_seconds=0.5)

    async def main() -> None:
        first = asyncio.create_task(line.classify(files(1)[0]))
        await until(lambda: held.sizes == [1])
        others = [asyncio.create_task(line.classify(body)) for body in files(6)]
        await asyncio.sleep(0.3)
        held.go.set()
        rows = await asyncio.gather(first, *others)
        assert all(row.shape == (10,) for row in rows)

    asyncio.run(main())
    line.close()
    assert held.sizes == [1, 4, 2]


def test_two_networks_compute_at_once(run: Path) -> None:
    held = Held(run)
    line = pipeline(held, networks=2, gather_seconds=0)

    async def main() -> None:
        first = asyncio.create_task(line.classify(files(1)[0]))
        await until(lambda: held.sizes == [1])
        second = asyncio.create_task(line.classify(files(1)[0]))
        await until(lambda: held.sizes == [1, 1])
        held.go.set()
        await asyncio.gather(first, second)

    asyncio.run(main())
    line.close()


def test_who_comes_when_the_queue_is_full_is_told_to_come_again(run: Path) -> None:
    held = Held(run)
    line = pipeline(held, most_waiting=3)

    async def main() -> None:
        waiting = [asyncio.create_task(line.classify(body)) for body in files(3)]
        await until(lambda: line.metrics.queue_depth() == 3)
        with pytest.raises(Refusal, match="3 pictures wait already: try again") as refused:
            await line.classify(files(1)[0])
        assert (refused.value.status, refused.value.headers) == (503, {"retry-after": "1"})
        held.go.set()
        await asyncio.gather(*waiting)
        await line.classify(files(1)[0])
        assert line.metrics.queue_depth() == 0

    asyncio.run(main())
    line.close()


def test_who_waits_too_long_is_told_and_not_computed_any_more(run: Path) -> None:
    held = Held(run)
    line = pipeline(held, batch=1, answer_seconds=0.2)

    async def main() -> None:
        with pytest.raises(Refusal, match=r"no answer within 0\.2 s: try again") as refused:
            await asyncio.gather(*(line.classify(body) for body in files(5)))
        assert refused.value.status == 503
        await until(lambda: line.metrics.queue_depth() == 0)
        held.go.set()
        await line.classify(files(1)[0])

    asyncio.run(main())
    line.close()
    assert len(held.sizes) <= 2


def test_a_mistake_of_ours_is_a_500_and_the_threads_live_on(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(run) as live:
        predictor = live.pipeline.predictor
        kept = type(predictor).probabilities

        def fail(*_: object) -> None:
            raise RuntimeError("a secret of the inside")

        for name in ("probabilities", "read"):
            with monkeypatch.context() as patch:
                patch.setattr(type(predictor), name, fail)
                answer = live.predict(files(1)[0])
            assert answer.status_code == 500
            assert "made a mistake" in answer.json()["error"]
            assert "secret" not in answer.text
        assert type(predictor).probabilities is kept
        assert live.predict(files(1)[0]).status_code == 200


def test_pictures_that_need_more_memory_go_in_smaller_batches(tmp_path: Path) -> None:
    """2²⁶ bytes of pixels together: four pictures of 4096 × 1024 × 3."""
    large = Preprocessing(
        channels=3, size=(4096, 1024), resize=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3
    )
    make_run(tmp_path / "run", preprocessing=large)
    line = Pipeline(open_predictor(tmp_path / "run"), Metrics())
    line.close()
    assert line.batch == min(5, line.predictor.largest_batch)


# ── what is counted ─────────────────────────────────────────────────────────────────────────


def test_counts_and_lines(run: Path) -> None:
    lines: list[dict[str, Any]] = []
    with serving(run, log=lines.append) as live:
        assert live.predict(files(1)[0]).status_code == 200
        assert live.predict(b"none").status_code == 422
        for path in ("/nothing%1b[2J", "/healthz", "/predict"):
            live.client.get(path, params={"token": "secret"})
        httpx.get(f"{live.url}/", headers={"Host": "evil.example"}, trust_env=False)
        answer = live.client.get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        counts = read_metrics(answer.text)
    name = 'convscope_requests_total{path="%s",status="%d"}'
    assert {key: value for key, value in counts.items() if "requests_total" in key} == {
        name % ("/predict", 200): 1,
        name % ("/predict", 422): 1,
        name % ("/predict", 405): 1,
        name % ("/healthz", 200): 1,
        name % ("/", 421): 1,
        name % ("other", 404): 1,
    }
    assert counts["convscope_batch_size_count"] == 1
    assert counts["convscope_predict_seconds_count"] == 3
    assert counts['convscope_predict_seconds_bucket{le="+Inf"}'] == 3
    assert counts["convscope_queue_depth"] == 0
    assert 10 * 2**20 < counts["convscope_resident_memory_bytes"] < 2**36
    assert [(line["path"], line["status"]) for line in lines[:3]] == [
        ("/predict", 200),
        ("/predict", 422),
        (r"/nothing\x1b[2J", 404),
    ]
    assert "secret" not in json.dumps(lines)
    assert {line["client"] for line in lines} == {"127.0.0.1"}


def test_ready_until_the_end_begins(run: Path) -> None:
    with serving(run, linger_seconds=3) as live:
        assert live.client.get("/readyz").json() == {"status": "ready"}
        live.process.should_exit = True
        wait_for(lambda: live.process._closing.is_set())
        answer = live.client.get("/readyz")  # on the connection that was kept
        assert answer.status_code == 503
        assert answer.headers["connection"] == "close"
        with pytest.raises(httpx.ConnectError):
            live.client.get("/readyz")
