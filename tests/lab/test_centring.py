"""Centring: MNIST's own digits come out as they went in, and drawings come to look like them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from convscope.data.dataset import Splits
from convscope.lab.centring import FIELD, centre_drawing


def centre_of_mass(picture: np.ndarray) -> tuple[float, float]:
    """By definition, pixel by pixel; a pixel's own coordinates are its index."""
    total = rows = columns = 0.0
    for r in range(picture.shape[0]):
        for c in range(picture.shape[1]):
            value = float(picture[r, c])
            total, rows, columns = total + value, rows + value * r, columns + value * c
    return rows / total, columns / total


def extent(picture: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(picture)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def test_real_digits_are_where_it_puts_them(digits: Splits) -> None:
    """All 1,000 test digits, moved away from their place, are found again pixel by pixel.

    The faintest pixels count as ink here only where the digit's box is full of ink, so the few
    digits whose outermost rows are fainter than an eighth are left out.
    """
    checked = 0
    for digit in digits.test.images[:, 0]:
        rows, columns = np.nonzero(digit > digit.max() / 8)
        if max(np.ptp(rows), np.ptp(columns)) + 1 != 20 or (np.ptp(rows), np.ptp(columns)) != (
            np.ptp(np.nonzero(digit)[0]),
            np.ptp(np.nonzero(digit)[1]),
        ):
            continue
        moved = np.zeros((90, 70), dtype=np.uint8)
        moved[50:78, 7:35] = digit
        assert np.array_equal(centre_drawing(moved), digit)
        checked += 1
    assert checked > 500


def test_a_large_drawing_fills_the_box_and_is_centred() -> None:
    """A bar of 200 × 40 pixels: 20 × 4 of full ink, its centre of mass at pixel (14, 14)."""
    drawing = np.zeros((280, 280), dtype=np.uint8)
    drawing[60:260, 200:240] = 255
    found = centre_drawing(drawing)
    expected = np.zeros((28, 28), dtype=np.uint8)
    expected[4:24, 12:16] = 255
    assert np.array_equal(found, expected)


def test_the_proportions_are_kept_and_edges_become_grey() -> None:
    """A slanted stroke of ones and zeros: what covers half a pixel becomes half as bright."""
    drawing = np.zeros((100, 100), dtype=np.uint8)
    drawing[10:90, 30:50] = 255
    drawing[10:12, 30:50] = 0  # 78 × 20: the scale is 20/78
    found = centre_drawing(drawing)
    assert extent(found) == (20, 5)
    checker = (np.indices((40, 40)).sum(axis=0) % 2 * 255).astype(np.uint8)
    grey = centre_drawing(checker)
    assert set(np.unique(grey)) <= {0, 127, 128}


def test_a_small_drawing_grows() -> None:
    drawing = np.zeros((28, 28), dtype=np.uint8)
    drawing[3:8, 3:6] = 200
    assert extent(centre_drawing(drawing)) == (20, 12)


@pytest.mark.parametrize("size", [(1, 1), (28, 28), (1, 400), (400, 1)])
def test_no_ink_stays_black(size: tuple[int, int]) -> None:
    assert not centre_drawing(np.zeros(size, dtype=np.uint8)).any()


def test_a_single_pixel_becomes_a_full_box() -> None:
    drawing = np.zeros((50, 50), dtype=np.uint8)
    drawing[49, 0] = 255
    found = centre_drawing(drawing)
    assert extent(found) == (20, 20)
    assert found[4:24, 4:24].min() == 255


def test_noise_of_a_camera_is_no_ink(digits: Splits) -> None:
    """Faint grey all around does not make the digit small."""
    digit = digits.test.images[3, 0]
    noisy = np.full((200, 200), 12, dtype=np.uint8)
    noisy[100:128, 30:58] = np.maximum(digit, 12)
    height, width = extent(centre_drawing(noisy) > 40)
    assert max(height, width) in (19, 20)


@given(
    st.integers(1, 60), st.integers(1, 60), st.integers(0, 40), st.integers(0, 40), st.integers()
)
def test_the_centre_of_mass_is_in_the_middle(
    height: int, width: int, top: int, left: int, seed: int
) -> None:
    """Wherever it was drawn. Only where ink is cut off may it lie elsewhere."""
    rng = np.random.default_rng(abs(seed))
    drawing = np.zeros((height + top + 3, width + left + 3), dtype=np.uint8)
    drawing[top : top + height, left : left + width] = rng.integers(40, 256, (height, width))
    found = centre_drawing(drawing)
    assert found.shape == (FIELD, FIELD)
    rows, columns = centre_of_mass(found)
    assert 13.5 <= rows <= 14.5
    assert 13.5 <= columns <= 14.5


def test_the_same_drawing_at_any_place_gives_the_same_picture() -> None:
    rng = np.random.default_rng(1)
    ink = rng.integers(60, 256, (50, 33), dtype=np.uint8)
    pictures = []
    for top, left in ((0, 0), (5, 60), (150, 3)):
        drawing = np.zeros((220, 120), dtype=np.uint8)
        drawing[top : top + 50, left : left + 33] = ink
        pictures.append(centre_drawing(drawing).tobytes())
    assert len(set(pictures)) == 1


def test_it_is_the_mean_of_what_a_pixel_covers() -> None:
    """Against sums over whole blocks: a square of 60 × 60 is shrunk by 3."""
    rng = np.random.default_rng(2)
    ink = rng.integers(50, 256, (60, 60), dtype=np.uint8)
    blocks = ink.reshape(20, 3, 20, 3).mean(axis=(1, 3))
    found = centre_drawing(np.asarray(Image.fromarray(ink)))
    rows, columns = np.nonzero(found)
    part = found[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert part.shape == (20, 20)
    assert np.abs(part - blocks).max() <= 1.0  # it is rounded after each direction
