"""AlexNet's own scheme of 2012: its two columns on two processes or devices.

Krizhevsky et al. 2012, section 3.2 and figure 2: each device has half of the kernels and units of
every layer, and the columns meet where a layer sees both: conv3, fc6, fc7 and fc8. Activations
travel forward and their gradients back; weights never do, for each process has its own.

    column 0   conv1 ─ conv2 ─┬─ conv3 ─ conv4 ─ conv5 ─┬─ fc6 ─┬─ fc7 ─┬─ fc8 ─┬─ scores
    column 1   conv1 ─ conv2 ─┴─ conv3 ─ conv4 ─ conv5 ─┴─ fc6 ─┴─ fc7 ─┴─ fc8 ─┴─ scores

The numbers are those of one process. So where the normalisation sums over maps of both columns,
as the paper's formula has it, the two maps beside the boundary travel, too; with the program's,
which normalises each column alone (`variant=code`), none do. Every weight and bias is split in
its first dimension, so the whole is the two parts one after the other.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.layers.draws import Dropout
from convscope.layers.normalization import LocalResponseNorm
from convscope.models.alexnet_2012 import PaperAlexNet
from convscope.training.distributed import Group, peers

COLUMNS = 2
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
MEETING = ("conv3", "fc6", "fc7", "fc8")
"""Layers that see both columns."""


class Traffic:
    """Counts the bytes that this process has sent to the other column."""

    bytes = 0


def split_columns(model: nn.Module, group: Group) -> None:
    """Leave in `model` the column of this process, in place; both processes call it together.

    Afterwards both are called with the same images, and both give the scores of all classes.

    Raises:
        InputError: another network than alexnet-2012, another number of processes than two, or
            layers with weights that belong to neither column.
    """
    check_columns(model)
    assert isinstance(model, PaperAlexNet)
    if group.size != COLUMNS:
        raise InputError(
            f"parallel=columns is for {COLUMNS} processes, and there are {group.size}: give "
            "torchrun --nproc-per-node 2, or leave it out"
        )
    column = group.rank
    for name in LAYERS:
        setattr(model, name, _half(getattr(model, name), column))
    for name in MEETING:
        getattr(model, name).register_forward_pre_hook(_meet)
    model.fc8.register_forward_hook(_join_scores(model.classes))
    model.dropout6, model.dropout7 = Dropout(model.dropout6.p), Dropout(model.dropout7.p)
    for norm in (model.norm1, model.norm2):
        if isinstance(norm, LocalResponseNorm):
            _lay_across(norm)


def check_columns(model: nn.Module) -> None:
    """Raise InputError where `model` cannot be split into columns."""
    if not isinstance(model, PaperAlexNet):
        raise InputError(
            "parallel=columns splits alexnet-2012 and no other network: leave it out, or train "
            "that one"
        )
    own = {name.split(".")[0] for name in model.state_dict()}
    norms = [getattr(model, name) for name in ("norm1", "norm2")]
    if own != set(LAYERS) or any(
        isinstance(norm, LocalResponseNorm) and norm.groups not in (1, COLUMNS) for norm in norms
    ):
        raise InputError(
            "parallel=columns cannot split this network: its pooling, activation or normalisation "
            f"has weights of its own, or groups other than 1 or {COLUMNS}; leave it out"
        )


def _half(layer: nn.Module, column: int) -> nn.Module:
    """The layer with this column's outputs alone; of two groups, with its own group's inputs."""
    outputs = len(layer.weight)  # type: ignore[arg-type]
    first, end = column * outputs // COLUMNS, (column + 1) * outputs // COLUMNS
    half: nn.Module
    if isinstance(layer, Convolution):
        half = Convolution(
            layer.in_maps // layer.groups,
            end - first,
            layer.kernel,
            stride=layer.stride,
            pad=layer.pad,
        )
    else:
        assert isinstance(layer, nn.Linear)
        half = nn.Linear(layer.in_features, end - first)
    half.load_state_dict({key: value[first:end] for key, value in layer.state_dict().items()})
    return half


def _meet(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Before a layer that sees both columns: this column's activations beside the other's."""
    (own,) = inputs
    return (_in_order(own, exchange(own)),)


def _join_scores(classes: int) -> Any:
    def hook(_: nn.Module, inputs: tuple[Tensor], own: Tensor) -> Tensor:
        del inputs
        # Without gradient: both processes work out the loss of all scores, and each goes back
        # from its own.
        other = _swap(own, torch.Size([len(own), classes - own.shape[1]]))
        return _in_order(own, other)

    return hook


def _lay_across(norm: LocalResponseNorm) -> None:
    """Let `norm`, on one column's maps, sum as far as it would in the maps of both."""
    if norm.groups == COLUMNS:
        norm.groups = 1  # what is left is one group
        return
    border = norm.size // 2

    def lend(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        (own,) = inputs
        edge = own[:, :border] if dist.get_rank() else own[:, own.shape[1] - border :]
        return (_in_order(own, exchange(edge)),)

    def trim(_: nn.Module, inputs: tuple[Tensor], result: Tensor) -> Tensor:
        del inputs
        return result[:, border:] if dist.get_rank() else result[:, : result.shape[1] - border]

    if border:
        norm.register_forward_pre_hook(lend)
        norm.register_forward_hook(trim)


def _in_order(own: Tensor, other: Tensor) -> Tensor:
    return torch.cat([other, own] if dist.get_rank() else [own, other], 1)


def exchange(own: Tensor) -> Tensor:
    """What the other column gave where this one gives `own`; gradients take the way back."""
    result: Tensor = _Exchange.apply(own)  # type: ignore[no-untyped-call]
    return result


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        del ctx
        return _swap(own, own.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        del ctx
        return _swap(gradient, gradient.shape)


def _swap(own: Tensor, shape: torch.Size) -> Tensor:
    """Send `own`, and receive the other's tensor of `shape`."""
    sent = own.detach().contiguous()
    received = torch.empty(shape, dtype=own.dtype, device=own.device)
    other = 1 - dist.get_rank()
    with peers():
        works = dist.batch_isend_irecv(
            [dist.P2POp(dist.isend, sent, other), dist.P2POp(dist.irecv, received, other)]
        )
        for work in works:
            work.wait()
    Traffic.bytes += sent.nbytes
    return received
