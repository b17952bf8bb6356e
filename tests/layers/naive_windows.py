"""Pooling written as loops, straight from its definition: the reference for every layer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """A window along one axis, with its padding already split."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil: bool = False

    @property
    def span(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def positions(self, size: int) -> list[list[int]]:
        """The indices each window sees, counted from the first input element; by walking."""
        end = size + self.before + self.after
        if self.span > end:
            return []
        starts = [0]
        while True:
            following = starts[-1] + self.stride
            if self.ceil:
                covered = starts[-1] + self.span >= end
                if covered or following >= size + self.before:
                    break
            elif following + self.span > end:
                break
            starts.append(following)
        return [
            [start - self.before + i * self.dilation for i in range(self.kernel)]
            for start in starts
        ]


Reduce = Callable[[Tensor, int], Tensor]
"""(N × C × the elements inside the input, how many stand inside it and its padding) → N × C."""


def naive_pool(x: Tensor, rows: Axis, columns: Axis, reduce: Reduce) -> Tensor:
    """Every window of N × C × H × W reduced on its own; differentiable."""
    height, width = x.shape[-2:]
    result = []
    for ys in rows.positions(height):
        for xs in columns.positions(width):
            inside = [x[:, :, y, z] for y in ys for z in xs if 0 <= y < height and 0 <= z < width]
            padded = sum(y < height + rows.after for y in ys) * sum(
                z < width + columns.after for z in xs
            )
            result.append(reduce(torch.stack(inside, dim=-1), padded))
    shape = (*x.shape[:2], len(rows.positions(height)), len(columns.positions(width)))
    return torch.stack(result, dim=-1).reshape(shape)
