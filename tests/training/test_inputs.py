import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convscope.data.preprocess import Preprocessing, normalise
from convscope.training.inputs import picture_size, plan_preprocessing
from convscope.training.recipe import Inputs


def plan(
    height: int, width: int, target: tuple[int, int, int] = (1, 32, 32), **choice: object
) -> Preprocessing:
    """The plan for pictures half black, half white."""
    images = np.zeros((2, target[0], height, width), np.uint8)
    images[1] = 255
    return plan_preprocessing(Inputs.model_validate(choice), images, target)


def test_mnist_is_centred_in_a_border_of_two() -> None:
    found = plan(28, 28)
    assert found.size == (28, 28)
    assert found.padding == (2, 2, 2, 2)
    assert found.input_shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("height", "width", "size", "padding"),
    [
        (32, 32, (32, 32), (0, 0, 0, 0)),
        (31, 29, (31, 29), (1, 2, 0, 1)),  # left 1, right 2, top 0, bottom 1
        (1, 1, (1, 1), (15, 16, 15, 16)),
        (64, 64, (32, 32), (0, 0, 0, 0)),
        (200, 30, (32, 30), (1, 1, 0, 0)),
        (10, 33, (10, 32), (0, 0, 11, 11)),
    ],
)
def test_the_odd_pixel_goes_right_and_down_and_larger_pictures_shrink(
    height: int, width: int, size: tuple[int, int], padding: tuple[int, int, int, int]
) -> None:
    found = plan(height, width)
    assert found.size == size
    assert found.padding == padding


@given(st.tuples(*[st.integers(1, 80)] * 2), st.sampled_from([1, 3]), st.integers(1, 64))
def test_every_picture_reaches_the_input_exactly(
    size: tuple[int, int], channels: int, side: int
) -> None:
    found = plan(*size, target=(channels, side, side))
    left, right, top, bottom = found.padding
    assert found.input_shape == (channels, side, side)
    assert 0 <= right - left <= 1
    assert 0 <= bottom - top <= 1


def grey_levels(found: Preprocessing) -> tuple[float, float]:
    """What levels 0 and 255 become."""
    images = np.zeros((2, 1, *found.size), np.uint8)
    images[1] = 255
    black, white = normalise(images, found)[:, 0, 16, 16].tolist()
    return black, white


def test_the_levels_of_1998() -> None:
    """II-B: background −0.1, ink 1.175, so that the mean is about 0 and the variance about 1."""
    found = plan(28, 28, normalisation="lenet5-1998")
    assert grey_levels(found) == pytest.approx((-0.1, 1.175), abs=1e-6)


def test_unit_divides_by_255() -> None:
    found = plan(28, 28, normalisation="unit")
    assert grey_levels(found) == pytest.approx((0.0, 1.0), abs=1e-7)


def test_measured_gives_mean_0_and_deviation_1() -> None:
    """Half black, half white: mean 1/2, deviation 1/2."""
    found = plan(28, 28)
    assert found.mean == pytest.approx((0.5,))
    assert found.std == pytest.approx((0.5,))
    assert grey_levels(found) == pytest.approx((-1.0, 1.0), abs=1e-6)


def test_each_channel_is_measured_for_itself() -> None:
    images = np.zeros((2, 3, 4, 4), np.uint8)
    images[0, 1], images[1, 1] = 51, 102
    images[:, 2] = 255
    found = plan_preprocessing(Inputs(), images, (3, 4, 4))
    assert found.mean == pytest.approx((0.0, 0.3, 1.0))
    assert found.std == pytest.approx((1.0, 0.1, 1.0))
    assert np.isfinite(normalise(images, found)).all()


def test_a_named_normalisation_is_the_same_for_three_channels() -> None:
    found = plan(8, 8, target=(3, 8, 8), normalisation="lenet5-1998")
    assert len(set(found.mean)) == len(set(found.std)) == 1
    assert len(found.mean) == len(found.std) == 3


def test_the_border_has_the_level_asked_for() -> None:
    found = plan(30, 30, fill=255, normalisation="unit")
    result = normalise(np.zeros((1, 1, 30, 30), np.uint8), found)[0, 0]
    assert math.isclose(result[0].min(), 1.0, abs_tol=1e-7)
    assert math.isclose(result[1:-1, 1:-1].max(), 0.0, abs_tol=1e-7)


@pytest.mark.parametrize(
    ("own", "crop", "resize"),
    [((256, 256), (224, 224), None), ((32, 32), (28, 28), (224, 224))],
)
def test_windows_of_a_larger_picture(
    own: tuple[int, int], crop: tuple[int, int], resize: tuple[int, int] | None
) -> None:
    """A small picture's window is as large a share of it: 32 × 224 / 256 = 28."""
    images = np.zeros((2, 3, *own), np.uint8)
    inputs = Inputs(picture=256, fit="resize", aspect="cover")
    found = plan_preprocessing(inputs, images, (3, 224, 224))
    assert (found.size, found.crop, found.resize, found.aspect) == (own, crop, resize, "cover")
    assert found.input_shape == (3, 224, 224)
    assert picture_size(inputs, (224, 224)) == (256, 256)


def test_small_pictures_are_enlarged_in_the_batch() -> None:
    images = np.zeros((2, 3, 32, 32), np.uint8)
    found = plan_preprocessing(Inputs(fit="resize"), images, (3, 227, 227))
    assert (found.size, found.resize, found.padding) == ((32, 32), (227, 227), (0, 0, 0, 0))


def test_levels_of_the_2012_paper() -> None:
    """0 to 255 minus the mean: white on a half black, half white set is 127.5."""
    images = np.zeros((2, 3, 4, 4), np.uint8)
    images[1] = 255
    found = plan_preprocessing(Inputs(normalisation="alexnet-2012"), images, (3, 4, 4))
    inputs = normalise(images, found)
    np.testing.assert_allclose(inputs[1], 127.5, atol=1e-4)
    np.testing.assert_allclose(inputs[0], -127.5, atol=1e-4)


def test_named_constants() -> None:
    images = np.zeros((1, 3, 4, 4), np.uint8)
    found = plan_preprocessing(Inputs(normalisation="imagenet"), images, (3, 4, 4))
    assert found.mean == (0.485, 0.456, 0.406)
    assert found.std == (0.229, 0.224, 0.225)
