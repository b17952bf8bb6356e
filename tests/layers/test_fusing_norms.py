"""Where a kernel stands for batch normalisation, and where the layers themselves compute."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convscope.kernels import library
from convscope.kernels.batch_norm import batch_norm
from convscope.layers import fusing
from convscope.layers.activation import Activation
from convscope.layers.fusing import normalise_and_pool, norms_in_use
from convscope.layers.pooling import Pool

pytestmark = pytest.mark.skipif(
    not library.available(), reason="the kernels are not compiled here: no C compiler"
)


def pictures(n: int = 4, maps: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    x = torch.randn(n, maps, 9, 8, generator=torch.Generator().manual_seed(2))
    return x.to(dtype, memory_format=torch.channels_last)


class Counted:
    """The kernel, and how often it was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        monkeypatch.setattr(fusing, "batch_norm", self.call)

    def call(self, *arguments: Any) -> Any:
        self.calls += 1
        return batch_norm(*arguments)


def layers(maps: int = 16, pool: Pool = Pool("max", 3, 2, 1)) -> list[nn.Module]:
    return [nn.BatchNorm2d(maps), Activation("gelu").build(), pool.build(maps)]


def test_statistics_are_followed_as_torch_follows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, ours = Counted(monkeypatch), layers()
    theirs = copy.deepcopy(ours)
    for seed in range(3):
        x = pictures() * (seed + 1) + seed
        with norms_in_use():
            y = normalise_and_pool(x, *ours)
        torch.testing.assert_close(y, normalise_and_pool(x, *theirs), rtol=1e-4, atol=1e-5)
    assert counted.calls == 3
    for name, value in theirs[0].state_dict().items():
        torch.testing.assert_close(ours[0].state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_layers_compute_where_the_kernel_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    evaluated, watched = layers(), layers()
    evaluated[0].eval()
    watched[1].register_forward_hook(lambda *_: None)
    no_weights = [nn.BatchNorm2d(16, affine=False), *layers()[1:]]
    cumulative = [nn.BatchNorm2d(16, momentum=None), *layers()[1:]]
    untracked = [nn.BatchNorm2d(16, track_running_stats=False), *layers()[1:]]
    cases: list[tuple[Tensor, list[nn.Module]]] = [
        (pictures(), evaluated),
        (pictures(), watched),
        (pictures(), no_weights),
        (pictures(), cumulative),
        (pictures(), untracked),
        (pictures(), [nn.Identity(), *layers()[1:]]),
        (pictures(maps=12), layers(12)),
        (pictures().contiguous(), layers()),
        (pictures(dtype=torch.float64), [one.double() for one in layers()]),
        (pictures(), layers(pool=Pool("average"))),
        (pictures(), layers(pool=Pool("max", 3, 2, ceil=True))),
    ]
    for x, parts in cases:
        plain = copy.deepcopy(parts)
        with norms_in_use():
            y = normalise_and_pool(x, *parts)
        assert torch.equal(y, normalise_and_pool(x, *plain))
    assert counted.calls == 0
    normalise_and_pool(pictures(), *layers())  # outside of the context
    assert counted.calls == 0


def test_a_single_number_to_a_map_is_refused_as_torch_refuses_it() -> None:
    x = torch.ones(1, 16, 1, 1).to(memory_format=torch.channels_last)
    with norms_in_use(), pytest.raises(ValueError, match="more than 1 value per channel"):
        normalise_and_pool(x, nn.BatchNorm2d(16), Activation("relu").build(), nn.Identity())
