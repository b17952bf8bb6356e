import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from convscope.data.dataset import Dataset
from convscope.data.duplicates import duplicates_across
from convscope.data.preprocess import measure
from convscope.data.stored import Descriptor, StoredImages, blocks, select
from convscope.errors import InputError

COUNT, SHAPE = 23, (3, 4, 5)
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredImages:
    return store(tmp_path_factory.mktemp("stored") / "x.pixels", PIXELS)


def store(path: Path, images: np.ndarray[Any, np.dtype[np.uint8]]) -> StoredImages:
    path.write_bytes(images.tobytes())
    _, channels, height, width = images.shape
    with path.open("rb") as file:
        shape = (channels, height, width)
        return StoredImages(Descriptor(file), path, shape, np.arange(len(images)))


INDICES = arrays.arrays(np.int64, st.integers(0, 40), elements=st.integers(-COUNT, COUNT - 1))
SLICES = st.slices(COUNT)
MASKS = arrays.arrays(np.bool_, COUNT)


@given(index=st.one_of(INDICES, SLICES, MASKS, st.integers(-COUNT, COUNT - 1)))
def test_it_is_indexed_as_an_array_is(stored: StoredImages, index: Any) -> None:
    found = stored[index]
    assert found.dtype == np.uint8
    assert found.shape == PIXELS[index].shape
    np.testing.assert_array_equal(found, PIXELS[index])


@given(first=INDICES, second=st.data())
def test_a_subset_of_a_subset(stored: StoredImages, first: Any, second: Any) -> None:
    if not len(first):
        return
    bounds = st.integers(0, len(first) - 1)
    chosen = second.draw(arrays.arrays(np.int64, st.integers(0, 9), elements=bounds))
    part = stored.subset(first).subset(chosen)
    assert part.shape == (len(chosen), *SHAPE)
    np.testing.assert_array_equal(part[:], PIXELS[first][chosen])
    np.testing.assert_array_equal(select(PIXELS[first], chosen), part[:])


def test_what_an_array_says_of_itself(stored: StoredImages) -> None:
    assert (len(stored), stored.shape, stored.ndim) == (COUNT, PIXELS.shape, 4)
    assert stored.dtype == PIXELS.dtype
    assert stored.nbytes == PIXELS.nbytes
    np.testing.assert_array_equal(list(stored), PIXELS)
    np.testing.assert_array_equal(np.concatenate(list(blocks(stored))), PIXELS)


def test_what_is_read_is_the_readers_own(stored: StoredImages) -> None:
    first = stored[0]
    first[:] = 0
    np.testing.assert_array_equal(stored[0], PIXELS[0])


@pytest.mark.parametrize("index", [COUNT, -COUNT - 1, np.array([0, COUNT])])
def test_there_is_no_such_image(stored: StoredImages, index: Any) -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        stored[index]


@pytest.mark.parametrize("index", [(0, 1), np.zeros((2, 2), np.int64)])
def test_only_images_are_indexed(stored: StoredImages, index: Any) -> None:
    with pytest.raises(IndexError, match=r"too many indices|an array of one axis"):
        stored[index]


def test_nobody_reads_all_by_accident(stored: StoredImages) -> None:
    with pytest.raises(TypeError, match="read them in parts"):
        np.ascontiguousarray(stored)


def test_more_rows_than_one_read_takes(tmp_path: Path) -> None:
    """Linux fills at most 1024 places at once."""
    images = np.random.default_rng(1).integers(0, 256, (5000, 1, 2, 2), dtype=np.uint8)
    found = store(tmp_path / "x.pixels", images)
    order = np.random.default_rng(2).permutation(5000)
    np.testing.assert_array_equal(found[order], images[order])


def test_a_shortened_file_is_an_error_not_a_crash(tmp_path: Path) -> None:
    images = store(tmp_path / "x.pixels", PIXELS)
    os.truncate(tmp_path / "x.pixels", PIXELS.nbytes - 1)
    np.testing.assert_array_equal(images[:-1], PIXELS[:-1])
    for index in (-1, slice(None), np.array([3, COUNT - 1])):
        with pytest.raises(
            InputError, match=r"x\.pixels cannot be read: it is shorter than it was"
        ):
            images[index]


def test_a_file_without_its_name_is_still_read(tmp_path: Path) -> None:
    images = store(tmp_path / "x.pixels", PIXELS)
    (tmp_path / "x.pixels").unlink()
    np.testing.assert_array_equal(images[:], PIXELS)


def test_the_descriptor_is_closed_with_its_last_user(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list descriptors")
    before = count()
    images = store(tmp_path / "x.pixels", PIXELS)
    part = images.subset(np.array([1, 2]))
    del images
    assert count() == before + 1
    np.testing.assert_array_equal(part[:], PIXELS[1:3])
    del part
    assert count() == before


def test_a_dataset_of_them(stored: StoredImages) -> None:
    """As one of the same pixels in memory: subsets, means, copies across splits."""
    labels = np.arange(COUNT, dtype=np.int64) % 2
    facts: dict[str, Any] = {"name": "x", "split": "train", "classes": ("a", "b"), "labels": labels}
    lazy, memory = (Dataset(images=images, **facts) for images in (stored, PIXELS.copy()))
    chosen = np.array([4, 4, 7])
    assert isinstance(lazy.subset(chosen, split="test").images, StoredImages)
    np.testing.assert_array_equal(lazy.subset(chosen, split="test").images[:], PIXELS[chosen])
    assert lazy.image_shape == memory.image_shape == SHAPE
    assert measure(lazy.images) == measure(memory.images)
    test = lazy.subset(chosen, split="test")
    assert duplicates_across(lazy, test) == [("#4", "#0"), ("#4", "#1"), ("#7", "#2")]
