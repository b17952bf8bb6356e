"""Trainings from the page: real processes, their events, stop and resume, and none left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.lab.jobs import Job, Jobs, _event_of
from convscope.lab.runs import Runs
from convscope.run import load_model, open_run
from convscope.web.answers import Refusal
from lab_server import Live, read_frame, serving, tensor
from made_runs import make_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, one of which was trained on a folder of pictures called `dots`."""
    path = tmp_path_factory.mktemp("jobs")
    rng = np.random.default_rng(0)
    for k, name in enumerate(("dark", "light")):
        folder = path / "dots" / name
        folder.mkdir(parents=True)
        for index in range(30):
            pixels = rng.integers(k * 120, k * 120 + 100, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    run = make_run(
        path / "runs" / "first",
        preprocessing=Preprocessing(channels=1, size=(32, 32), mean=(0.5,), std=(0.5,)),
        classes=("dark", "light"),
        source=str(path / "dots"),
    )
    run.with_changes(data=run.document.data.model_copy(update={"name": "dots"}))
    return path / "runs"


@pytest.fixture(scope="module")
def lab(root: Path) -> Iterator[Live]:
    with serving(root) as live:
        yield live


def begin(lab: Live, **request: Any) -> str:
    answer = lab.client.post("/api/train", json={"recipe": "lenet5", "data": "dots"} | request)
    assert answer.status_code == 200, answer.text
    job: str = answer.json()["job"]
    return job


def follow(lab: Live, job: str, until: str, after: int = 0) -> list[dict[str, Any]]:
    """All events up to the first of a kind, each seen once and in order."""
    events: list[dict[str, Any]] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = lab.client.get(f"/api/train/{job}/events", params={"after": after})
        for event in answer.json()["events"]:
            assert event["n"] == after + 1
            after = event["n"]
            events.append(event)
            if event["kind"] == until:
                return events
    raise AssertionError(f"no '{until}' in {events}")


def test_a_module_where_it_was_started_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("typer", "torch", "json"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w')")
    job = Job(tmp_path / "run", "lenet5", "dots", 0)
    job.start(["no-such-recipe"])
    job.wait(60)
    while job.active:
        time.sleep(0.01)
    assert job.status == "failed"
    assert "unknown recipe" in str(job.events)
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_a_training_runs_to_its_end_and_becomes_a_run(lab: Live, root: Path) -> None:
    job = begin(lab, settings=["epochs=2", "min_steps=0"], seed=5)
    events = follow(lab, job, "end")
    assert [event["row"]["epoch"] for event in events if event["kind"] == "epoch"] == [1, 2]
    end = events[-1]
    assert end["status"] == "complete", events
    assert end["error"] is None
    (entry,) = (one for one in lab.client.get("/api/train").json()["jobs"] if one["job"] == job)
    assert (entry["status"], entry["run"], entry["seed"]) == ("complete", end["run"], 5)
    run = lab.client.get(f"/api/runs/{end['run']}").json()
    assert run["classes"] == ["dark", "light"]
    assert run["recipe"]["seed"] == 5
    assert run["results"]["accuracy"] == end["accuracy"]
    assert len(run["metrics"]) == 2
    body, values = read_frame(lab.client.get(f"/api/train/{job}/filters").content)
    weights = load_model(open_run(root / end["run"])).get_submodule("c1").get_parameter("weight")
    assert np.array_equal(tensor(body["tensors"][0], values), weights.detach().numpy())
    mistakes = lab.client.get(f"/api/runs/{end['run']}/mistakes").json()
    assert mistakes["accuracy"] == end["accuracy"]


@pytest.mark.slow
def test_a_training_is_stopped_and_goes_on(lab: Live, root: Path) -> None:
    job = begin(lab, settings=["epochs=4000", "min_steps=0"], seed=1)
    before = follow(lab, job, "epoch")
    second = lab.client.post("/api/train", json={"recipe": "lenet5", "data": "dots"})
    assert second.status_code == 409
    assert "a training is going on" in second.json()["error"]
    assert lab.client.post(f"/api/train/{job}/resume").status_code == 409
    assert lab.client.post(f"/api/train/{job}/stop").json()["status"] in ("stopping", "stopped")
    events = follow(lab, job, "end", before[-1]["n"])
    assert events[-1]["status"] == "stopped"
    run = events[-1]["run"]
    assert (root / run / "checkpoint.safetensors").is_file()
    waiting = lab.client.get(f"/api/runs/{run}")
    assert waiting.status_code == 409
    assert "no trained weights yet" in waiting.json()["error"]
    header, _ = read_frame(lab.client.get(f"/api/train/{job}/filters").content)
    assert header["tensors"][0]["shape"] == [6, 1, 5, 5]
    done = max(e["row"]["epoch"] for e in before + events if e["kind"] == "epoch")

    assert lab.client.post(f"/api/train/{job}/resume").json()["status"] == "running"
    more = follow(lab, job, "epoch", events[-1]["n"])
    assert more[-1]["row"]["epoch"] == done + 1  # each epoch is told once
    lab.client.post(f"/api/train/{job}/stop")
    assert follow(lab, job, "end", more[-1]["n"])[-1]["status"] == "stopped"


@pytest.mark.slow
def test_a_training_that_fails_says_why(lab: Live, root: Path) -> None:
    bad = root.parent / "dots" / "dark" / "bad.png"
    bad.write_text("no image")
    try:
        end = follow(lab, begin(lab), "end")[-1]
    finally:
        bad.unlink()
    assert end["status"] == "failed"
    assert "bad.png" in end["error"]
    assert end["run"] is None


def test_closing_ends_the_process_and_its_children(root: Path) -> None:
    jobs = Jobs(Runs(None, root))
    job = jobs.start({"recipe": "lenet5", "data": "dots", "settings": ["epochs=4000"]})
    process = job._process
    assert process is not None
    jobs.close()
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # it led a group of its own, and nobody is left in it


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "unknown recipe 'None'"),
        ({"recipe": "lenet"}, "unknown recipe 'lenet': did you mean 'lenet5'"),
        ({"recipe": ["lenet5"]}, "unknown recipe"),
        ({"data": "/etc"}, "unknown data set '/etc'"),
        ({"data": "../dots"}, "unknown data set"),
        ({"data": "--help"}, "unknown data set '--help'"),
        ({"data": None}, "unknown data set 'None'"),
        ({"settings": "epochs=1"}, "must be a list of texts"),
        ({"settings": [1]}, "must be a list of texts"),
        ({"settings": ["epochs"]}, "epochs"),
        ({"settings": ["epochs=-1"]}, "epochs"),
        ({"settings": ["--out=/tmp/x"]}, "out"),
        ({"settings": ["data=/etc"]}, "the data are chosen by name"),
        ({"settings": ["epochs=1"] * 51}, "more than 50 settings"),
        ({"settings": ["x" * 3000]}, "too long"),
        ({"seed": -1}, "the seed must be a whole number"),
        ({"seed": "1"}, "the seed must be a whole number"),
        ({"seed": True}, "the seed must be a whole number"),
    ],
)
def test_what_cannot_be_trained_is_said_in_words(
    root: Path, request_: dict[str, Any], words: str
) -> None:
    before = sorted(root.iterdir())
    jobs = Jobs(Runs(None, root))
    base = {} if not request_ else {"recipe": "lenet5", "data": "dots"}
    with pytest.raises(InputError) as error:
        jobs.start(base | request_)
    assert words in str(error.value)
    assert jobs.to_json() == {"jobs": []}
    assert sorted(root.iterdir()) == before


def test_the_page_is_told_what_can_be_trained_on(root: Path) -> None:
    found = {one["name"]: one for one in Jobs(Runs(None, root)).datasets()["datasets"]}
    assert found["dots"]["available"] is True
    assert {"mnist-sample", "shapes", "mnist", "cifar10"} <= set(found)


def test_lines_with_counts_are_progress() -> None:
    assert _event_of("  training 1,200/5,000: 12,000 images/s  loss 0.1  0:10 left") == {
        "kind": "progress",
        "label": "training",
        "done": 1200,
        "total": 5000,
        "text": "training 1,200/5,000: 12,000 images/s  loss 0.1  0:10 left",
    }
    assert _event_of("lenet5 on mnist: 4/5 of it")["kind"] == "line"


def test_an_unknown_training_is_not_found(root: Path) -> None:
    jobs = Jobs(Runs(None, root))
    for call in (jobs.stop, jobs.resume):
        with pytest.raises(Refusal, match="no training 'x'"):
            call("x")


def test_a_process_that_does_not_end_is_ended(tmp_path: Path) -> None:
    job = Job(tmp_path, "r", "d", 0)
    job._process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(60)",
        ],
        text=True,
    )
    job.wait(0.2)
    assert job._process.returncode == -9
