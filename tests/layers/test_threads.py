"""Whose the threads are: the kernels' where they compute the network, else torch's."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from torch import nn

from convscope import models
from convscope.kernels import calls, library
from convscope.layers.fusing import kernels_in_use, threads_for

pytestmark = pytest.mark.skipif(not library.available(), reason="no kernels are compiled here")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    calls.use_threads(None)
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads() -> tuple[int, int | None]:
    return torch.get_num_threads(), calls._own_threads


def test_kernels_have_them_for_as_long_as_they_compute() -> None:
    with kernels_in_use(), suppress(KeyError), threads_for(models.build("lenet5")):
        assert threads() == (1, 2)
        raise KeyError("something goes wrong")
    assert threads() == (2, None)


def test_inside_of_a_training_they_stay_as_they_are() -> None:
    calls.use_threads(2)
    torch.set_num_threads(1)
    try:
        with kernels_in_use(), threads_for(models.build("lenet5")):
            assert threads() == (1, 2)
        assert threads() == (1, 2)
    finally:
        calls.use_threads(None)


def test_torch_keeps_them_without_kernels_or_for_other_layers() -> None:
    with threads_for(models.build("lenet5")):
        assert threads() == (2, None)
    other = nn.Sequential(models.build("lenet5"), nn.BatchNorm1d(10))
    with kernels_in_use(), threads_for(other):
        assert threads() == (2, None)
