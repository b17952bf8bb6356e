"""The gradients of a step: by a chain of kernels in one call where the network is one, else by
autograd."""

import torch
from torch import Tensor, nn

from convscope.kernels.step import Step, record
from convscope.training.compute import Compute, give_threads_to_kernels
from convscope.training.distributed import ALONE, Group
from convscope.training.gradients import GradientSums
from convscope.training.losses import build_loss
from convscope.training.recipe import Recipe
from convscope.training.teachers import Teaching

CLOSE = 1e-3
"""So near must a chain's gradients be to autograd's, as a share of the largest, to be used."""


class Gradients:
    """Leaves in every parameter of a network the gradient of the mean loss over a batch.

    Args:
        network: in training mode. recipe: for its loss. compute: how to compute.
        group: the processes whose gradients are added up.
        teaching: what is learnt instead of the labels.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        compute: Compute,
        group: Group = ALONE,
        teaching: Teaching | None = None,
    ) -> None:
        self.network, self.compute, self.group = network, compute, group
        self.teaching = teaching
        self.loss = build_loss(recipe.loss)
        self._batch_size = recipe.batch_size
        self._smoothing = recipe.loss.label_smoothing
        self._parameters = list(network.parameters())
        self._sums = GradientSums(self._parameters, group)
        known = compute.uses_kernels and recipe.loss.kind == "cross-entropy"
        self._may_chain = known and group.size == 1 and teaching is None
        self._chain: tuple[Step, list[Tensor]] | None = None
        self._keeps_threads = teaching is None or not compute.uses_kernels

    def __call__(self, inputs: Tensor, labels: Tensor, n: int) -> tuple[float, int]:
        """This process's part of the batch's mean loss, and how many images it has told right.

        Args:
            inputs, labels: this process's part of the batch.
            n: images of the whole batch.
        """
        if not self._keeps_threads:  # of teachers and pupil kernels compute nearly everything
            self._keeps_threads = True
            give_threads_to_kernels()
        # Always the whole batches, whichever comes first: a resumed run must take the same way.
        whole = len(inputs) == self._batch_size
        if self._chain is not None and not self._chain[0].is_current(self._parameters):
            self._chain = None  # somebody gave a parameter other memory
        if whole and self._may_chain and self._chain is None:
            with torch.random.fork_rng(devices=[]):  # trials take no random numbers of the training
                self._chain = self._recorded(inputs, labels)
            self._may_chain = self._chain is not None
            if self._chain is not None:
                give_threads_to_kernels()
        if whole and self._chain is not None and inputs.shape == self._chain[0].shape:
            step, gradients = self._chain
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                parameter.grad = gradient
            return step(inputs, labels)
        return self._by_autograd(inputs, labels, n)

    def _by_autograd(self, inputs: Tensor, labels: Tensor, n: int) -> tuple[float, int]:
        for parameter in self._parameters:
            parameter.grad = None
        with self.compute.autocast(), self.group.drawing(n):
            scores = self.network(inputs)
        loss = self._loss_of(scores.float(), inputs, labels)
        share = len(labels) / n
        (loss * share).backward()  # type: ignore[no-untyped-call]
        self._sums.finish()
        return loss.item() * share, int((scores.detach().argmax(1) == labels).sum())

    def _loss_of(self, scores: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        if not len(labels):
            return scores.sum()  # nothing to add, but this process must take part
        if self.teaching is None:
            return self.loss(scores, labels)
        with self.compute.autocast():
            answers = self.teaching.answers(inputs)
        return self.teaching.loss(scores, answers)

    def _recorded(self, inputs: Tensor, labels: Tensor) -> tuple[Step, list[Tensor]] | None:
        """The network as a chain, if it is one and gives what autograd gives."""
        with self.compute.autocast():
            found = record(self.network, inputs, self._smoothing)
        if found is None:
            return None
        step, gradients = found
        step(inputs, labels)
        self._by_autograd(inputs, labels, len(inputs))
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            assert parameter.grad is not None
            off = (parameter.grad - gradient).abs().max()
            if not bool(off <= CLOSE * parameter.grad.abs().max()):
                return None
        return found
