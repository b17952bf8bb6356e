"""A training step of a whole network in one call, where the network is a chain of kernels.

The chain is not described anywhere: the calls of one ordinary step are recorded, and are then
repeated by `step.c` with new inputs, as CUDA graphs do it. A network that does anything else, such
as dropout, gives no chain, and goes on as it was.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from convscope.kernels.batch_last import empty, pitch
from convscope.kernels.block import BlockJob
from convscope.kernels.calls import Call, address, call, recording
from convscope.kernels.dense import DenseJob


class _Operation(ctypes.Structure):
    """`struct operation` of step.c."""

    _fields_ = [("block", ctypes.POINTER(BlockJob)), ("dense", ctypes.POINTER(DenseJob))]


class _StepJob(ctypes.Structure):
    """`struct step` of step.c."""

    _fields_ = [
        ("operations", ctypes.POINTER(_Operation)),
        *((name, ctypes.c_void_p) for name in ("labels", "scores", "score_gradient")),
        *((name, ctypes.c_int64) for name in ("count", "images", "pitch", "classes")),
        ("smoothing", ctypes.c_double),
        ("loss", ctypes.c_double),
        ("correct", ctypes.c_int64),
    ]


class Step:
    """Forward, mean cross-entropy, backward; made by `record`.

    Attributes:
        calls: the forward calls; their jobs have the addresses of the gradients, too.
        shape: of the inputs.
    """

    def __init__(
        self, calls: Sequence[Call], scores: Tensor, gradients: dict[int, Tensor], smoothing: float
    ) -> None:
        images, classes = scores.shape
        self.calls = calls
        self._places = list(gradients)
        self._kept: list[Any] = [scores, gradients]  # only their addresses are in the jobs
        self._operations = (_Operation * len(calls))()
        upstream = self._keep(torch.zeros(classes * pitch(images)))
        self._job = _StepJob(
            operations=self._operations,
            scores=address(scores),
            score_gradient=address(upstream),
            count=len(calls),
            images=images,
            pitch=pitch(images),
            classes=classes,
            smoothing=smoothing,
        )
        self.shape = tuple(calls[0].tensors[0].shape)  # type: ignore[union-attr]
        for number in reversed(range(len(calls))):
            job, (x, weight, bias, *_) = calls[number].job, calls[number].tensors
            assert x is not None
            assert weight is not None
            job.y_gradient = address(upstream)
            upstream = self._keep(empty(tuple(x.shape)))
            job.x_gradient = address(upstream) if number else None
            nowhere = self._keep(torch.empty(len(weight)))
            job.weight_gradient = address(gradients[weight.data_ptr()])
            job.bias_gradient = address(nowhere if bias is None else gradients[bias.data_ptr()])
            kind = "block" if isinstance(job, BlockJob) else "dense"
            setattr(self._operations[number], kind, ctypes.pointer(job))

    def is_current(self, parameters: Sequence[Tensor]) -> bool:
        """Whether the parameters still lie where they were recorded."""
        return self._places == [one.data_ptr() for one in parameters]

    def _keep(self, tensor: Tensor) -> Tensor:
        self._kept.append(tensor)
        return tensor

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[float, int]:
        """Write all gradients. Returns the mean loss and how many images are told right.

        Args:
            x: batch-last, of the shape recorded. labels: int64, contiguous.
        """
        assert tuple(x.shape) == self.shape
        self.calls[0].job.x, self._job.labels = address(x), address(labels)
        call("training_step", self._job)
        return self._job.loss, self._job.correct


def record(model: nn.Module, x: Tensor, smoothing: float = 0.0) -> tuple[Step, list[Tensor]] | None:
    """The step of `model` for inputs of the shape of `x`, and the gradients it writes.

    Args:
        model: called inside `kernels_in_use()`, in training mode.
        x: batch-last. smoothing: of the labels.

    Returns:
        None where the network is no chain of kernels from `x` to its scores, or has parameters
        outside of it. The gradients are in the order of the parameters.
    """
    parameters = list(model.parameters())
    with torch.no_grad(), recording() as calls:
        scores = model(x)
    at = address(x)
    for one in calls:
        if one.job.x != at:
            return None
        at = one.job.y
    used = [tensor.data_ptr() for one in calls for tensor in one.tensors[1:3] if tensor is not None]
    known = {one.data_ptr() for one in parameters if one.requires_grad and one.is_contiguous()}
    if not calls or scores.data_ptr() != at or scores.ndim != 2 or len(used) != len(parameters):
        return None
    if set(used) != known or len(known) != len(parameters):
        return None
    gradients = [torch.zeros_like(one) for one in parameters]
    by_place = {one.data_ptr(): it for one, it in zip(parameters, gradients, strict=True)}
    return Step(calls, scores, by_place, smoothing), gradients
