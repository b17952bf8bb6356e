import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import small_recipe
from convscope.comparison import compare, read_results
from convscope.data.preprocess import Preprocessing
from convscope.documents import to_json_bytes
from convscope.errors import InputError
from convscope.evaluation.metrics import evaluate_predictions, mcnemar
from convscope.printing import print_comparison
from convscope.run import DataReference, ModelReference, Run, RunDocument, write_run
from hostile_names import NAMES

Make = Callable[..., Run]
N = 20


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """A function that makes an evaluated run: which of 20 images it gets wrong, its settings."""

    def make(
        name: str,
        wrong: tuple[int, ...] = (),
        *,
        images: str = "a" * 64,
        recipe: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
    ) -> Run:
        path = tmp_path / name
        path.mkdir()
        document = RunDocument(
            status="complete",
            created="2026-01-01T00:00:00+00:00",
            convscope="test",
            model=ModelReference(name="lenet5", arguments={"classes": 2}),
            preprocessing=Preprocessing(channels=1, size=(32, 32), mean=(0.0,), std=(1.0,)),
            classes=("cat", "dog"),
            recipe=small_recipe().model_dump(mode="json") if recipe is None else recipe,
            data=DataReference(name="pets", source="pets"),
            training={"seconds": 2.5} if training is None else training,
        )
        labels = np.arange(N) % 2
        said = np.array([label ^ (i in wrong) for i, label in enumerate(labels)])
        scores = np.log(np.where(said[:, None] == np.arange(2), 0.75, 0.25))
        result = evaluate_predictions(
            scores, labels, ("cat", "dog"), dataset="pets", split="test", files=()
        )
        result = replace(result, wrong=wrong, images_sha256=images)
        (path / "results.json").write_bytes(to_json_bytes(result.to_json()))
        return write_run(path, document)

    return make


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (1, 1, 1.0),
        (0, 5, 2 / 32),
        (1, 5, 2 * (1 + 6) / 64),
        (2, 5, 2 * (1 + 7 + 21) / 128),
        (3, 3, 1.0),
        (0, 1200, 0.0),
    ],
)
def test_mcnemar_by_hand(first: int, second: int, p: float) -> None:
    """Twice the chance that at most `fewer` of n fair coins fall on the rarer side."""
    assert mcnemar(first, second) == pytest.approx(p, abs=1e-300)
    assert mcnemar(second, first) == mcnemar(first, second)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_sum_of_binomial_chances(first: int, second: int) -> None:
    n, fewer = first + second, min(first, second)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    expected = min(1.0, 2 * math.fsum(map(math.exp, logs)))
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_takes_large_counts() -> None:
    assert mcnemar(20_000, 20_000) == 1.0
    z = (10_090 - 9_780 - 1) / math.sqrt(19_870)  # the normal curve, corrected for continuity
    assert mcnemar(9_780, 10_090) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_runs_stand_side_by_side(make_run: Make) -> None:
    first = make_run("a", wrong=(0, 1, 2, 3, 4, 5))
    second = make_run("b", wrong=(5,), training={"seconds": 7})
    found = compare([first.path, str(second.path)])
    assert [run.path for run in found.runs] == [str(first.path), str(second.path)]
    assert [run.accuracy for run in found.runs] == [14 / 20, 19 / 20]
    assert [run.seconds for run in found.runs] == [2.5, 7.0]
    assert [run.n for run in found.runs] == [N, N]
    assert {run.model for run in found.runs} == {"lenet5"}
    assert found.differing == ()
    first_p, second_p = (run.p_value for run in found.runs)
    assert first_p is None, "the first is compared with nothing"
    assert second_p == mcnemar(0, 5) == 2 / 32
    for run in found.runs:
        low, high = run.accuracy_interval
        assert low < run.accuracy < high
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["runs"][1]["p_value"] == 2 / 32


def test_the_p_value_counts_the_images_that_one_alone_gets_right(make_run: Make) -> None:
    """Wrong in the first alone: 0, 1, 2; in the second alone: 9; in both: 5."""
    found = compare([make_run("a", wrong=(0, 1, 2, 5)), make_run("b", wrong=(5, 9))])
    assert found.runs[1].p_value == mcnemar(1, 3) == 10 / 16


def test_each_is_compared_with_the_first(make_run: Make) -> None:
    found = compare([make_run("a"), make_run("b", wrong=(1, 2)), make_run("c", wrong=(1, 2, 3))])
    assert [run.p_value for run in found.runs] == [None, mcnemar(2, 0), mcnemar(3, 0)]


@pytest.mark.parametrize(("first", "second"), [("a" * 64, "b" * 64), ("", ""), ("a" * 64, "")])
def test_there_is_no_p_value_without_the_same_images(
    make_run: Make, first: str, second: str
) -> None:
    found = compare([make_run("a", images=first), make_run("b", (1, 2), images=second)])
    assert [run.p_value for run in found.runs] == [None, None]


def test_settings_that_differ_are_named(make_run: Make) -> None:
    one = small_recipe(name="one", seed=1, optimizer={"lr": 0.5}, data="x" * 70 + "a")
    two = small_recipe(name="two", seed=2, optimizer={"lr": 0.25}, data="x" * 70 + "b")
    dumps = [recipe.model_dump(mode="json") for recipe in (one, two)]
    dumps[1]["model"]["arguments"] = {"pool": {"kind": "average"}}
    found = compare([make_run(name, recipe=dump) for name, dump in zip("ab", dumps, strict=True)])
    assert found.differing == ("data", "model.arguments.pool.kind", "optimizer.lr", "seed")
    first, second = (run.settings for run in found.runs)
    shown = "x" * 59 + "…"
    assert first == {
        "data": shown,
        "model.arguments.pool.kind": "",
        "optimizer.lr": "0.5",
        "seed": "1",
    }
    assert second == {
        "data": shown,
        "model.arguments.pool.kind": "average",
        "optimizer.lr": "0.25",
        "seed": "2",
    }


@pytest.mark.parametrize("count", [0, 1])
def test_one_run_is_nothing_to_compare(make_run: Make, count: int) -> None:
    runs = [make_run(str(i)) for i in range(count)]
    with pytest.raises(InputError, match=f"compare needs two or more runs; received {count}"):
        compare(runs)


def test_a_run_that_is_not_evaluated_says_how(make_run: Make) -> None:
    runs = [make_run("a"), make_run("b")]
    (runs[1].path / "results.json").unlink()
    with pytest.raises(InputError, match=r"b is not evaluated: run `convscope evaluate .*b` first"):
        compare(runs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "these results are damaged: "),
        ("[1]", "these results are damaged: "),
        ('{"loss": NaN}', "NaN is no JSON number"),
        ("", "Expecting value"),
    ],
)
def test_damaged_results_are_refused(make_run: Make, text: str, reason: str) -> None:
    run = make_run("a")
    (run.path / "results.json").write_text(text)
    with pytest.raises(InputError, match=reason):
        read_results(run)


def test_a_hostile_run_is_inert_where_it_is_shown(
    make_run: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """`compare` reads the run directories of strangers and never builds their models."""
    for number, name in enumerate(NAMES):
        recipe = {name: name, "inner": {name: number}}
        run = make_run(f"{number}", recipe=recipe)
        run = run.with_changes(model=ModelReference(name=name))
        found = compare([make_run(f"{number}-plain"), run])
        print_comparison(found)
        shown = capsys.readouterr().out
        assert shown.replace("\n", "").isprintable(), repr(name)
        assert name[:10].isprintable() or name not in shown
