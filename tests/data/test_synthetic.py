import math
import time

import numpy as np
import pytest

from convscope.data.synthetic import CLASSES, coverage, read_shapes
from convscope.errors import InputError


def test_defaults() -> None:
    started = time.perf_counter()
    splits = read_shapes()
    assert time.perf_counter() - started < 30  # about 2 s; a bound for busy machines
    assert splits["train"].images.shape == (5000, 3, 32, 32)
    assert splits["test"].images.shape == (1000, 3, 32, 32)
    assert np.bincount(splits["train"].labels).tolist() == [500] * 10
    assert splits["train"].classes == CLASSES
    assert splits["train"].provenance["format"] == "synthetic"
    every = {image.tobytes() for data in splits.values() for image in data.images}
    assert len(every) == 6000


def test_an_image_depends_on_seed_split_and_index_alone() -> None:
    small, large = read_shapes(train=20, test=10), read_shapes(train=30, test=20)
    for split in ("train", "test"):
        count = len(small[split])
        np.testing.assert_array_equal(small[split].images, large[split].images[:count])
    other = read_shapes(train=20, test=10, seed=1)
    assert not (other["train"].images[:] == small["train"].images[:]).all(axis=(1, 2, 3)).any()


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (64, 17), (227, 227)])
def test_sizes(size: tuple[int, int]) -> None:
    splits = read_shapes(size=size, train=10, test=10)
    assert splits["train"].images.shape == (10, 3, *size)


# Areas of the shapes in a unit circle, by hand. Square: side 2 · 0.78. Regular polygons in the
# unit circle: n / 2 · sin(2π / n). Star: ten triangles with sides 1 and 0.42 and 36° between them.
# Cross: a square of 0.64 and four arms of 0.64 × 0.63. Arrow: shaft 1.1 × 0.44, head 0.9 × 1.4 / 2.
AREAS = {
    "circle": math.pi * 0.9**2,
    "square": 1.56**2,
    "triangle": 1.5 * math.sin(math.tau / 3),
    "star": 5 * 0.42 * math.sin(math.tau / 10),
    "cross": 0.64**2 + 4 * 0.64 * 0.63,
    "ring": math.pi * (0.95**2 - 0.55**2),
    "diamond": 2 * 0.58,
    "hexagon": 3 * math.sin(math.tau / 6),
    "arrow": 1.1 * 0.44 + 0.63,
}


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("turn", [0.0, 0.3])
def test_areas(name: str, turn: float) -> None:
    mask = coverage(CLASSES.index(name), (256, 256), (120.0, 130.0), 100.0, turn)
    assert mask.sum() / 100**2 == pytest.approx(AREAS[name], rel=0.02)
    assert mask.min() == 0
    assert mask.max() == 1


def test_the_crescent_is_a_circle_less_a_circle() -> None:
    mask = coverage(CLASSES.index("crescent"), (256, 256), (128.0, 128.0), 100.0, 0.0)
    y, x = (np.mgrid[:256, :256] + 0.5 - 128) / 100
    expected = (np.hypot(x, y) < 0.95) & (np.hypot(x - 0.5, y) > 0.8)
    assert abs(mask - expected).mean() < 0.01


@pytest.mark.parametrize("label", range(10))
def test_nothing_is_cut_off_in_a_corner(label: int) -> None:
    middle = coverage(label, (64, 64), (32.0, 32.0), 16.0, 0.2)
    corner = coverage(label, (64, 64), (16.0, 48.0), 16.0, 0.2)
    assert corner.sum() == pytest.approx(middle.sum(), rel=0.01)


def test_a_nearest_mean_rule_does_not_solve_it() -> None:
    """Colour and position say nothing of the class, so a rule on mean pixels stays near chance."""
    splits = read_shapes(size=(16, 16), train=1000, test=500)
    train, test = (splits[name].images[:].reshape(len(splits[name]), -1) / 255 for name in splits)
    means = np.stack([train[splits["train"].labels == label].mean(0) for label in range(10)])
    guess = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    assert (guess == splits["test"].labels).mean() < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (7, 32)}, "shapes of 7 × 32 pixels; allowed are 8 to 1024 each"),
        ({"size": (32, 1025)}, "shapes of 32 × 1025 pixels"),
        ({"train": 9}, "9 training and 1000 test shapes; allowed are at least 10 each"),
        ({"test": 0}, "5000 training and 0 test shapes"),
    ],
)
def test_out_of_range(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_shapes(**arguments)  # type: ignore[arg-type]
