"""Random numbers in layers, where this process computes only a part of the batch or of the maps.

Every process draws the numbers of the whole and takes its own, so that a network trained by many
processes drops and chooses what one process would have.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Rows:
    """This process has the images from number `first` on, of a batch of `whole`."""

    first: int
    whole: int

    def place(self, shape: torch.Size) -> tuple[int, int, int]:
        """Dimension, first index and length of the whole, for a part of this shape."""
        del shape
        return 0, self.first, self.whole


@dataclass(frozen=True)
class Maps:
    """This process has part number `index` of all maps or units, of `count` equal parts."""

    index: int
    count: int

    def place(self, shape: torch.Size) -> tuple[int, int, int]:
        """Dimension, first index and length of the whole, for a part of this shape."""
        return 1, self.index * shape[1], self.count * shape[1]


_part: ContextVar[Rows | Maps | None] = ContextVar("part", default=None)


@contextmanager
def drawing(part: Rows | Maps | None) -> Iterator[None]:
    """A context in which layers compute this part of the whole."""
    token = _part.set(part)
    try:
        yield
    finally:
        _part.reset(token)


def draw(shape: torch.Size, make: Callable[[torch.Size], Tensor]) -> Tensor:
    """Random numbers of `shape`: those that this part has of `make(shape of the whole)`."""
    part = _part.get()
    if part is None:
        return make(shape)
    dimension, first, whole = part.place(shape)
    sizes = list(shape)
    sizes[dimension] = whole
    return make(torch.Size(sizes)).narrow(dimension, first, shape[dimension])


class Dropout(nn.Dropout):
    """torch.nn.Dropout that drops in its part what it would drop in the whole."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if not self.training or self.p == 0:
            return x
        return x * draw(x.shape, self._factors).to(x.device, x.dtype)

    def _factors(self, shape: torch.Size) -> Tensor:
        """0 or 1/(1 − p) for each value, as torch draws them."""
        return nn.functional.dropout(torch.ones(shape), self.p)
