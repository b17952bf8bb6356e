import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from convscope.data.preprocess import Preprocessing, conform, measure, normalise, resize
from convscope.errors import InputError

MNIST = Preprocessing(
    channels=1, size=(28, 28), padding=(2, 2, 2, 2), mean=(0.1 / 1.275,), std=(1 / 1.275,)
)


def test_mnist_reaches_32_by_padding_with_the_levels_of_the_paper() -> None:
    """LeCun et al. 1998, II.B: background −0.1, ink 1.175, digits centred in 32 × 32."""
    images = np.zeros((1, 1, 28, 28), np.uint8)
    images[0, 0, 0, 0] = 255
    result = normalise(images, MNIST)
    assert MNIST.input_shape == (1, 32, 32) == result.shape[1:]
    assert result.dtype == np.float32
    assert result[0, 0, 2, 2] == pytest.approx(1.175, abs=1e-6)
    rest = np.delete(result.ravel(), 2 * 32 + 2)
    np.testing.assert_allclose(rest, -0.1, atol=1e-6)


def test_the_border_lies_where_it_is_asked_for() -> None:
    """Left 1, right 2, top 3, bottom 4 around a 2 × 1 picture; mean 0 and std 1/255 keep 0–255."""
    p = Preprocessing(
        channels=1, size=(2, 1), padding=(1, 2, 3, 4), fill=7, mean=(0.0,), std=(1 / 255,)
    )
    result = normalise(np.array([[[[50], [60]]]], np.uint8), p)
    expected = np.full((9, 4), 7.0)
    expected[3, 1], expected[4, 1] = 50, 60
    assert p.input_shape == (1, 9, 4)
    np.testing.assert_allclose(result[0, 0], expected, rtol=1e-6)


@given(
    arrays.arrays(np.uint8, (2, 3, 2, 2)),
    st.tuples(*[st.floats(-2, 2)] * 3),
    st.tuples(*[st.floats(0.01, 4)] * 3),
)
def test_normalise_is_two_rounded_float32_operations(
    images: np.ndarray[Any, np.dtype[np.uint8]], mean: Any, std: Any
) -> None:
    result = normalise(images, Preprocessing(channels=3, size=(2, 2), mean=mean, std=std))
    for channel in range(3):
        scale = np.float32(1 / (255 * std[channel]))
        shift = np.float32(-mean[channel] / std[channel])
        for index in np.ndindex(2, 2, 2):
            n, y, x = index
            step = np.float32(np.float32(images[n, channel, y, x]) * scale)
            assert result[n, channel, y, x] == np.float32(step + shift)
            exact = (images[n, channel, y, x] / 255 - mean[channel]) / std[channel]
            size = max(1.0, abs(mean[channel])) / std[channel]
            assert result[n, channel, y, x] == pytest.approx(exact, abs=1e-6 * size)


def test_the_same_operations_in_torch_give_the_same_bits() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
    scale = torch.tensor(1 / (255 * (1 / 1.275)), dtype=torch.float64).float()
    shift = torch.tensor(-(0.1 / 1.275) / (1 / 1.275), dtype=torch.float64).float()
    padded = torch.nn.functional.pad(torch.from_numpy(images), (2, 2, 2, 2))
    twin = padded.float().mul(scale).add(shift)
    assert normalise(images, MNIST).tobytes() == twin.numpy().tobytes()


def test_normalise_refuses_images_of_another_shape_or_kind() -> None:
    with pytest.raises(InputError, match=r"images are uint8 \(1, 1, 32, 32\); allowed: uint8, \(N"):
        normalise(np.zeros((1, 1, 32, 32), np.uint8), MNIST)
    with pytest.raises(InputError, match="images are float64"):
        normalise(np.zeros((1, 1, 28, 28)), MNIST)  # type: ignore[arg-type]


# -- channels and size -----------------------------------------------------------------------


def test_grey_is_itu_r_601_luma() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 200, 30]]], np.uint8)
    grey = conform(colours, 1, None)
    expected = [round(0.299 * r + 0.587 * g + 0.114 * b) for r, g, b in colours[0].tolist()]
    assert expected == [76, 150, 29, 124]
    np.testing.assert_array_equal(grey, [[expected]])


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.array([[[1], [2]]], np.uint8)
    np.testing.assert_array_equal(conform(grey, 3, None), [[[1, 2]]] * 3)


def test_shrinking_by_two_averages_with_a_triangle() -> None:
    """Antialiased bilinear by 2: weights 1/8, 3/8, 3/8, 1/8, at the edge 3/7, 3/7, 1/7."""
    row = np.array([0, 70, 140, 210, 70, 0], np.uint8)
    result = conform(np.repeat(row[None, :, None], 2, axis=0), None, (2, 3))
    middle = (70 + 3 * 140 + 3 * 210 + 70) / 8
    left, right = (3 * 0 + 3 * 70 + 140) / 7, (210 + 3 * 70 + 3 * 0) / 7
    np.testing.assert_allclose(result[0, 0], [left, middle, right], atol=1)


@pytest.mark.parametrize("size", [(8, 8), (31, 40), (5, 60), (1, 1)])
def test_resizing_agrees_with_torch(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    ours = conform(picture, 3, size).astype(int)
    planes = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))[None]
    theirs = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True)
    assert ours.shape == (3, *size)
    np.testing.assert_allclose(ours, theirs[0].numpy(), atol=1.01)  # Pillow rounds each pass


def test_what_is_right_already_stays_as_it_is() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    np.testing.assert_array_equal(resize(picture, MNIST), picture.transpose(2, 0, 1))
    assert resize(picture, MNIST).flags.c_contiguous


def test_resizing_grey_then_repeating_equals_repeating_then_resizing() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (9, 13, 1), dtype=np.uint8)
    first = conform(np.repeat(picture, 3, axis=2), 3, (32, 32))
    np.testing.assert_array_equal(conform(picture, 3, (32, 32)), first)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 4)])
def test_conform_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="allowed: uint8, H × W × C, C 1 or 3"):
        conform(np.zeros(shape, np.uint8), 1, (2, 2))


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 4), (2, 2), [[1, 2], [11, 12]]),  # one column off each side
        ((2, 5), (2, 2), [[1, 2], [11, 12]]),  # of three columns too many, one on the left
        ((4, 2), (2, 2), [[10, 11], [20, 21]]),
        ((3, 3), (3, 2), [[0, 1], [10, 11], [20, 21]]),
        ((3, 3), (3, 3), [[0, 1, 2], [10, 11, 12], [20, 21, 22]]),
    ],
)
def test_cover_cuts_what_is_too_long_on_both_sides(
    shape: tuple[int, int], size: tuple[int, int], expected: list[list[int]]
) -> None:
    """Pixel (y, x) is 10 y + x; nothing is scaled, so nothing is blurred."""
    picture = np.add.outer(10 * np.arange(shape[0]), np.arange(shape[1])).astype(np.uint8)
    found = conform(picture[:, :, None], None, size, "cover")
    np.testing.assert_array_equal(found[0], expected)


def test_cover_scales_until_both_sides_are_covered() -> None:
    """1 × 2 to 2 × 2: doubled, 2 × 4, of which the middle columns are kept: ¾ and ¼ of each."""
    picture = np.array([[[0], [100]]], np.uint8)
    np.testing.assert_array_equal(conform(picture, None, (2, 2), "cover")[0], [[25, 75]] * 2)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_cover_is_the_formula(
    shape: tuple[int, int], size: tuple[int, int], channels: int, seed: int
) -> None:
    """By loops: each new pixel is a mean around its place in the old picture."""
    picture = np.random.default_rng(seed).integers(0, 256, (*shape, channels), dtype=np.uint8)
    scale = max(Fraction(new, old) for new, old in zip(size, shape, strict=True))
    axes = []
    for old, new in zip(shape, size, strict=True):
        first = math.floor((old * scale - new) / 2)
        matrix = np.zeros((new, old))
        for i in range(new):
            place = float((first + i + Fraction(1, 2)) / scale)
            for j in range(old):
                matrix[i, j] = max(0.0, 1 - abs(j + 0.5 - place) / max(float(1 / scale), 1.0))
        axes.append(matrix / matrix.sum(axis=1, keepdims=True))
    expected = np.einsum("ij,jkc,lk->cil", axes[0], picture.astype(float), axes[1])
    found = conform(picture, None, size, "cover")
    assert found.shape == (channels, *size)
    np.testing.assert_allclose(found, expected, atol=1.01)  # Pillow rounds each direction


def test_a_thin_tall_picture_is_no_bomb() -> None:
    """Pillow would first make it 4096 wide: 4 GB for this one of a megabyte."""
    tall = np.repeat(np.arange(256, dtype=np.uint8), 4096)[:, None, None]
    for aspect in ("stretch", "cover"):
        found = conform(tall, None, (64, 4096), aspect)[0]
        assert found.shape == (64, 4096)
        assert (found == found[:, :1]).all()
    stretched = conform(tall, None, (64, 4096))[0, :, 0]
    np.testing.assert_allclose(stretched, np.arange(64) * 4 + 1.5, atol=1.1)


# -- the window and its size in the batch ------------------------------------------------------


def test_the_window_is_the_centre_or_already_cut() -> None:
    p = Preprocessing(
        channels=1, size=(3, 6), crop=(2, 3), mean=(0.0,), std=(1 / 255,), padding=(1, 0, 0, 0)
    )
    images = np.arange(18, dtype=np.uint8).reshape(1, 1, 3, 6)
    expected = [[0, 1, 2, 3], [0, 7, 8, 9]]  # rows 0 and 1, columns 1 to 3; the border is 0
    np.testing.assert_allclose(normalise(images, p)[0, 0], expected, rtol=1e-6)
    cut = np.array([[[[1, 2, 3], [7, 8, 9]]]], np.uint8)
    np.testing.assert_array_equal(normalise(cut, p), normalise(images, p))
    assert p.input_shape == (1, 2, 4)
    with pytest.raises(InputError, match=r"allowed: uint8, \(N, 1, 3, 6\) or \(N, 1, 2, 3\)"):
        normalise(np.zeros((1, 1, 3, 5), np.uint8), p)


def test_resized_in_the_batch_before_the_border() -> None:
    """A row 0, 200 doubled is 0, 50, 150, 200; the border stays outside."""
    p = Preprocessing(
        channels=1,
        size=(1, 4),
        crop=(1, 2),
        resize=(1, 4),
        padding=(0, 1, 0, 0),
        fill=9,
        mean=(0.0,),
        std=(1 / 255,),
    )
    images = np.array([[[[77, 0, 200, 77]]]], np.uint8)
    assert p.input_shape == (1, 1, 5)
    np.testing.assert_allclose(normalise(images, p)[0, 0], [[0, 50, 150, 200, 9]], rtol=1e-6)


def test_documents_written_before_these_fields_still_load() -> None:
    old = '{"channels":1,"size":[28,28],"padding":[2,2,2,2],"fill":0,"mean":[0.5],"std":[0.5]}'
    p = Preprocessing.model_validate_json(old)
    assert (p.aspect, p.crop, p.resize) == ("stretch", None, None)
    assert p.input_shape == (1, 32, 32)


# -- measuring -------------------------------------------------------------------------------


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3), st.just(2), st.just(5))))
def test_measure_equals_numpy_in_float64(images: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    mean, std = measure(images)
    levels = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, levels.mean(axis=(0, 2, 3)), rtol=1e-12)
    expected = levels.std(axis=(0, 2, 3))
    constant = images.min(axis=(0, 2, 3)) == images.max(axis=(0, 2, 3))
    np.testing.assert_allclose(std, np.where(constant, 1.0, expected), rtol=1e-9)


def test_measure_by_hand_across_its_parts() -> None:
    """2,500 images of one pixel, a fifth of them white: mean 1/5, deviation 2/5."""
    images = np.zeros((2500, 1, 1, 1), np.uint8)
    images[::5] = 255
    (mean,), (std,) = measure(images)
    assert mean == 0.2
    assert std == pytest.approx(0.4, rel=1e-15)


def test_measured_constants_normalise_to_mean_0_and_deviation_1() -> None:
    images = np.random.default_rng(3).integers(0, 200, (50, 3, 6, 6), dtype=np.uint8)
    mean, std = measure(images)
    result = normalise(images, Preprocessing(channels=3, size=(6, 6), mean=mean, std=std))
    np.testing.assert_allclose(result.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_measure_refuses_no_images() -> None:
    with pytest.raises(InputError, match="at least one image"):
        measure(np.zeros((0, 1, 28, 28), np.uint8))


# -- the description itself ------------------------------------------------------------------


def test_it_survives_json_and_cannot_be_changed() -> None:
    text = MNIST.model_dump_json()
    assert Preprocessing.model_validate_json(text) == MNIST
    assert Preprocessing.model_validate(json.loads(text)) == MNIST
    with pytest.raises(ValidationError, match="frozen"):
        MNIST.fill = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 2}, "Input should be 1 or 3"),
        ({"size": (0, 28)}, "greater than or equal to 1"),
        ({"size": (28, 4097)}, "less than or equal to 4096"),
        ({"size": (28,)}, "Field required"),
        ({"padding": (-1, 0, 0, 0)}, "greater than or equal to 0"),
        ({"padding": (1025, 0, 0, 0)}, "less than or equal to 1024"),
        ({"fill": 256}, "less than or equal to 255"),
        ({"mean": (0.1, 0.2, 0.3)}, "mean has 3 values; allowed: 1, one a channel"),
        ({"std": ()}, "std has 0 values; allowed: 1, one a channel"),
        ({"std": (0.0,)}, "greater than 0"),
        ({"mean": (math.nan,)}, "finite number"),
        ({"std": (math.inf,)}, "finite number"),
        ({"std": (1e-39,)}, "leave the range of float32"),
        ({"mean": (1e39,)}, "leave the range of float32"),
        ({"cropped": 3}, "Extra inputs are not permitted"),
        ({"crop": (29, 28)}, "crop is 29 × 28; allowed: at most the size, 28 × 28"),
        ({"crop": (28, 29)}, "crop is 28 × 29; allowed: at most the size, 28 × 28"),
        ({"crop": (0, 28)}, "greater than or equal to 1"),
        ({"resize": (4097, 28)}, "less than or equal to 4096"),
        ({"resize": (28, 0)}, "greater than or equal to 1"),
        ({"resize": (4096, 9)}, "the input is 4100 × 13 with its border; allowed: at most 4096"),
        ({"aspect": "squeeze"}, "Input should be 'stretch' or 'cover'"),
    ],
)
def test_it_refuses_what_makes_no_sense(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preprocessing.model_validate({**MNIST.model_dump(), **change})
