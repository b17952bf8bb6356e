import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing, normalise
from convscope.data.resample import resample, weights

SIDES = st.integers(1, 70)


@given(n_in=SIDES, n_out=SIDES)
def test_weights_are_the_formula(n_in: int, n_out: int) -> None:
    step = n_in / n_out
    found = weights(n_in, n_out)
    assert found.shape == (n_out, n_in)
    assert found.dtype == np.float32
    for i in range(n_out):
        row = [
            max(0.0, 1.0 - abs(j + 0.5 - (i + 0.5) * step) / max(step, 1.0)) for j in range(n_in)
        ]
        np.testing.assert_allclose(found[i], np.array(row) / sum(row), atol=1e-7)


def test_weights_by_hand() -> None:
    """Shrunk by two: 1/8, 3/8, 3/8, 1/8, at the edge 3/7, 3/7, 1/7 (one weight falls outside)."""
    expected = [[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]]
    np.testing.assert_allclose(weights(4, 2), expected, rtol=1e-6)
    np.testing.assert_array_equal(weights(5, 5), np.eye(5))
    np.testing.assert_array_equal(weights(1, 3), [[1]] * 3)


def test_nobody_can_change_the_weights_of_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        weights(3, 4)[0, 0] = 7


@given(
    shape=st.tuples(SIDES, SIDES),
    size=st.tuples(SIDES, SIDES),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_numpy_torch_and_pillow_agree(
    shape: tuple[int, int], size: tuple[int, int], channels: int, seed: int
) -> None:
    """Pillow, which rounds twice, to one grey level; torch's own to 1e-2; ours to 1e-3."""
    images = np.random.default_rng(seed).integers(0, 256, (2, channels, *shape), dtype=np.uint8)
    p = Preprocessing(
        channels=1 if channels == 1 else 3,
        size=shape,
        resize=size,
        mean=(0.0,) * channels,
        std=(1 / 255,) * channels,  # the numbers stay grey levels
    )
    ours, twin = normalise(images, p), to_input(torch.from_numpy(images), p).numpy()
    assert ours.shape == twin.shape == (2, channels, *size)
    assert ours.dtype == twin.dtype == np.float32
    np.testing.assert_allclose(ours, twin, atol=1e-3)
    if size[1] > 1:  # torch 2.13 fills a single column with its first pixel
        planes = torch.from_numpy(images).float()
        theirs = F.interpolate(planes, size, mode="bilinear", antialias=True)
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-2)
    for image, plane in zip(images.reshape(-1, *shape), ours.reshape(-1, *size), strict=True):
        picture = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(np.asarray(picture), plane, atol=1.001)


@settings(deadline=None, max_examples=5)
@given(old=st.integers(200, 300), new=st.integers(200, 300), seed=st.integers(0, 9))
def test_pillow_agrees_at_the_sizes_of_networks(old: int, new: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (old, old), dtype=np.uint8)
    picture = Image.fromarray(image).resize((new, new), Image.Resampling.BILINEAR)
    ours = resample(image.astype(np.float32), (new, new))
    np.testing.assert_allclose(np.asarray(picture), ours, atol=1.001)


@given(shape=st.tuples(SIDES, SIDES), size=st.tuples(SIDES, SIDES), level=st.integers(0, 255))
def test_an_even_picture_stays_even(
    shape: tuple[int, int], size: tuple[int, int], level: int
) -> None:
    images = np.full((1, 1, *shape), level, np.float32)
    np.testing.assert_allclose(resample(images, size), level, rtol=1e-6)


def test_autocast_does_not_coarsen_the_pixels() -> None:
    p = Preprocessing(channels=1, size=(9, 9), resize=(23, 23), mean=(0.0,), std=(1 / 255,))
    images = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (2, 1, 9, 9), dtype=np.uint8)
    )
    alone = to_input(images, p)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = to_input(images, p)
    assert inside.dtype == torch.float32
    assert torch.equal(alone, inside)


def test_the_images_are_not_changed() -> None:
    """Where crop and size change nothing, float() must still have made new memory."""
    p = Preprocessing(channels=1, size=(4, 4), crop=(4, 4), resize=(4, 4), mean=(0.5,), std=(0.5,))
    images = np.random.default_rng(1).integers(0, 256, (2, 1, 4, 4), dtype=np.uint8)
    before = images.copy()
    np.testing.assert_array_equal(to_input(torch.from_numpy(images), p), normalise(images, p))
    np.testing.assert_array_equal(images, before)
