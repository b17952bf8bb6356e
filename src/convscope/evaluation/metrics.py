"""From log-probabilities and labels to the numbers of an evaluation: numpy alone, no model.

Sizes: N images, K classes. Everything starts from log-probabilities in float64, so that the
loss of a confident mistake stays finite where its probability would round to zero.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from convscope.errors import InputError
from convscope.evaluation.results import (
    Calibration,
    CalibrationBin,
    ClassScore,
    ConfusedPair,
    Evaluation,
    Mistake,
    ViewScore,
)

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

_Z95 = 1.959963984540054  # 97.5 % quantile of the standard normal distribution

TOP5_FROM = 11
"""Classes from which top-5 is reported: with ten, half of all guesses would be right."""


def require_finite(scores: FloatArray) -> None:
    """Refuse scores (N × K) that hold NaN or an infinity: no prediction can be read from them.

    Raises:
        InputError: with how many images are concerned.
    """
    broken = int(np.count_nonzero(~np.isfinite(scores).all(axis=1)))
    if broken:
        raise InputError(
            f"the model's scores for {broken} of {len(scores)} images are NaN or infinite, so its "
            "weights are broken; take an earlier checkpoint, or train again at a lower learning "
            "rate"
        )


def wilson_interval(right: float, n: int) -> tuple[float, float]:
    """95 % confidence interval of a share of which `right` out of `n` was observed.

    Wilson 1927, equation for the score interval: it stays within [0, 1] and keeps its coverage
    near 0 and 1, where the usual p ± 1.96·√(p(1−p)/n) shrinks to nothing.

    Args:
        right: successes, from 0 to n; a mean of several counts need not be whole.
        n: trials, at least 1.

    >>> low, high = wilson_interval(8, 10)
    >>> print(f"{low:.4f} to {high:.4f}")
    0.4902 to 0.9433
    """
    centre = (right + _Z95**2 / 2) / (n + _Z95**2)
    half = _Z95 / (n + _Z95**2) * math.sqrt(right * (n - right) / n + _Z95**2 / 4)
    # At 0 and n the ends are exactly 0 and 1; rounding must not move them.
    return (
        max(0.0, centre - half) if right > 0 else 0.0,
        min(1.0, centre + half) if right < n else 1.0,
    )


def mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided exact p-value that two classifiers err equally often (McNemar 1947).

    Under that hypothesis an image that only one of them gets right is a fair coin.

    >>> mcnemar(0, 5)
    0.0625
    """
    n, fewer = only_first_right + only_second_right, min(only_first_right, only_second_right)
    tail = ways = 1  # ways is the binomial coefficient of n over k, whole numbers throughout
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << n))


def negative_log_likelihood(log_probabilities: FloatArray, labels: IntArray) -> float:
    """Mean of −ln p(true class) over the images, in nats: the cross-entropy loss.

    It is read from the log-probabilities (N × K) and never from probabilities: a probability
    of e^−800 is 0 as a float, but its logarithm is just −800.
    """
    true = log_probabilities[np.arange(len(labels)), labels]
    return float(np.mean(np.maximum(-true, 0.0), dtype=np.float64))


def right_in_top(log_probabilities: FloatArray, labels: IntArray, k: int = 5) -> int:
    """Images whose class is among the `k` most probable; of equal ones the first go first.

    >>> right_in_top(np.array([[0.5, 0.3, 0.2], [0.2, 0.4, 0.4]]), np.array([2, 2]), 2)
    1
    """
    true = log_probabilities[np.arange(len(labels)), labels, None]
    earlier = np.arange(log_probabilities.shape[1]) < labels[:, None]
    before = (log_probabilities > true) | ((log_probabilities == true) & earlier)
    return int((before.sum(axis=1) < k).sum())


def view_score(
    log_probabilities: FloatArray, labels: IntArray, *, name: str, count: int
) -> ViewScore:
    """The score of averaged views: `count` of each image, in the set of views called `name`.

    Args:
        log_probabilities: N × K, of the averaged probabilities.
        labels: N, from 0 to K − 1.
    """
    n, class_count = log_probabilities.shape
    hits = int((log_probabilities.argmax(axis=1) == labels).sum())
    return ViewScore(
        name=name,
        count=count,
        accuracy=hits / n,
        accuracy_interval=wilson_interval(hits, n),
        loss=negative_log_likelihood(log_probabilities, labels),
        top5=right_in_top(log_probabilities, labels) / n if class_count >= TOP5_FROM else None,
    )


def confusion_matrix(labels: IntArray, predictions: IntArray, class_count: int) -> IntArray:
    """Images by true class (rows) and predicted class (columns), K × K.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1],
           [0, 1]])
    """
    cells = np.bincount(labels * class_count + predictions, minlength=class_count**2)
    return cells.reshape(class_count, class_count)


def class_scores(confusion: IntArray, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every class; None where a denominator is zero."""
    hits, supports, calls = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)

    def ratio(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    return tuple(
        ClassScore(
            name=name,
            support=support,
            precision=ratio(hit, called),
            recall=ratio(hit, support),
            f1=ratio(2 * hit, support + called),
        )
        for name, hit, support, called in zip(
            classes, hits.tolist(), supports.tolist(), calls.tolist(), strict=True
        )
    )


def macro_f1(scores: Sequence[ClassScore]) -> float:
    """Mean F1 over the classes that occur or were predicted, each class weighing the same."""
    defined = [score.f1 for score in scores if score.f1 is not None]
    return sum(defined) / len(defined)


def confused_pairs(
    confusion: IntArray, classes: Sequence[str], *, limit: int = 10
) -> tuple[ConfusedPair, ...]:
    """The most frequent confusions, most frequent first; equal ones in the order of the labels."""
    class_count = len(classes)
    supports = confusion.sum(axis=1)
    wrong = np.where(np.eye(class_count, dtype=bool), 0, confusion).ravel()
    cells = np.flatnonzero(wrong)
    most = cells[np.argsort(-wrong[cells], kind="stable")[:limit]]
    return tuple(
        ConfusedPair(
            true=classes[true],
            predicted=classes[predicted],
            count=int(confusion[true, predicted]),
            rate=float(confusion[true, predicted] / supports[true]),
        )
        for true, predicted in (divmod(cell, class_count) for cell in most.tolist())
    )


def calibration(
    confidence: FloatArray, right: npt.NDArray[np.bool_], *, bin_count: int = 15
) -> Calibration:
    """Does a confidence of 80 % mean being right four times in five?

    The expected calibration error is Σ (count / N) · |accuracy − confidence| over bins of
    equal width (i / M, (i + 1) / M]: Guo et al. 2017, "On Calibration of Modern Neural
    Networks", section 2, with its 15 bins.

    Args:
        confidence: N, the winning class's probability, in [0, 1].
        right: N, whether the winning class is the true one.
        bin_count: M, at least 1.
    """
    edges = np.arange(bin_count + 1) / bin_count
    index = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bin_count - 1)
    counts = np.bincount(index, minlength=bin_count)
    filled = np.maximum(counts, 1)
    mean_confidence = np.bincount(index, weights=confidence, minlength=bin_count) / filled
    accuracy = np.bincount(index, weights=right, minlength=bin_count) / filled
    ece = float(counts @ np.abs(accuracy - mean_confidence)) / len(confidence)
    bins = tuple(
        CalibrationBin(
            lower=float(edges[i]),
            upper=float(edges[i + 1]),
            count=int(counts[i]),
            confidence=float(mean_confidence[i]) if counts[i] else None,
            accuracy=float(accuracy[i]) if counts[i] else None,
        )
        for i in range(bin_count)
    )
    return Calibration(ece=min(ece, 1.0), bins=bins)


def worst_mistakes(
    log_probabilities: FloatArray,
    labels: IntArray,
    classes: Sequence[str],
    *,
    files: Sequence[str] = (),
    limit: int = 40,
) -> tuple[Mistake, ...]:
    """The wrong answers given with the highest probability, highest first, ties by position."""
    predictions = log_probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    # Sorted by the logarithm: probabilities near 1 may be equal where it still tells them apart.
    worst = wrong[np.argsort(-log_probabilities[wrong, predictions[wrong]], kind="stable")[:limit]]
    rows = np.minimum(np.exp(log_probabilities[worst]), 1.0)
    ranking = np.argsort(-log_probabilities[worst], axis=1, kind="stable")[:, :3]
    return tuple(
        Mistake(
            index=int(index),
            file=files[index] if files else None,
            true=classes[labels[index]],
            predicted=classes[predictions[index]],
            probability=float(row[predictions[index]]),
            probability_true=float(row[labels[index]]),
            top=tuple((classes[k], float(row[k])) for k in ranks),
        )
        for index, row, ranks in zip(worst, rows, ranking, strict=True)
    )


def _check(log_probabilities: FloatArray, labels: IntArray, classes: Sequence[str]) -> None:
    if len(labels) == 0:
        raise InputError("there are no images to evaluate; give a split with at least one")
    if log_probabilities.shape != (len(labels), len(classes)):
        raise InputError(
            f"the log-probabilities have shape {log_probabilities.shape}; allowed: "
            f"({len(labels)}, {len(classes)}), one row for each image and one column for each "
            "class. Evaluate on data with the classes that the model was trained on"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"the labels run from {labels.min()} to {labels.max()}; allowed: 0 to "
            f"{len(classes) - 1}, the {len(classes)} classes"
        )
    require_finite(log_probabilities)
    with np.errstate(over="ignore"):
        sums = np.exp(log_probabilities).sum(axis=1)
    if (off := np.abs(sums - 1)).max() > 1e-3:
        raise InputError(
            f"the probabilities of image {off.argmax()} sum to {sums[off.argmax()]:.3g}, not 1; "
            "give log-probabilities: the log-softmax of the model's scores"
        )


def evaluate_predictions(
    log_probabilities: FloatArray,
    labels: IntArray,
    classes: Sequence[str],
    *,
    dataset: str,
    split: str,
    files: Sequence[str] = (),
) -> Evaluation:
    """Every metric of one split, without robustness curves.

    Args:
        log_probabilities: N × K, natural logarithms; the largest of a row is the prediction,
            the first of equal ones.
        labels: N, from 0 to K − 1.
        classes: the K names.
        dataset: name of the data set, for the reader.
        split: name of the split, for the reader.
        files: each image's path, or nothing.

    Raises:
        InputError: no images; shapes, labels or rows that do not fit; scores that are not
            finite.
    """
    _check(log_probabilities, labels, classes)
    log_probabilities = log_probabilities.astype(np.float64, copy=False)
    predictions = log_probabilities.argmax(axis=1)
    right = predictions == labels
    confusion = confusion_matrix(labels, predictions, len(classes))
    scores = class_scores(confusion, classes)
    hits, n = int(right.sum()), len(labels)
    confidence = np.minimum(np.exp(log_probabilities.max(axis=1)), 1.0)
    in_top = right_in_top(log_probabilities, labels) if len(classes) >= TOP5_FROM else None
    return Evaluation(
        dataset=dataset,
        split=split,
        n=n,
        classes=tuple(classes),
        accuracy=hits / n,
        accuracy_interval=wilson_interval(hits, n),
        loss=negative_log_likelihood(log_probabilities, labels),
        macro_f1=macro_f1(scores),
        per_class=scores,
        confusion=tuple(map(tuple, confusion.tolist())),
        confused_pairs=confused_pairs(confusion, classes),
        calibration=calibration(confidence, right),
        mistakes=worst_mistakes(log_probabilities, labels, classes, files=files),
        top5=None if in_top is None else in_top / n,
        top5_interval=None if in_top is None else wilson_interval(in_top, n),
    )
