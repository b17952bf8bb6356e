"""Running a study: once each, on worker processes, whatever cuts it short; the same bytes again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_study import SMALL, small_study

import convscope
from convscope.errors import ConvscopeError, InputError
from convscope.events import Event, Work
from convscope.recipes import recipe as recipe_by_name
from convscope.studies.jobs import job_key, read_row, settled
from convscope.studies.page import study_html
from convscope.studies.results import read_results, rows_csv, write_results
from convscope.studies.running import Plan, _best, _data, choose_sources, run_study
from convscope.studies.study import Budget
from convscope.studies.work import do_jobs

TUNED: dict[str, Any] = {"tune": {"values": [0.0001, 0.004]}}


def table(document: dict[str, Any]) -> dict[str, Any]:
    """All but where and when."""
    return {name: value for name, value in document.items() if name != "made"}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The small study with tuned rates, run once by two workers."""
    store = tmp_path_factory.mktemp("studies")
    return store, run_study(small_study(**TUNED), Plan(store=store, workers=2))


def test_only_leftovers_are_removed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    key, gone = "0123456789abcdef" * 2, 999_999_999
    kept = ["thesis-2024", "2023", "a-20240101123456", "m-²", f"{key}-{os.getpid()}", f"{key}-x"]
    for name in (*kept, f"{key}-{gone}"):
        (work / name).mkdir(parents=True)
    do_jobs({}, tmp_path)
    assert sorted(path.name for path in work.iterdir()) == sorted(kept)


@pytest.mark.slow
def test_every_arm_has_every_seed(done: tuple[Path, dict[str, Any]]) -> None:
    store, document = done
    assert [(row["arm"], row["seed"]) for row in document["rows"]] == [
        ("max", 0), ("max", 1), ("average", 0), ("average", 1),
    ]  # fmt: skip
    assert len(list((store / "rows").glob("*.json"))) == 4 + 2 * 2  # and two rates for two arms
    assert list((store / "work").iterdir()) == []
    effect = document["claims"][0]["effects"][0]
    first, second = ([row["measures"]["test_accuracy"] for row in rows] for rows in (
        document["rows"][:2], document["rows"][2:],
    ))  # fmt: skip
    assert effect["effect"] == pytest.approx(sum(first) / 2 - sum(second) / 2)
    assert set(document["tuned"]["values"]) == {"max", "average"}
    assert document["tuned"]["values"]["max"] == 0.004  # ten steps at 0.0001 learn nothing


@pytest.mark.slow
def test_what_is_done_is_not_done_again(done: tuple[Path, dict[str, Any]]) -> None:
    store, document = done
    before = {path: path.stat().st_mtime_ns for path in (store / "rows").iterdir()}
    told: list[Event] = []
    again = run_study(small_study(**TUNED), Plan(store=store), told.append)
    assert table(again) == table(document)
    assert {path: path.stat().st_mtime_ns for path in (store / "rows").iterdir()} == before
    assert {(one.done, one.total) for one in told if isinstance(one, Work)} == {(4, 4)}


@pytest.mark.slow
def test_same_seeds_same_bytes(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Another directory, one worker in place of two."""
    _, document = done
    again = run_study(small_study(**TUNED), Plan(store=tmp_path, workers=1))
    assert table(again) == table(document)
    assert rows_csv(again).encode() == rows_csv(document).encode()


def test_nothing_is_left_to_a_measurement() -> None:
    """The way of computing decides the last bits; what is asked for stays as it is."""
    auto = dict.fromkeys(("precision", "memory_format", "fourier", "kernels"), "auto")
    recipe = settled(recipe_by_name("lenet5").model_copy(update=auto))
    assert "auto" not in [getattr(recipe, name) for name in auto]
    assert settled(recipe.model_copy(update={"kernels": "off"})).kernels == "off"


@pytest.mark.slow
def test_a_study_cut_by_kill_ends_in_the_same_table(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, document = done
    question = tmp_path / "small.json"
    question.write_text(json.dumps({**SMALL, **TUNED}))
    store = tmp_path / "store"
    words = [sys.executable, "-m", "convscope", "study", str(question), "--out", str(store)]
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    wait_for_rows(store, 2)
    os.killpg(process.pid, signal.SIGKILL)  # the workers, too, in the midst of a job
    process.wait()
    kept = len(list((store / "rows").glob("*.json")))
    assert 2 <= kept < 8
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    again = read_results(store / "small.json")
    assert table(again) == json.loads(json.dumps(table(document)))
    assert list((store / "work").iterdir()) == []


def wait_for_rows(store: Path, wanted: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if len(list((store / "rows").glob("*.json"))) >= wanted:
            return
        time.sleep(0.02)
    raise AssertionError("no rows within two minutes")


@pytest.mark.slow
def test_more_seeds_are_added_and_done_alone_trains_none(
    done: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    store, document = done
    copied = tmp_path / "store"
    shutil.copytree(store, copied)
    part = run_study(small_study(**TUNED), Plan(store=copied, seeds=3, train=False))
    assert part["rows"] == document["rows"]
    more = run_study(small_study(**TUNED), Plan(store=copied, seeds=3))
    assert len(more["rows"]) == 6
    assert [row for row in more["rows"] if row["seed"] < 2] == document["rows"]


@pytest.mark.slow
def test_results_are_written_and_read(done: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, document = done
    path = write_results(document, tmp_path)
    assert read_results(path) == json.loads(json.dumps(document))
    lines = path.with_suffix(".csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("arm,seed,accuracy_1,agreement_1,consistency")
    assert len(lines) == 5
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match="holds no results of a study"):
        read_results(tmp_path / "other.json")


@pytest.mark.slow
def test_the_page_says_everything_and_loads_nothing(done: tuple[Path, dict[str, Any]]) -> None:
    _, document = done
    page = study_html(document)
    for words in ("Is max pooling better", "max pooling is better", "not supported", "Every seed"):
        assert words in page
    assert page.count("<svg") >= 2
    assert "http" not in page.replace("http-equiv", "")
    assert 'download="small.csv"' in page


@pytest.mark.slow
def test_hostile_names_are_inert_on_the_page(done: tuple[Path, dict[str, Any]]) -> None:
    _, document = done
    text = json.dumps(document).replace("average", "<script>alert(1)</script>\\u202e")
    page = study_html(json.loads(text))
    assert "<script>alert" not in page
    assert "\u202e" not in page


@pytest.mark.slow
def test_a_training_that_fails_is_told_and_left_out(tmp_path: Path) -> None:
    wild = {
        "optimizer": {"kind": "sgd", "lr": 1e9},
        "model.arguments.activation": {"layer": "activation", "kind": "relu"},
    }
    arms = [{"name": "max"}, {"name": "average", "set": wild}]
    document = run_study(small_study(arms=arms), Plan(store=tmp_path, seeds=1))
    assert [one["arm"] for one in document["failures"]] == ["average"]
    assert "optimizer.lr" in document["failures"][0]["error"]
    assert document["claims"][0]["verdict"] == "not measured"
    assert [row["arm"] for row in document["rows"]] == ["max"]


@pytest.mark.slow
def test_a_job_that_cannot_be_done_stops_the_study(tmp_path: Path) -> None:
    study = small_study(probes=[{"probe": "locate", "layers": {"x": "c9"}}], claims=[])
    with pytest.raises(ConvscopeError, match="the model has no layer 'c9'"):
        run_study(study, Plan(store=tmp_path, seeds=1))


def test_a_key_is_of_what_decides_and_of_nothing_else() -> None:
    study = small_study()
    job: dict[str, Any] = {
        "recipe": study.base(study.quick).model_dump(mode="json"),
        "images": study.images.model_dump(mode="json"),
        "trained": True,
        "probes": [{"probe": "accuracy"}],
        "seed": 0,
    }
    key = job_key(job)
    assert len(key) == 32
    named = {**job, "images": {**job["images"], "source": "mnist-sample"}}
    assert job_key(named) == key  # the same images by another name
    assert job_key({**job, "seed": 1}) != key
    assert job_key({**job, "probes": [{"probe": "noise"}]}) != key
    assert job_key({**job, "images": {**job["images"], "train": 17}}) != key


def test_a_damaged_row_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"key": "other"}')
    assert read_row(tmp_path, "a") is None
    assert read_row(tmp_path, "b") is None
    assert read_row(tmp_path, "c") is None


def test_nothing_to_do_starts_no_process(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    do_jobs({}, tmp_path, told=lambda done, total: told.append((done, total)))
    assert told == [(0, 0)]


def test_data_stand_for_digits_or_pictures() -> None:
    assert choose_sources([]) == {"digits": "mnist-sample", "pictures": "shapes"}
    assert choose_sources(["shapes"])["pictures"] == "shapes"
    with pytest.raises(InputError, match="unknown data set 'mnits'"):
        choose_sources(["mnits"])


def test_the_best_value_is_the_smallest_of_the_equally_good() -> None:
    rows: dict[str, Any] = {
        "a": {"history": [{"train_accuracy": 0.9}, {"train_accuracy": 0.5}]},
        "b": {"history": [{"train_accuracy": 0.7, "validation_accuracy": 0.3}]},
        "c": {"history": [{"train_accuracy": 0.7, "validation_accuracy": 0.4}]},
        "d": {"history": []},  # its training failed
    }
    tried = {("one", 0.1): "a", ("one", 0.2): "b", ("one", 0.3): "c", ("two", 0.1): "d"}
    assert _best(tried, rows, "train_accuracy") == {"one": 0.2}
    assert _best(tried, rows, "validation_accuracy") == {"one": 0.3}
    assert _best({("one", 0.1): "not yet"}, rows, "train_accuracy") == {}


def test_sizes_that_differ_from_arm_to_arm_are_told() -> None:
    arms = [{"name": str(size), "images": {"train": size}} for size in (100, 40, 250)]
    (one,) = _data(small_study(arms=arms, claims=[]), Budget(), Plan())
    assert (one["least_train"], one["train"]) == (40, 250)
    (same,) = _data(small_study(), Budget(train=70), Plan())
    assert same["train"] == 70
    assert "least_train" not in same


def test_the_python_function_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown study 'pooling'"):
        convscope.study("pooling", out=tmp_path)
    with pytest.raises(InputError, match="one study at a time"):
        convscope.study("all", out=tmp_path)
    with pytest.raises(InputError, match="unknown budget 'slow'"):
        convscope.study("pooling-cost", budget="slow", out=tmp_path)


@pytest.mark.slow
def test_counted_studies_need_no_training(tmp_path: Path) -> None:
    found = convscope.study("padding-sizes", out=tmp_path)
    verdicts = {claim["id"]: claim["verdict"] for claim in found["claims"]}
    assert verdicts["same-keeps"] == "supported"
    assert verdicts["zero-padding-grows"] == "depends"
    assert (tmp_path / "padding-sizes.json").exists()
