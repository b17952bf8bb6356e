import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.data.split import split_names, stratified
from convscope.errors import InputError

Labels = npt.NDArray[np.int64]


def labels_of(*counts: int) -> Labels:
    return np.repeat(np.arange(len(counts)), counts)


def held_out_counts(labels: Labels, wanted: float, seed: int = 0) -> list[int]:
    _, held_out = stratified(labels, wanted, seed)
    counts: list[int] = np.bincount(labels[held_out], minlength=int(labels.max()) + 1).tolist()
    return counts


def test_largest_remainder_by_hand() -> None:
    # Quotas for 5 of 20 images: 10·5/20 = 2.5, 7·5/20 = 1.75, 3·5/20 = 0.75: whole parts 2, 1, 0,
    # the two left go to the largest remainders, 0.75 and 0.75.
    assert held_out_counts(labels_of(10, 7, 3), 5) == [2, 2, 1]
    # Equal remainders (0.5 each of 5·2/20 …): the first classes get them.
    assert held_out_counts(labels_of(5, 5, 5, 5), 6) == [2, 2, 1, 1]


def test_small_classes_keep_one_on_each_side() -> None:
    # Quotas for 10 of 1004: 9.96, 0.02, 0.02: the two small classes still get one each.
    assert held_out_counts(labels_of(1000, 2, 2), 10) == [8, 1, 1]
    # Nearly everything is held out, but one of each class stays.
    assert held_out_counts(labels_of(5, 3), 6) == [4, 2]
    # A single image is kept for training.
    assert held_out_counts(labels_of(8, 1), 0.25) == [2, 0]


def test_a_fraction_bends_to_the_classes() -> None:
    assert held_out_counts(labels_of(*[2] * 10), 0.2) == [1] * 10
    assert held_out_counts(labels_of(2, 2), 0.99) == [1, 1]
    assert held_out_counts(labels_of(2, 2), 1e-9) == [1, 1]


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63),
)
def test_properties(counts: list[int], share: float, seed: int) -> None:
    labels = np.random.default_rng(0).permutation(labels_of(*counts))
    lowest = sum(count >= 2 for count in counts)
    highest = sum(count - 1 for count in counts)
    if not highest:
        with pytest.raises(InputError, match="cannot be split"):
            stratified(labels, share, seed)
        return
    total = min(max(int(share * len(labels) + 0.5), lowest), highest)
    kept, held_out = stratified(labels, total, seed)
    assert len(held_out) == total
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept)
    assert held_out.tolist() == sorted(held_out)
    assert kept.dtype == held_out.dtype == np.int64
    for label, count in enumerate(counts):
        taken = int((labels[held_out] == label).sum())
        assert (1 <= taken <= count - 1) if count >= 2 else taken == 0
        quota = count * total / len(labels)
        free = all(c >= 2 for c in counts) and all(
            1 <= c * total / len(labels) <= c - 1 for c in counts
        )
        if free:  # where no bound is active, every share is its quota, rounded down or up
            assert abs(taken - quota) < 1
    np.testing.assert_array_equal(stratified(labels, share, seed)[1], held_out)


def test_seeds() -> None:
    labels = labels_of(100, 100)
    first = stratified(labels, 0.2, 0)[1]
    np.testing.assert_array_equal(first, stratified(labels, 0.2, 0)[1])
    assert not np.array_equal(first, stratified(labels, 0.2, 1)[1])
    # Every image is held out by some seed, and about as often as any other.
    times = np.zeros(200)
    for seed in range(200):
        times[stratified(labels, 0.2, seed)[1]] += 1
    assert 15 < times.min() < 40 < times.max() < 70


def test_a_class_does_not_move_the_others() -> None:
    two = stratified(labels_of(50, 50), 20, 0)[1]
    three = stratified(labels_of(50, 50, 50), 30, 0)[1]
    np.testing.assert_array_equal(two, three[three < 100])


@pytest.mark.parametrize(
    ("counts", "wanted", "message"),
    [
        ((1, 1), 0.5, "2 images with no class of two or more cannot be split: add images"),
        ((4, 4), 1, "cannot hold out 1 of 8 images; allowed are 2 to 6"),
        ((4, 4), 7, "cannot hold out 7 of 8 images; allowed are 2 to 6"),
        ((4, 4), 0, "cannot hold out 0 of 8 images"),
        ((4, 4), 0.0, "fraction to hold out is 0.0; allowed is more than 0"),
        ((4, 4), 1.0, "fraction to hold out is 1.0"),
        ((4, 4), float("nan"), "fraction to hold out is nan"),
    ],
)
def test_impossible(counts: tuple[int, ...], wanted: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stratified(labels_of(*counts), wanted, 0)


def test_nothing_at_all() -> None:
    with pytest.raises(InputError, match="0 images with no class"):
        stratified(np.zeros(0, dtype=np.int64), 0.2, 0)


def test_names() -> None:
    files = ("a/1.png", "a/2.png", "b/1.png", "b/<b>.png")
    kept, held_out = split_names(files, ["b/<b>.png", "a/1.png"])
    assert kept.tolist() == [1, 2]
    assert held_out.tolist() == [0, 3]
    with pytest.raises(InputError, match=r"'a/9.png' and 1 more of the recorded test files is mis"):
        split_names(files, ["a/9.png", "b/9.png", "a/1.png"])
    with pytest.raises(InputError, match=r"'x\\x1b\[2J' of the recorded"):
        split_names(files, ["x\x1b[2J"])
    with pytest.raises(InputError, match="4 of 4 files are to be the test set"):
        split_names(files, files)
    with pytest.raises(InputError, match="0 of 4 files"):
        split_names(files, [])
