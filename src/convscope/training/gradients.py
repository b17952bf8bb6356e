"""The sum of all processes' gradients, on its way while the backward pass still goes on.

torch's DistributedDataParallel does the same. It arranges its parcels anew after the first step,
so that a resumed run would add in another order; and it needs an image in every process.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from convscope.training.distributed import Group, peers

PARCEL_BYTES = 25 * 2**20
"""Of float32, at least: large enough to use the network well, small enough to start early."""


class GradientSums:
    """Replaces the gradients of `parameters` by their sums over the processes of `group`.

    Gradients travel in parcels, those of the last layers first, for they are known first. They
    are added in float32, whatever the precision of the arithmetic.

    Attributes:
        handed_over: bytes that this process has given to be added up with those of the others.
    """

    handed_over = 0

    def __init__(self, parameters: Iterable[nn.Parameter], group: Group) -> None:
        self._parcels: list[list[nn.Parameter]] = []
        self._missing: list[int] = []
        self._sent: list[tuple[torch.Tensor, Any]] = []
        self._parcel_of: dict[int, int] = {}
        if group.shares_images:
            self._parcels = _parcels(parameters)
        for number, parcel in enumerate(self._parcels):
            for parameter in parcel:
                self._parcel_of[id(parameter)] = number
                parameter.register_post_accumulate_grad_hook(self._note)  # type: ignore[no-untyped-call]
        self._start()

    def finish(self) -> None:
        """Wait until every gradient is the sum over all processes. After each backward pass."""
        with peers(), torch.no_grad():
            while len(self._sent) < len(self._parcels):
                self._send()  # a process without images has no gradients: it adds zeros
            for parcel, (content, work) in zip(self._parcels, self._sent, strict=True):
                work.wait()
                _unpack(content, parcel)
        self._start()

    def _start(self) -> None:
        self._missing = [len(parcel) for parcel in self._parcels]
        self._sent = []

    def _note(self, parameter: nn.Parameter) -> None:
        self._missing[self._parcel_of[id(parameter)]] -= 1
        # In the same order in every process, for the first of each are added to one another.
        while len(self._sent) < len(self._parcels) and not self._missing[len(self._sent)]:
            self._send()

    def _send(self) -> None:
        content = _pack(self._parcels[len(self._sent)])
        GradientSums.handed_over += content.nbytes
        with peers():
            self._sent.append((content, dist.all_reduce(content, async_op=True)))


def _parcels(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    """The parameters from the last to the first, in parcels of `PARCEL_BYTES` or more."""
    parcels: list[list[nn.Parameter]] = [[]]
    size = 0
    for parameter in reversed([one for one in parameters if one.requires_grad]):
        if size >= PARCEL_BYTES:
            parcels.append([])
            size = 0
        parcels[-1].append(parameter)
        size += 4 * parameter.numel()
    return [parcel for parcel in parcels if parcel]


@torch.no_grad()
def _pack(parcel: list[nn.Parameter]) -> torch.Tensor:
    for parameter in parcel:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parcel if parameter.grad is not None]
    if len(gradients) == 1 and gradients[0].dtype == torch.float32 and gradients[0].is_contiguous():
        return gradients[0].view(-1)
    return torch.cat([gradient.float().flatten() for gradient in gradients])


def _unpack(content: torch.Tensor, parcel: list[nn.Parameter]) -> None:
    start = 0
    for parameter in parcel:
        assert parameter.grad is not None
        end = start + parameter.numel()
        if parameter.grad.data_ptr() != content.data_ptr():
            parameter.grad.copy_(content[start:end].view_as(parameter))
        start = end
