"""Optimizers by name, and the moving average of the weights."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from convscope.kernels.adam import adam
from convscope.kernels.muon import Moved, muon
from convscope.kernels.sgd import Halved, sgd
from convscope.training.muon import hidden_matrices, turn, velocity_of
from convscope.training.recipe import Optimizer


def _plain(kind: type[torch.optim.Optimizer]) -> Any:
    """An optimizer of torch as it computes, without its hooks for torch.compile.

    With them, making an optimizer imports the compiler, about as long a wait as importing torch,
    for a thing that is not used here. The updates are the same to the bit.
    """
    step = torch.no_grad()(inspect.unwrap(kind.step))
    step.hooked = True  # the mark by which torch knows not to wrap it again
    body = {"step": step, "add_param_group": inspect.unwrap(kind.add_param_group)}
    return type(kind.__name__, (kind,), body)


_SGD, _ADAM, _ADAMW = map(_plain, (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW))


def _plain_numbers(one: torch.Tensor) -> bool:
    """Whether kernels can read the tensor where it lies."""
    return one.is_contiguous() and one.device.type == "cpu" and one.dtype == torch.float32


class HalvesSGD(_SGD):  # type: ignore[misc, valid-type]
    """SGD with momentum that moves weights and their copies in bf16 by the kernel, in one pass.

    Its state is that of torch's, and so is `step`, for weights that have no copies.
    """

    @torch.no_grad()
    def step_halves(self, pairs: Iterable[tuple[nn.Parameter, nn.Parameter]]) -> None:
        """One update of each float32 weight by the gradient of its copy, which is used up."""
        halves = {id(weight): half for weight, half in pairs if half.grad is not None}
        for group in self.param_groups:
            sgd(
                [
                    self._halved(one, halves[id(one)])
                    for one in group["params"]
                    if id(one) in halves
                ],
                nesterov=group["nesterov"],
                lr=float(group["lr"]),
                momentum=group["momentum"],
                decay=group["weight_decay"],
            )
        for half in halves.values():
            half.grad = None

    def _halved(self, weight: nn.Parameter, half: nn.Parameter) -> Halved:
        assert half.grad is not None
        assert half.stride() == weight.stride()  # the kernel sees memory, not shapes
        gradient = half.grad
        if gradient.stride() != weight.stride():
            gradient = torch.empty_like(weight, dtype=gradient.dtype).copy_(gradient)
        return Halved(weight, self._velocity(weight), gradient, half)

    def _velocity(self, weight: nn.Parameter) -> torch.Tensor:
        state = self.state[weight]
        found: torch.Tensor | None = state.get("momentum_buffer")
        if found is None:
            state["momentum_buffer"] = torch.zeros_like(weight)
        elif found.stride() != weight.stride():  # from elsewhere
            state["momentum_buffer"] = torch.empty_like(weight).copy_(found)
        made: torch.Tensor = state["momentum_buffer"]
        return made


class KernelAdam(_ADAM):  # type: ignore[misc, valid-type]
    """Adam, or AdamW where `decoupled`, by the kernel: one call for all parameters.

    They must be `_plain_numbers`. Its state is that of torch's.
    """

    def __init__(self, parameters: list[nn.Parameter], *, decoupled: bool, **rest: Any) -> None:
        super().__init__(parameters, **rest)
        self._decoupled = decoupled

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            moved = [one for one in group["params"] if one.grad is not None]
            adam(
                [(one, one.grad.contiguous(), *self._kept(one)) for one in moved],
                decoupled=self._decoupled,
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                epsilon=group["eps"],
                decay=group["weight_decay"],
            )

    step.hooked = True  # type: ignore[attr-defined]  # as in _plain

    def _kept(self, parameter: nn.Parameter) -> tuple[torch.Tensor, ...]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        return state["exp_avg"], state["exp_avg_sq"], state["step"]


class Muon(_SGD):  # type: ignore[misc, valid-type]
    """Turns hidden matrices (`muon.turn`) and moves all other parameters by SGD."""

    def __init__(
        self, parameters: list[nn.Parameter], matrix_lr: float, dtype: torch.dtype, **rest: Any
    ) -> None:
        inner = hidden_matrices(parameters)
        turned = {id(weight) for weight in inner}
        groups: list[dict[str, Any]] = [
            {"params": [one for one in parameters if id(one) not in turned]},
            {"params": inner, "matrix_share": matrix_lr / rest["lr"], "dtype": dtype},
        ]
        super().__init__([group for group in groups if group["params"]], **rest)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient; those of matrices are used up."""
        for group in self.param_groups:
            if "matrix_share" not in group:
                continue
            for weight in group["params"]:
                if weight.grad is not None:
                    turn(weight, weight.grad, self.state[weight], group)
                    weight.grad = None
        super().step(closure)

    step.hooked = True  # type: ignore[attr-defined]  # as in _plain


class KernelMuon(Muon):
    """Muon by the kernel: one call for all parameters, in float32.

    They must be `_plain_numbers`. Its state is that of `Muon`.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient."""
        del closure
        first = self.param_groups[0]
        moved = [
            Moved(
                weight=one,
                gradient=one.grad.contiguous(),
                velocity=velocity_of(one, self.state[one]),
                lr=group["lr"] * group.get("matrix_share", 1.0),
                turned="matrix_share" in group,
            )
            for group in self.param_groups
            for one in group["params"]
            if one.grad is not None
        ]
        muon(
            moved,
            momentum=first["momentum"],
            nesterov=first["nesterov"],
            decay=first["weight_decay"],
        )

    step.hooked = True  # type: ignore[attr-defined]  # as in _plain


class SDLM(_SGD):  # type: ignore[misc, valid-type]
    """Stochastic diagonal Levenberg-Marquardt (LeCun, Bottou, Bengio & Haffner 1998, App. C).

    Each weight has its own rate, w ← w − lr / (mu + h) · g, with h the curvature of the loss along
    it. On a quadratic loss of one weight without mu, lr = 1 is Newton's step. `mu` keeps the steps
    finite where the loss is flat.

        optimizer = SDLM(model.parameters(), lr=5e-4, mu=0.02)
        before each pass:
            diagonal = backpropagated_diagonal(model, some_inputs, some_labels, loss)
            optimizer.set_curvature([diagonal[name] for name, _ in model.named_parameters()])
        loss(model(inputs), labels).backward(); optimizer.step(); optimizer.zero_grad()

    Until the first `set_curvature` h is 0: gradient descent with the rate lr / mu.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, mu: float = 0.02) -> None:
        super().__init__(parameters, lr=lr)
        self.mu = mu

    @torch.no_grad()
    def set_curvature(self, diagonal: Iterable[torch.Tensor]) -> None:
        """Take new curvatures, ≥ 0, one tensor for each parameter, in their order."""
        for parameter, curvature in zip(self._parameters(), diagonal, strict=True):
            self._curvature(parameter).copy_(curvature)

    def rates(self) -> list[torch.Tensor]:
        """1 / (mu + h) for each parameter: what lr is multiplied by."""
        return [1 / (self.mu + self._curvature(one)) for one in self._parameters()]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One update of every parameter that has a gradient."""
        del closure
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    bound = self.mu + self._curvature(weight)
                    weight.addcdiv_(weight.grad, bound, value=-group["lr"])

    step.hooked = True  # type: ignore[attr-defined]  # as in _plain

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _curvature(self, parameter: nn.Parameter) -> torch.Tensor:
        state = self.state[parameter]
        if "curvature" not in state:
            state["curvature"] = torch.zeros_like(parameter)
        found: torch.Tensor = state["curvature"]
        return found


def build_optimizer(
    choice: Optimizer,
    parameters: Iterable[nn.Parameter],
    dtype: torch.dtype = torch.float32,
    *,
    kernels: bool = False,
    halves: bool = False,
) -> torch.optim.Optimizer:
    """The optimizer of a recipe, over `parameters`, with torch's fused kernels or our own.

    Args:
        choice: kind, rates and the rest.
        parameters: float32, in the order of the layers.
        dtype: of the matrix products inside Muon.
        kernels: whether our kernels compute, where there is one and it can.
        halves: whether one moves float32 weights together with their copies in bf16.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if choice.kind == "sdlm":
        return SDLM(trainable, choice.lr, choice.mu)
    if choice.kind in ("sgd", "muon"):
        settings = {
            "lr": choice.lr,
            "momentum": choice.momentum,
            "nesterov": choice.nesterov,
            "weight_decay": choice.weight_decay,
            "fused": True,
        }
        if choice.kind == "muon":
            by_kernel = kernels and dtype == torch.float32 and all(map(_plain_numbers, trainable))
            return (KernelMuon if by_kernel else Muon)(
                trainable, choice.matrix_lr, dtype, **settings
            )
        optimizer = (HalvesSGD if halves and choice.momentum else _SGD)(trainable, **settings)
    else:
        rates: dict[str, Any] = {
            "lr": choice.lr,
            "betas": choice.betas,
            "eps": choice.epsilon,
            "weight_decay": choice.weight_decay,
        }
        decoupled = choice.kind == "adamw"
        if kernels and all(map(_plain_numbers, trainable)):
            return KernelAdam(trainable, decoupled=decoupled, **rates)
        optimizer = (_ADAMW if decoupled else _ADAM)(trainable, fused=True, **rates)
    return optimizer


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992, exponential form).

    average ← decay × average + (1 − decay) × weights after each step. For the first steps the
    decay is held to (1 + t) / (10 + t), so that the random start is forgotten. Buffers (running
    statistics) are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {key: value.clone() for key, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        trained = {name for name, _ in model.named_parameters()}
        for key, value in model.state_dict().items():
            if key in trained and value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """A context in which `model` holds the averaged weights."""
        trained = {key: value.clone() for key, value in model.state_dict().items()}
        model.load_state_dict(self.state)
        try:
            yield
        finally:
            model.load_state_dict(trained)
