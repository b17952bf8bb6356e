"""Metrics against values worked out by hand, published tables, scikit-learn and torchmetrics."""

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from torchmetrics.functional.classification import multiclass_calibration_error

from convscope.errors import InputError
from convscope.evaluation.metrics import (
    calibration,
    confused_pairs,
    confusion_matrix,
    evaluate_predictions,
    negative_log_likelihood,
    right_in_top,
    view_score,
    wilson_interval,
    worst_mistakes,
)
from convscope.evaluation.results import Evaluation

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def random_case(seed: int, n: int, k: int, sharpness: float = 2.0) -> tuple[FloatArray, IntArray]:
    """Log-probabilities and labels, the labels right more often than by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, k, n)
    scores = sharpness * rng.standard_normal((n, k))
    scores[np.arange(n), labels] += sharpness
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), labels


def names(k: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(k))


def evaluated(log_probabilities: FloatArray, labels: IntArray, **more: Any) -> Evaluation:
    return evaluate_predictions(
        log_probabilities,
        labels,
        names(log_probabilities.shape[1]),
        dataset="d",
        split="test",
        **more,
    )


def cases(fewest: int = 1, sharpest: float = 20) -> st.SearchStrategy[tuple[FloatArray, IntArray]]:
    """Up to 60 images of `fewest` to 12 classes."""
    return st.builds(
        random_case,
        seed=st.integers(0, 2**32),
        n=st.integers(1, 60),
        k=st.integers(fewest, 12),
        sharpness=st.floats(0, sharpest),
    )


# Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_the_published_table(
    right: int, n: int, low: float, high: float
) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("right", "n"), [(8, 10), (98, 100), (1, 2), (9876, 10000), (2.25, 7)])
def test_wilson_ends_solve_the_score_equation(right: float, n: int) -> None:
    """Both ends are the p with (right/n − p)² = z²·p·(1 − p)/n."""
    for p in wilson_interval(right, n):
        z = abs(right / n - p) / math.sqrt(p * (1 - p) / n)
        assert z == pytest.approx(1.959963984540054, rel=1e-9)


@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_wilson_interval_holds_the_estimate_and_stays_in_range(n: int, share: float) -> None:
    right = round(share * n)
    low, high = wilson_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert low < high
    mirrored = wilson_interval(n - right, n)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)
    assert (low == 0) == (right == 0)
    assert (high == 1) == (right == n)


def test_loss_by_hand() -> None:
    log_probabilities = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    expected = -(math.log(0.25) + math.log(0.8)) / 2
    assert negative_log_likelihood(log_probabilities, np.array([2, 1])) == pytest.approx(expected)


def test_loss_stays_finite_where_the_probability_is_zero() -> None:
    evaluation = evaluated(np.array([[0.0, -1e30]]), np.array([1]))
    assert evaluation.loss == 1e30
    assert evaluation.mistakes[0].probability_true == 0.0


@given(cases(fewest=2, sharpest=2))
def test_loss_is_that_of_scikit_learn(case: tuple[FloatArray, IntArray]) -> None:
    log_probabilities, labels = case
    probabilities = np.exp(log_probabilities)
    expected = reference.log_loss(labels, probabilities, labels=range(probabilities.shape[1]))
    assert evaluated(log_probabilities, labels).loss == pytest.approx(expected, rel=1e-9)


@given(cases(fewest=2))
def test_scores_are_those_of_scikit_learn(case: tuple[FloatArray, IntArray]) -> None:
    log_probabilities, labels = case
    classes = range(log_probabilities.shape[1])
    predictions = log_probabilities.argmax(axis=1)
    evaluation = evaluated(log_probabilities, labels)
    assert evaluation.accuracy == reference.accuracy_score(labels, predictions)
    confusion = reference.confusion_matrix(labels, predictions, labels=classes)
    np.testing.assert_array_equal(evaluation.confusion, confusion)
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=np.nan
    )
    called = np.bincount(predictions, minlength=len(classes))
    for k, score in enumerate(evaluation.per_class):
        assert score.support == support[k]
        assert (score.precision is None) == (called[k] == 0)
        assert (score.recall is None) == (support[k] == 0)
        assert (score.f1 is None) == (called[k] + support[k] == 0)
        for ours, theirs in ((score.precision, precision), (score.recall, recall), (score.f1, f1)):
            if ours is not None:
                assert ours == pytest.approx(theirs[k])
    macro = reference.f1_score(labels, predictions, average="macro", zero_division=0)
    assert evaluation.macro_f1 == pytest.approx(macro)


@given(cases())
def test_what_must_hold_for_every_evaluation(case: tuple[FloatArray, IntArray]) -> None:
    log_probabilities, labels = case
    evaluation = evaluated(log_probabilities, labels)
    low, high = evaluation.accuracy_interval
    assert low <= evaluation.accuracy <= high
    assert [sum(row) for row in evaluation.confusion] == [s.support for s in evaluation.per_class]
    hits = sum(evaluation.confusion[k][k] for k in range(len(evaluation.classes)))
    assert evaluation.accuracy == hits / evaluation.n
    assert len(evaluation.mistakes) == min(40, evaluation.n - hits)
    assert sum(b.count for b in evaluation.calibration.bins) == evaluation.n
    for b in evaluation.calibration.bins:
        assert (b.count == 0) == (b.confidence is None) == (b.accuracy is None)
        assert b.confidence is None or b.lower - 1e-12 <= b.confidence <= b.upper + 1e-12
    assert Evaluation.from_json(json.loads(json.dumps(evaluation.to_json()))) == evaluation


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(1, 200),
    k=st.integers(2, 10),
    bins=st.integers(1, 30),
)
def test_ece_is_that_of_torchmetrics(seed: int, n: int, k: int, bins: int) -> None:
    log_probabilities, labels = random_case(seed, n, k)
    probabilities = np.exp(log_probabilities)
    winners = probabilities.argmax(axis=1)
    ours = calibration(probabilities.max(axis=1), winners == labels, bin_count=bins)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=k, n_bins=bins
    )
    assert ours.ece == pytest.approx(float(theirs), abs=1e-5)


def test_calibration_by_hand() -> None:
    confidence = np.array([0.0, 0.2, 0.5, 0.500001, 0.9, 1.0])
    right = np.array([False, True, False, True, True, False])
    result = calibration(confidence, right, bin_count=2)
    lower, upper = result.bins
    assert (lower.lower, lower.upper, upper.lower, upper.upper) == (0.0, 0.5, 0.5, 1.0)
    assert (lower.count, upper.count) == (3, 3)  # 0 and 0.5 belong to the first bin
    assert (lower.confidence, lower.accuracy) == pytest.approx((0.7 / 3, 1 / 3))
    assert (upper.confidence, upper.accuracy) == pytest.approx((2.400001 / 3, 2 / 3))
    expected = (abs(1 - 0.7) + abs(2 - 2.400001)) / 6
    assert result.ece == pytest.approx(expected)


def test_fifteen_bins_of_equal_width_by_default() -> None:
    bins = calibration(np.array([0.5]), np.array([True])).bins
    assert [(b.lower, b.upper) for b in bins] == [(i / 15, (i + 1) / 15) for i in range(15)]


@pytest.mark.parametrize("right", [True, False])
def test_sure_of_everything(right: bool) -> None:
    """Always certain: calibrated if always right, and as far off as can be if always wrong."""
    result = calibration(np.ones(7), np.full(7, right))
    assert result.ece == (0.0 if right else 1.0)


def test_confusion_by_hand() -> None:
    result = confusion_matrix(np.array([0, 0, 2, 2, 2]), np.array([0, 1, 2, 0, 0]), 3)
    assert result.tolist() == [[1, 1, 0], [0, 0, 0], [2, 0, 1]]


def test_confused_pairs_by_hand() -> None:
    confusion = np.array([[5, 2, 3], [3, 0, 0], [0, 1, 9]])
    pairs = confused_pairs(confusion, ("a", "b", "c"), limit=3)
    assert [(p.true, p.predicted, p.count, p.rate) for p in pairs] == [
        ("a", "c", 3, 0.3),
        ("b", "a", 3, 1.0),
        ("a", "b", 2, 0.2),
    ]


def test_no_pair_is_confused_where_all_is_right() -> None:
    assert confused_pairs(np.diag([3, 0, 2]), ("a", "b", "c")) == ()


def test_the_most_confused_of_a_thousand_classes() -> None:
    confusion = np.random.default_rng(0).integers(0, 50, (1000, 1000))
    confusion[7, 7], confusion[3, 2], confusion[900, 1] = 99, 60, 70
    first, second = confused_pairs(confusion, names(1000), limit=2)
    assert (first.true, first.predicted, first.count) == ("class 900", "class 1", 70)
    assert (second.true, second.predicted, second.count) == ("class 3", "class 2", 60)


def test_worst_mistakes_by_hand() -> None:
    probabilities = np.array(
        [
            [0.6, 0.3, 0.08, 0.02],  # right
            [0.5, 0.4, 0.06, 0.04],  # taken for a, is b
            [0.0, 0.05, 0.9, 0.05],  # taken for c, is d
            [0.5, 0.2, 0.2, 0.1],  # taken for a, is c
        ]
    )
    with np.errstate(divide="ignore"):
        log_probabilities = np.maximum(np.log(probabilities), -1e4)
    labels = np.array([0, 1, 3, 2])
    files = ("w.png", "x.png", "y.png", "z.png")
    worst = worst_mistakes(log_probabilities, labels, ("a", "b", "c", "d"), files=files)
    assert [(m.index, m.file, m.true, m.predicted) for m in worst] == [
        (2, "y.png", "d", "c"),
        (1, "x.png", "b", "a"),
        (3, "z.png", "c", "a"),
    ]
    assert [(m.probability, m.probability_true) for m in worst] == [
        pytest.approx((0.9, 0.05)),
        pytest.approx((0.5, 0.4)),
        pytest.approx((0.5, 0.2)),
    ]
    assert [name for name, _ in worst[0].top] == ["c", "b", "d"]
    assert [p for _, p in worst[0].top] == pytest.approx([0.9, 0.05, 0.05])
    assert worst_mistakes(log_probabilities, labels, ("a", "b", "c", "d"), limit=1)[0].file is None


def test_mistakes_are_told_apart_where_their_probability_rounds_to_one() -> None:
    log_probabilities = np.array([[-1e-20, -50.0], [-1e-30, -70.0], [-1e-25, -60.0]])
    worst = worst_mistakes(log_probabilities, np.array([1, 1, 1]), ("a", "b"))
    assert [m.index for m in worst] == [1, 2, 0]
    assert [m.probability for m in worst] == [1.0, 1.0, 1.0]


def test_two_classes_have_two_guesses() -> None:
    evaluation = evaluated(np.log([[0.8, 0.2]]), np.array([1]))
    first, second = evaluation.mistakes[0].top
    assert (first[0], second[0]) == ("class 0", "class 1")
    assert (first[1], second[1]) == pytest.approx((0.8, 0.2))


def test_all_right_and_all_wrong() -> None:
    log_probabilities = np.log(np.full((4, 2), [0.75, 0.25]))
    right = evaluated(log_probabilities, np.zeros(4, dtype=np.int64))
    assert (right.accuracy, right.macro_f1, right.mistakes) == (1.0, 1.0, ())
    assert right.accuracy_interval[1] == 1.0
    assert right.confused_pairs == ()
    assert right.calibration.ece == pytest.approx(0.25)
    wrong = evaluated(log_probabilities, np.ones(4, dtype=np.int64))
    assert (wrong.accuracy, wrong.macro_f1, len(wrong.mistakes)) == (0.0, 0.0, 4)
    assert wrong.accuracy_interval[0] == 0.0
    assert wrong.calibration.ece == pytest.approx(0.75)


def test_a_class_without_images_has_no_recall_and_does_not_count() -> None:
    log_probabilities = np.log([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    evaluation = evaluated(log_probabilities, np.array([0, 1]))
    absent = evaluation.per_class[2]
    assert (absent.support, absent.precision, absent.recall, absent.f1) == (0, None, None, None)
    assert evaluation.macro_f1 == 1.0


def test_files_reach_the_mistakes() -> None:
    evaluation = evaluated(np.log([[0.8, 0.2]]), np.array([1]), files=("dir/\udcff.png",))
    assert evaluation.mistakes[0].file == "dir/\\udcff.png"
    assert (evaluation.dataset, evaluation.split) == ("d", "test")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_mean_broken_weights(bad: float) -> None:
    log_probabilities = np.log([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    log_probabilities[1, 0] = bad
    with pytest.raises(InputError, match=r"scores for 1 of 3 images are NaN or infinite.*broken"):
        evaluated(log_probabilities, np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("log_probabilities", "labels", "message"),
    [
        (np.zeros((0, 2)), [], "there are no images to evaluate"),
        (np.log([[0.5, 0.5]]), [0, 1], r"shape \(1, 2\); allowed: \(2, 2\)"),
        (np.log([0.5, 0.5]), [0, 1], r"shape \(2,\); allowed: \(2, 2\)"),
        (np.log([[0.2] * 5]), [0], r"shape \(1, 5\); allowed: \(1, 2\).*classes that the model"),
        (np.log([[0.5, 0.5]]), [2], "labels run from 2 to 2; allowed: 0 to 1"),
        (np.log([[0.5, 0.5]]), [-1], "labels run from -1 to -1; allowed: 0 to 1"),
        ([[0.5, 0.5]], [0], r"image 0 sum to 3.3, not 1; give log-probabilities"),
        ([[1e3, 0.0]], [0], r"image 0 sum to inf, not 1"),
    ],
)
def test_what_does_not_fit_is_refused(
    log_probabilities: Any, labels: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        evaluate_predictions(
            np.asarray(log_probabilities, dtype=np.float64),
            np.array(labels, dtype=np.int64),
            ("a", "b"),
            dataset="d",
            split="test",
        )


def test_top_five_is_that_of_scikit_learn() -> None:
    logs, labels = random_case(3, 200, 12, sharpness=0.5)
    expected = reference.top_k_accuracy_score(labels, logs, k=5, labels=range(12))
    assert right_in_top(logs, labels) == round(expected * 200)
    assert right_in_top(logs, labels, 1) == int((logs.argmax(axis=1) == labels).sum())
    assert right_in_top(logs, labels, 12) == 200


def test_of_equal_probabilities_the_first_count() -> None:
    """As in the accuracy, where the first of equal ones is the prediction."""
    logs = np.log(np.full((12, 12), 1 / 12))
    assert right_in_top(logs, np.arange(12)) == 5


@pytest.mark.parametrize(("k", "present"), [(2, False), (10, False), (11, True), (20, True)])
def test_top_five_is_given_from_eleven_classes(k: int, present: bool) -> None:
    logs, labels = random_case(1, 300, k)
    result = evaluated(logs, labels)
    score = view_score(logs, labels, name="mirrored", count=2)
    if present:
        hits = right_in_top(logs, labels)
        assert result.top5 == score.top5 == hits / 300
        assert result.top5_interval == wilson_interval(hits, 300)
        assert result.accuracy <= result.top5
    else:
        assert result.top5 is None
        assert result.top5_interval is None
        assert score.top5 is None
    assert (score.accuracy, score.accuracy_interval, score.loss, score.count) == (
        result.accuracy,
        result.accuracy_interval,
        result.loss,
        2,
    )
