import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convscope.data.batches import batches, epoch_order, take, to_input
from convscope.data.preprocess import Preprocessing, normalise
from convscope.errors import InputError


@given(n=st.integers(0, 300), seed=st.integers(0, 2**63), epoch=st.integers(0, 1000))
def test_order_is_a_permutation_of_its_arguments_alone(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed, epoch)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(n))
    state = torch.random.get_rng_state()
    torch.rand(3)
    assert torch.equal(order, epoch_order(n, seed, epoch))
    torch.random.set_rng_state(state)


def test_order_leaves_the_global_generator_alone() -> None:
    state = torch.random.get_rng_state()
    epoch_order(100, 0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_orders_differ_between_epochs_and_seeds() -> None:
    orders = [tuple(epoch_order(50, s, e).tolist()) for s in range(5) for e in range(5)]
    assert len(set(orders)) == 25


def test_batches() -> None:
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    labels = torch.arange(10) * 10
    order = torch.tensor([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    found = list(batches(labels, order, 4))
    assert [indices.tolist() for indices, _ in found] == [[3, 1, 4, 0], [5, 9, 2, 6], [8, 7]]
    for indices, classes in found:
        assert take(images, indices).flatten().tolist() == indices.tolist()
        assert classes.tolist() == [10 * index for index in indices.tolist()]
    assert list(batches(labels, order[:0], 4)) == []


@given(
    count=st.integers(0, 4),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    padding=st.tuples(*[st.integers(0, 3)] * 4),
    fill=st.integers(0, 255),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_same_bits_as_numpy(
    count: int,
    size: tuple[int, int],
    padding: tuple[int, int, int, int],
    fill: int,
    channels: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, channels, *size), dtype=np.uint8)
    p = Preprocessing(
        channels=1 if channels == 1 else 3,
        size=size,
        padding=padding,
        fill=fill,
        mean=tuple(rng.normal(size=channels)),
        std=tuple(rng.uniform(0.01, 3, size=channels)),
    )
    found = to_input(torch.from_numpy(images), p)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), normalise(images, p))
    assert found.shape == (count, *p.input_shape)


def test_every_grey_level_gives_the_same_bits() -> None:
    """Vectorised and scalar code paths alike: lengths that are no multiple of a vector."""
    p = Preprocessing(channels=1, size=(7, 37), mean=(0.1307,), std=(0.3081,))
    images = (np.arange(7 * 37) % 256).astype(np.uint8).reshape(1, 1, 7, 37)
    np.testing.assert_array_equal(to_input(torch.from_numpy(images), p), normalise(images, p))


def test_by_hand() -> None:
    p = Preprocessing(
        channels=1, size=(1, 1), padding=(1, 0, 0, 1), fill=255, mean=(0.5,), std=(0.25,)
    )
    found = to_input(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), p)
    # 0 → (0 − 0.5) / 0.25 = −2, the border 255 → (1 − 0.5) / 0.25 = 2
    assert found[0, 0].numpy() == pytest.approx(np.array([[2, -2], [2, 2]]), abs=1e-6)


def test_the_images_are_not_changed() -> None:
    p = Preprocessing(channels=1, size=(2, 2), mean=(0.0,), std=(1.0,))
    images = torch.full((1, 1, 2, 2), 7, dtype=torch.uint8)
    to_input(images, p)
    assert (images == 7).all()


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 3, 5, 5, dtype=torch.uint8)]
)
def test_other_images(images: torch.Tensor) -> None:
    p = Preprocessing(channels=3, size=(4, 4), mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(InputError, match=r"allowed: uint8, \(N, 3, 4, 4\): resize them first"):
        to_input(images, p)
