"""Training by several processes at once: who is who, and what they tell each other.

Started by `torchrun --nproc-per-node N -m convscope train …`, each process computes its share of
every batch, and the sums of what they found are the batch's: the same recipe, whatever N. With
`parallel=columns` each of two processes computes a column of AlexNet, see `columns.py`.

Process 0 alone reads checkpoints, writes, and prints. Where a process dies its connections close,
so the others stop within a step; torchrun starts all of them again if it was told to.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from convscope.errors import InputError, TrainingError
from convscope.layers.draws import Maps, Rows, drawing
from convscope.text import printable

Tensors = dict[str, torch.Tensor]

PATIENCE = timedelta(hours=12)
"""How long a process waits for another, which may read and decode a large data set meanwhile."""


@dataclass(frozen=True)
class Group:
    """The processes that train one network together, seen from one of them.

    Attributes:
        rank: number of this process, from 0. size: how many there are.
        local_rank, local_size: the same among those on this machine.
        parallel: what is shared out: the images of each batch, or the columns of the network.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    parallel: Literal["data", "columns"] = "data"

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    @property
    def shares_images(self) -> bool:
        return self.size > 1 and self.parallel == "data"

    @property
    def shares_columns(self) -> bool:
        return self.size > 1 and self.parallel == "columns"

    def threads(self, wanted: int) -> int:
        """Threads of this process, where those of one machine have `wanted` together; 0 is auto."""
        return max(wanted // self.local_size, 1) if wanted else 0

    def share(self, n: int) -> slice:
        """This process's part of `n` images in a row; the parts differ by one at the most."""
        if not self.shares_images:
            return slice(0, n)
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def drawing(self, n: int) -> AbstractContextManager[None]:
        """The context for a step on a batch of `n` images in all; see `layers/draws.py`."""
        if self.shares_images:
            return drawing(Rows(self.share(n).start, n))
        if self.shares_columns:
            return drawing(Maps(self.rank, self.size))
        return nullcontext()

    def total(self, values: list[float]) -> list[float]:
        """The sums of `values` over all processes, in float64."""
        if self.size == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64)
        with peers():
            dist.all_reduce(sums)
        return [float(value) for value in sums]

    def tell(self, document: object = None) -> Any:
        """The JSON document that process 0 gives, in every process."""
        if self.size == 1:
            return document
        with peers():
            return _broadcast(document, 0)

    def rows(self, own: torch.Tensor, n: int) -> torch.Tensor:
        """All `n` rows, of which `own` are those of this process's `share`, float64."""
        if not self.shares_images:
            return own
        whole = torch.zeros(n, own.shape[1], dtype=torch.float64)
        whole[self.share(n)] = own
        with peers():
            dist.all_reduce(whole)  # x + 0 is x, also where x is no number
        return whole

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """The tensors of the whole network, of which each process may have a part.

        In process 0; the others are given what they have.
        """
        if not self.shares_columns:
            return dict(tensors)
        with peers():
            shapes = _broadcast({key: list(value.shape) for key, value in tensors.items()}, 1)
            found = {}
            for key, own in tensors.items():
                found[key] = own
                if own.ndim == 0:  # a counter, the same in both
                    continue
                if self.first:
                    other = torch.empty(shapes[key], dtype=own.dtype, device=own.device)
                    dist.recv(other, 1)
                    found[key] = torch.cat([own, other])
                else:
                    dist.send(own.contiguous(), 0)
            return found

    def deliver(self, stored: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> None:
        """Fill `own`, this process's tensors, from `stored`, the whole that process 0 has read."""
        with torch.no_grad(), peers():
            for key, target in own.items():
                value = stored[key].to(target.device) if self.first else target.contiguous()
                if self.shares_columns and target.ndim:
                    value = self._part_of(value, target)
                elif self.size > 1:
                    value = value.contiguous()
                    dist.broadcast(value, 0)
                target.copy_(value)

    def _part_of(self, value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.first:
            dist.send(value[len(target) :].contiguous(), 1)
            return value[: len(target)]
        dist.recv(value, 0)
        return value


ALONE = Group()


@contextmanager
def joined() -> Iterator[Group]:
    """A context in which this process belongs to the group that torchrun has started, if it has.

    Raises:
        InputError: environment variables that are no numbers, more processes than accelerators.
    """
    group = _described()
    if group.size == 1 or dist.is_initialized():
        yield group
        return
    backend = "gloo"
    if torch.cuda.is_available():
        _choose_accelerator(group)
        backend = "cpu:gloo,cuda:nccl"
    with peers():
        store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
        # torchrun keeps its store when it starts processes again, with the addresses of the dead.
        fresh = PrefixStore(f"convscope/{restarts()}/{size}", store)
        dist.init_process_group(backend, store=fresh, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        yield group
    finally:
        dist.destroy_process_group()


@contextmanager
def peers() -> Iterator[None]:
    """A context for talking to other processes: says what it means where one is gone."""
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's errors are of this class
        if "allocate memory" in str(error):
            raise
        raise TrainingError(
            "another process of this training is gone "
            f"({printable(str(error).strip().splitlines()[-1], 200)}); torchrun --max-restarts 3 "
            "goes on from the checkpoint by itself, --resume RUN does so by hand"
        ) from None


def launch_id() -> str | None:
    """What tells this start of torchrun from others, the same after it restarts its processes."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return None
    return f"{name}/{os.getppid()}" if name == "none" else name


def launch_facts(processes: int) -> dict[str, Any]:
    """What a run records of how it was started; nothing for a process alone."""
    launch = launch_id()
    if launch is None and processes == 1:
        return {}
    return {"processes": processes, "launch": launch or "by hand"}


def restarts() -> int:
    """How often torchrun has started its processes again, since one of them died."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)


def _described() -> Group:
    size = _number("WORLD_SIZE", 1)
    if size <= 1 or "MASTER_ADDR" not in os.environ:
        return ALONE
    rank = _number("RANK", 0)
    local_rank, local_size = _number("LOCAL_RANK", rank), _number("LOCAL_WORLD_SIZE", size)
    return Group(rank, size, local_rank, max(local_size, 1))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InputError(
            f"the environment variable {name} is '{printable(text, 40)}'; torchrun sets it to a "
            "whole number: start with torchrun, or unset it"
        )
    return int(text)


def _choose_accelerator(group: Group) -> None:
    count = torch.cuda.device_count()
    if group.local_rank >= count:
        raise InputError(
            f"{group.local_size} processes on a machine with {count} accelerators: "
            f"give torchrun --nproc-per-node {count}"
        )
    torch.cuda.set_device(group.local_rank)


def _broadcast(document: object, source: int) -> Any:
    """The document of process `source`: its length first, then its bytes."""
    sends = dist.get_rank() == source
    text = json.dumps(document).encode() if sends else b""
    length = torch.tensor([len(text)])
    dist.broadcast(length, source)
    content = torch.zeros(int(length), dtype=torch.uint8)
    if sends:
        content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    dist.broadcast(content, source)
    return json.loads(content.numpy().tobytes())
