"""Perturbations against hand-made pixels and Pillow; curves of a model that sees one pixel."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.evaluation import robustness as module
from convscope.evaluation.metrics import wilson_interval
from convscope.evaluation.results import RobustnessCurve
from convscope.evaluation.robustness import (
    PASSES,
    add_noise,
    affordable_images,
    lower_contrast,
    robustness,
    rotate,
    shift,
    standard_noise,
    stratified_indices,
)

Images = npt.NDArray[np.uint8]

DARK, BRIGHT = 0, 1


class OnePixel(nn.Module):
    """Calls an image bright (1) where one of its pixels, in 0 to 1, is above a half."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.row, self.column = row, column

    def forward(self, x: Tensor) -> Tensor:
        above = x[:, 0, self.row, self.column] - 0.5
        return torch.stack([-above, above], dim=1)


def preprocessing(size: int, fill: int = 0, border: int = 0) -> Preprocessing:
    padding = (border, border, border, border)
    return Preprocessing(
        channels=1, size=(size, size), padding=padding, fill=fill, mean=(0.0,), std=(1.0,)
    )


def curves_of(
    images: Images, labels: list[int], model: nn.Module, how: Preprocessing, **more: Any
) -> dict[str, RobustnessCurve]:
    images.flags.writeable = False  # as in a data set
    return {c.name: c for c in robustness(model, images, np.array(labels), how, **more)}


def accuracies(curve: RobustnessCurve) -> dict[float, float]:
    return {point.x: point.accuracy for point in curve.points}


def agreements(curve: RobustnessCurve) -> dict[float, float]:
    return {point.x: point.agreement for point in curve.points}


def random_images(n: int, height: int, width: int, channels: int = 1, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8)


small_images = st.builds(
    random_images,
    n=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**32),
)


@given(small_images, st.integers(-10, 10), st.integers(-10, 10), st.integers(0, 255))
def test_shift_is_that_of_a_loop(images: Images, rows: int, columns: int, fill: int) -> None:
    height, width = images.shape[2:]
    expected = np.full_like(images, fill)
    for y in range(height):
        for x in range(width):
            if 0 <= y - rows < height and 0 <= x - columns < width:
                expected[:, :, y, x] = images[:, :, y - rows, x - columns]
    np.testing.assert_array_equal(shift(images, rows, columns, fill), expected)


@given(small_images, st.integers(0, 255), st.integers(0, 2**32))
def test_no_perturbation_changes_no_pixel(images: Images, fill: int, seed: int) -> None:
    noise = standard_noise(np.arange(len(images)), images.shape[1:], seed)
    for same in (
        shift(images, 0, 0, fill),
        rotate(images, 0, fill),
        add_noise(images, noise, 0.0),
        lower_contrast(images, 1.0),
    ):
        assert same.dtype == np.uint8
        np.testing.assert_array_equal(same, images)


@pytest.mark.parametrize("quarters", [-1, 1, 2, 3, 4])
def test_quarter_turns_are_exact_and_counter_clockwise(quarters: int) -> None:
    images = random_images(3, 8, 8, channels=3)
    expected = np.rot90(images, quarters, axes=(2, 3))
    np.testing.assert_array_equal(rotate(images, 90 * quarters, fill=7), expected)


@pytest.mark.parametrize("degrees", [-60, -45, -7.5, 15, 30, 90, 133])
@pytest.mark.parametrize("size", [(20, 20), (15, 24), (24, 15)])
def test_rotation_is_that_of_pillow(degrees: float, size: tuple[int, int]) -> None:
    """Inside the turned picture: at its edge Pillow cuts where we blend with the fill."""
    height, width = size
    fill = 200
    coarse = random_images(1, 5, 5)[0, 0]
    resampling = Image.Resampling.BILINEAR
    picture = Image.fromarray(coarse).resize((width, height), resampling)
    expected = np.asarray(picture.rotate(degrees, resampling, fillcolor=fill), dtype=int)
    turned = rotate(np.asarray(picture)[None, None], degrees, fill)[0, 0].astype(int)
    inner = np.pad(np.full((height - 4, width - 4), 255, dtype=np.uint8), 2)
    inside = np.asarray(Image.fromarray(inner).rotate(degrees, resampling)) == 255
    outer = np.pad(np.full((height, width), 255, dtype=np.uint8), 1)
    outside = np.asarray(Image.fromarray(outer).rotate(degrees, resampling))[1:-1, 1:-1] == 0
    assert inside.sum() > 50
    assert np.abs(turned - expected)[inside].max() <= 2
    assert (turned[outside] == fill).all()


def test_noise_by_hand() -> None:
    images = np.array([[[[0, 100, 250]]]], dtype=np.uint8)
    noise = np.array([[[[1.0, -2.0, 1.0]]]], dtype=np.float32)
    assert add_noise(images, noise, 0.1).ravel().tolist() == [26, 49, 255]  # 25.5 to even; clipped


def test_noise_is_standard_normal() -> None:
    noise = standard_noise(np.arange(50), (1, 40, 50), seed=1)
    assert noise.shape == (50, 1, 40, 50)
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(1, abs=5 / np.sqrt(2 * noise.size))
    assert abs((noise[0] * noise[1]).mean()) < 5 / np.sqrt(2000)  # two images, unrelated


def test_noise_of_an_image_depends_on_the_seed_and_its_index_alone() -> None:
    together = standard_noise(np.array([3, 8, 5]), (1, 4, 4), seed=6)
    alone = standard_noise(np.array([8]), (1, 4, 4), seed=6)
    np.testing.assert_array_equal(together[1], alone[0])
    assert not np.array_equal(alone, standard_noise(np.array([8]), (1, 4, 4), seed=7))


def test_contrast_by_hand() -> None:
    """Each channel of each image about its own mean: 100, 40 and 10."""
    images = np.array([[[[0, 100, 200]], [[40, 40, 40]]], [[[0, 10, 20]]] * 2], dtype=np.uint8)
    half = lower_contrast(images, 0.5)
    assert half[0].reshape(2, 3).tolist() == [[50, 100, 150], [40, 40, 40]]
    assert half[1].reshape(2, 3).tolist() == [[5, 10, 15]] * 2
    assert lower_contrast(images, 0.0)[0].reshape(2, 3).tolist() == [[100] * 3, [40] * 3]


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (0, {0: 1, 1: 1, 2: 1 / 2, 3: 1 / 2, 4: 1 / 2, 5: 0, 6: 0, 8: 0}),
        (255, {0: 1, 1: 1, 2: 1 / 2, 3: 1 / 2, 4: 1 / 2, 5: 1, 6: 1, 8: 1}),
    ],
)
def test_shift_curve_of_a_bar(fill: int, expected: dict[float, float]) -> None:
    """A bright bar, three wide, all of the height of 9, and the pixel at its centre.

    Right or left the bar leaves the pixel after 2 pixels, and the picture itself after 5; up
    or down the pixel sees the bar until the picture has left it, after 5.
    """
    images = np.zeros((1, 1, 9, 9), dtype=np.uint8)
    images[:, :, :, 3:6] = 255
    curve = curves_of(images, [BRIGHT], OnePixel(4, 4), preprocessing(9, fill))["shift"]
    assert accuracies(curve) == expected
    assert agreements(curve) == expected


def test_accuracy_and_agreement_are_not_the_same() -> None:
    """Two bright images of which one is labelled dark: what is lost on one is won on the other."""
    images = np.zeros((2, 1, 9, 9), dtype=np.uint8)
    images[:, :, :, 3:6] = 255
    curve = curves_of(images, [BRIGHT, DARK], OnePixel(4, 4), preprocessing(9))["shift"]
    assert set(accuracies(curve).values()) == {0.5}
    assert agreements(curve) == {0: 1, 1: 1, 2: 1 / 2, 3: 1 / 2, 4: 1 / 2, 5: 0, 6: 0, 8: 0}


def test_pixels_are_shifted_before_the_border_is_added() -> None:
    """What leaves the picture is lost, though the border would have room for it."""
    images = np.zeros((1, 1, 5, 5), dtype=np.uint8)
    images[:, :, 2, 4] = 255
    curve = curves_of(images, [DARK], OnePixel(6, 9), preprocessing(5, border=4))["shift"]
    assert set(accuracies(curve).values()) == {1.0}


def test_rotation_curve_of_a_square() -> None:
    """A bright square 7 to the right of the centre is seen 7 up to the right at 45° alone."""
    images = np.zeros((1, 1, 21, 21), dtype=np.uint8)
    images[:, :, 9:12, 16:19] = 255
    curve = curves_of(images, [BRIGHT], OnePixel(5, 15), preprocessing(21))["rotation"]
    expected = dict.fromkeys((-60, -45, -30, -15, 0, 15, 30, 60), 0.0) | {45: 1.0}
    assert accuracies(curve) == expected
    assert agreements(curve) == {x: 1 - y for x, y in expected.items()}


def test_contrast_curve_of_a_point() -> None:
    """One pixel of nine at 255: the mean is 85/3, and it passes 127.5 from 0.4375 on."""
    images = np.zeros((1, 1, 3, 3), dtype=np.uint8)
    images[:, :, 1, 1] = 255
    curve = curves_of(images, [BRIGHT], OnePixel(1, 1), preprocessing(3))["contrast"]
    assert accuracies(curve) == {0.1: 0, 0.2: 0, 0.4: 0, 0.6: 1, 0.8: 1, 1.0: 1}


def test_noise_curve_follows_the_normal_distribution() -> None:
    """All black: noise of deviation s passes a half with probability 1 − Φ(0.5 / s)."""
    images = np.zeros((1000, 1, 1, 1), dtype=np.uint8)
    curve = curves_of(images, [DARK] * 1000, OnePixel(0, 0), preprocessing(1))["noise"]
    for point in curve.points[1:]:
        expected = (1 + math.erf(0.5 / point.x / math.sqrt(2))) / 2
        spread = math.sqrt(expected * (1 - expected) / 1000)
        assert point.accuracy == pytest.approx(expected, abs=4 * spread + 0.002)  # 0.002: rounding


def test_unchanged_images_give_the_clean_accuracy() -> None:
    images = random_images(40, 6, 6)
    labels = np.random.default_rng(1).integers(0, 2, 40)
    clean = float(((images[:, 0, 2, 3] > 127) == labels).mean())
    curves = curves_of(images, labels.tolist(), OnePixel(2, 3), preprocessing(6))
    assert list(curves) == ["shift", "rotation", "noise", "contrast"]
    for curve in curves.values():
        unchanged = 1.0 if curve.name == "contrast" else 0.0
        assert accuracies(curve)[unchanged] == clean
        assert agreements(curve)[unchanged] == 1.0
        assert curve.n == 40
        assert [p.x for p in curve.points] == sorted(p.x for p in curve.points)
        for point in curve.points:
            assert point.interval == wilson_interval(point.accuracy * 40, 40)
            assert point.interval[0] <= point.accuracy <= point.interval[1]


def test_same_seed_same_curves_whatever_is_done_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    images = random_images(20, 6, 6)
    labels = [BRIGHT] * 20
    first = curves_of(images, labels, OnePixel(2, 3), preprocessing(6), seed=4)
    other = curves_of(images, labels, OnePixel(2, 3), preprocessing(6), seed=5)
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", 7 * 36)
    steps: list[tuple[int, int]] = []
    again = curves_of(
        images,
        labels,
        OnePixel(2, 3),
        preprocessing(6),
        seed=4,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert again == first
    assert steps == [(7, 20), (14, 20), (20, 20)]
    assert other["noise"] != first["noise"]
    assert {k: c for k, c in other.items() if k != "noise"} == {
        k: c for k, c in first.items() if k != "noise"
    }


def test_the_limit_is_kept_and_said() -> None:
    images = np.zeros((30, 1, 3, 3), dtype=np.uint8)
    images[::2] = 255
    labels = [BRIGHT, DARK] * 15
    for curve in curves_of(images, labels, OnePixel(1, 1), preprocessing(3), limit=10).values():
        assert curve.n == 10
    assert accuracies(curve)[1.0] == 1.0


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any),
    limit=st.integers(1, 60),
    seed=st.integers(0, 2**32),
)
def test_the_subset_keeps_the_shares_of_the_classes(
    counts: list[int], limit: int, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    chosen = stratified_indices(labels, limit)
    assert len(chosen) == min(limit, len(labels))
    assert (np.diff(chosen) > 0).all()
    taken = np.bincount(labels[chosen], minlength=len(counts))
    share = len(chosen) / len(labels)
    assert (np.abs(taken - share * np.array(counts)) < 1).all()


def test_colour_images() -> None:
    images = random_images(5, 6, 4, channels=3)
    how = Preprocessing(channels=3, size=(6, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
    curves = curves_of(images, [DARK] * 5, OnePixel(3, 1), how)
    assert [len(curve.points) for curve in curves.values()] == [8, 9, 6, 6]


def test_the_passes_are_those_that_are_made() -> None:
    """28 shifted versions, 8 turned, 5 noisy, 5 pale, and the image itself."""
    assert PASSES == 28 + 8 + 5 + 5 + 1
    seen: list[int] = []

    class Watcher(OnePixel):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(len(x))
            return super().forward(x)

    curves_of(random_images(6, 5, 5), [DARK] * 6, Watcher(1, 1), preprocessing(5))
    assert seen == [1] + [6] * PASSES  # first one image to find the size of a batch


@pytest.mark.parametrize(
    ("multiply_adds", "images"),
    [(0, 1000), (400_000, 1000), (10**13 // (47 * 500), 500), (10**9, 212), (10**12, 200)],
)
def test_heavy_networks_get_fewer_images(multiply_adds: int, images: int) -> None:
    assert affordable_images(multiply_adds) == images


def test_a_crop_sees_what_a_shift_brings_in() -> None:
    """The network sees the middle 3 × 3 of 9 × 9; a shift moves real pixels into it."""
    images = np.zeros((1, 1, 9, 9), dtype=np.uint8)
    images[:, :, :, 2] = images[:, :, 2, :] = images[:, :, 6, :] = images[:, :, :, 6] = 255
    how = Preprocessing(channels=1, size=(9, 9), crop=(3, 3), mean=(0.0,), std=(1.0,))
    curve = curves_of(images, [DARK], OnePixel(1, 1), how)["shift"]
    # Two pixels in any direction bring a bar to the middle; further away it is dark again, until
    # at 8 pixels the picture has left it, too.
    assert accuracies(curve) == {0: 1, 1: 1, 2: 0, 3: 1, 4: 1, 5: 1, 6: 1, 8: 1}


def test_what_does_not_fit_is_refused() -> None:
    model, how, none = OnePixel(0, 0), preprocessing(3), np.zeros(0, dtype=np.int64)
    with pytest.raises(InputError, match="0 images and 0 labels; allowed: at least one image"):
        robustness(model, random_images(0, 3, 3), none, how)
    with pytest.raises(InputError, match=r"2 images and 0 labels; .* a label for each"):
        robustness(model, random_images(2, 3, 3), none, how)
    with pytest.raises(InputError, match="the limit is 0 images; allowed: at least 1"):
        robustness(model, random_images(1, 3, 3), np.array([0]), how, limit=0)
