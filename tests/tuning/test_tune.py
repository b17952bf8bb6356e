"""A search on real digits: killed and continued, pruned, failed, and its report."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import small_recipe
from convscope.data.lock import sole_user
from convscope.errors import InputError
from convscope.events import Event, Stage
from convscope.tuning.report import render_report
from convscope.tuning.space import Choices, Range
from convscope.tuning.study import Search, Study, Trial, importance
from convscope.tuning.tune import tune

WORDS = [
    *("tune", "lenet5", "--data", "mnist-sample", "--trials", "3", "--json"),
    *("--set", "threads=1", "--set", "epochs=3", "--set", "min_steps=0", "--set", "batch_size=200"),
    *("--set", "kernels=off"),  # else each study would measure anew whether they are faster
    *("--vary", "optimizer.lr=1e-4..1e-1:log", "--out", "study"),
]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "convscope", *WORDS],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found(document: dict[str, object]) -> list[object]:
    """The trials without their times."""
    trials = document["trials"]
    assert isinstance(trials, list)
    return [{key: value for key, value in one.items() if key != "seconds"} for one in trials]


@pytest.mark.slow
def test_killed_and_started_again_it_ends_as_undisturbed(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    undisturbed = start(whole)
    process = start(cut)
    while not (cut / "study/trials/1/metrics.jsonl").exists():  # in the midst of the second
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    again = start(cut)
    out, err = again.communicate(timeout=200)
    assert again.returncode == 0, err
    assert "going on with study after 1 trials" in err
    assert "trial 3/3" in err
    expected, _ = undisturbed.communicate(timeout=200)
    assert found(json.loads(out)) == found(json.loads(expected))
    document = json.loads(out)
    assert document["trials"][0]["values"] == {"optimizer.lr": 0.1}  # the recipe as it is
    best = document["best"]
    accuracies = [one["accuracy"] for one in document["trials"] if one["state"] == "complete"]
    assert best["accuracy"] == max(accuracies)
    assert f"optimizer.lr={best['values']['optimizer.lr']:.6g}" in document["command"]
    assert "--set batch_size=200" in document["command"]
    assert not list((cut / "study").rglob("*.safetensors"))
    assert (cut / "study/report.html").is_file()


@pytest.mark.slow
def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    process = start(tmp_path)
    while not (tmp_path / "study/trials/0/run.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err


def test_a_failed_trial_is_kept_and_the_search_goes_on(tmp_path: Path) -> None:
    heard: list[Event] = []
    done = tune(
        small_recipe(epochs=1, batch_size=500),
        trials=2,
        vary=["optimizer.lr=1e6,0.002"],
        out=tmp_path / "study",
        listen=heard.append,
    )
    states = sorted(one.state for one in done.study.trials)
    assert states in (["complete", "failed"], ["complete", "complete"])
    assert done.study.recipe.validation == 0.1  # the recipe had none to judge by
    stages = [event.text for event in heard if isinstance(event, Stage)]
    assert any("trial 2/2" in text for text in stages)
    with pytest.raises(InputError, match="searches with another recipe, other data or ranges"):
        tune(small_recipe(), trials=3, vary=["batch_size=1,2"], out=tmp_path / "study")


@pytest.mark.parametrize("trials", [0, -1, 100_001])
def test_numbers_of_trials(trials: int) -> None:
    with pytest.raises(InputError, match="allowed are 1 to 100,000"):
        tune(trials=trials)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no search and is not empty: give --out"):
        tune(small_recipe(), out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets everybody in")
def test_one_process_searches_at_a_time(tmp_path: Path) -> None:
    with (
        sole_user(tmp_path, "busy"),
        pytest.raises(InputError, match="another process searches in"),
    ):
        tune(small_recipe(), out=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 2}', '{"recipe": 1, "vary": [], "trials": [{}]}']
)
def test_a_damaged_study_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(InputError, match=r"study\.json"):
        tune(small_recipe(), out=tmp_path)


def synthetic(path: Path, n: int = 30) -> Study:
    """Trials whose accuracy depends on x alone, best at x = 0.7; every third was cut short."""
    study = Study(path, small_recipe(), [Range("x", 0.0, 1.0), Choices("y", ("a", "b"))])
    for i in range(n):
        x, y = (0.37 * i) % 1, "ab"[i % 2]
        accuracy = 1 - abs(x - 0.7)
        state = "pruned" if i % 3 == 2 else "complete"
        study.trials.append(
            Trial(
                values={"x": x, "y": y},
                state=state,
                accuracy=accuracy,
                loss=1 - accuracy,
                epochs=[accuracy / 2, accuracy],
                seconds=2.0,
            )
        )
    return study


def test_what_decides_is_found_important(tmp_path: Path) -> None:
    shares = importance(synthetic(tmp_path))
    assert shares["x"] > 0.8
    assert sum(shares.values()) == pytest.approx(1.0)
    assert importance(synthetic(tmp_path, 3)) == {}


def test_the_best_is_a_complete_one(tmp_path: Path) -> None:
    study = synthetic(tmp_path)
    assert study.best is not None
    best = study.trials[study.best]
    complete = [one.accuracy for one in study.trials if one.state == "complete"]
    assert best.state == "complete"
    assert best.accuracy == max(value for value in complete if value is not None)


def test_hopeless_trials_are_cut_short(tmp_path: Path) -> None:
    """After the first epoch the median of the others is known from their numbers."""
    study = synthetic(tmp_path)
    firsts = sorted(one.epochs[0] for one in study.trials if one.state == "complete")
    median = firsts[len(firsts) // 2]
    assert Search(study).hopeless(median - 0.2, 1)
    assert not Search(study).hopeless(median + 0.05, 1)
    assert not Search(synthetic(tmp_path, 2)).hopeless(0.0, 1)  # too early to say


def test_time_left_is_that_of_the_trials_to_come(tmp_path: Path) -> None:
    study = synthetic(tmp_path)
    assert study.seconds_left(40) == 20.0
    assert synthetic(tmp_path, 0).seconds_left(40) is None


def test_the_search_finds_the_better_half(tmp_path: Path) -> None:
    """Suggestions after 30 trials lie nearer to the best x than chance would have them."""
    study = synthetic(tmp_path)
    suggested = []
    for _ in range(10):
        values = Search(study).values
        x = float(values["x"])
        suggested.append(abs(x - 0.7))
        study.trials.append(
            Trial(values=values, state="complete", accuracy=1 - abs(x - 0.7), loss=0.1)
        )
    assert math.fsum(suggested) / 10 < 0.2  # by chance 0.29


def test_hostile_names_are_inert_in_the_report(tmp_path: Path) -> None:
    study = synthetic(tmp_path)
    bad = '<img src=x onerror="alert(1)">\x1b[31m'
    study.recipe = small_recipe(data=bad)
    study.trials[0] = study.trials[0].model_copy(update={"values": {"x": 0.5, "y": bad}})
    page = render_report(study, {"x": 1.0}, f"convscope train --data '{bad}'")
    assert "<img" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_report_without_a_finished_trial(tmp_path: Path) -> None:
    page = render_report(synthetic(tmp_path, 0), {}, "")
    assert "no trial was finished" in page
