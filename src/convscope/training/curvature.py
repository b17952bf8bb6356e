"""The curvature of the loss along each weight: the diagonal of the Gauss-Newton matrix.

A network is f(w), a loss is convex in what the network gives: E = ℓ(f(w)). The Gauss-Newton matrix
is G = JᵀHJ, with J = ∂f/∂w and H = ∂²ℓ/∂f², averaged over images. Its diagonal is never negative,
and says how large a step along one weight may be. Two ways to it:

- `exact_diagonal`: all of it, for any network, at the cost of a backward pass for each output.
- `backpropagated_diagonal`: as in LeCun, Bottou, Bengio & Haffner 1998, App. C: one backward pass,
  with squares in the place of weights, states and slopes. Two approximations make it cheap: the
  second derivatives between different units of a layer are left out, and so are those between the
  places at which a shared weight is used. For LeNet-5 with Eq. 8 F6 and C5 lose nothing by them:
  nothing there is shared, and at F6 H is diagonal.

The output of an RBF layer is no place to cut: it is quadratic, and Eq. 8 of that paper is linear
in it. There f ends before the RBF, at F6, and ℓ includes it: Eq. 8 then has H = 2·I, and Eq. 9 is
convex, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap

from convscope.errors import InputError
from convscope.layers.activation import Activate
from convscope.layers.convolution import Convolution
from convscope.layers.modes import evaluation_mode
from convscope.layers.pools import AveragePool, MaxPool, Subsampling
from convscope.layers.rbf import RBF
from convscope.layers.windows import count_windows

Loss = Callable[[Tensor, Tensor], Tensor]
"""(scores N × classes, labels N) → the mean over the batch."""
Diagonal = dict[str, Tensor]
"""For each parameter, by name, a curvature of its shape: never negative."""

_AT_A_TIME = 25  # images whose gradients are kept one by one


def curvature_diagonal(
    way: Literal["backpropagated", "exact"],
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
) -> Diagonal:
    """The one or the other, by name; see `backpropagated_diagonal` and `exact_diagonal`."""
    diagonal = backpropagated_diagonal if way == "backpropagated" else exact_diagonal
    return diagonal(model, inputs, labels, loss)


def exact_diagonal(model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss) -> Diagonal:
    """diag(JᵀHJ), the mean over the images; every product is there, nothing is left out.

    H = Σ_k v_k v_kᵀ by its eigenvectors, so that the diagonal is Σ_k (Jᵀ v_k)², squared gradients
    of single images.

    Args:
        model: any network that torch.func can take apart, in its evaluation mode while this runs.
        inputs: float32, N × C × H × W.
        labels: int64, N.
        loss: convex in the scores, or, behind an RBF layer, in what that layer sees.
    """
    weights = {name: value.detach() for name, value in model.named_parameters()}
    total = {name: torch.zeros_like(value) for name, value in weights.items()}
    with evaluation_mode(model):
        cut = _Cut(model)

        def along(parameters: dict[str, Tensor], image: Tensor, direction: Tensor) -> Tensor:
            features = cut.features(parameters, image[None])[0]
            return (features * direction).sum()

        gradients = vmap(grad(along), in_dims=(None, 0, 0))
        parts = torch.split(inputs, _AT_A_TIME), torch.split(labels, _AT_A_TIME)
        for some, named in zip(*parts, strict=True):
            features = cut.features(weights, some).detach()
            values, vectors = torch.linalg.eigh(cut.hessians(loss, features, named))
            scaled = vectors * values.clamp(min=0).sqrt()[:, None, :]
            for direction in scaled.unbind(2):
                if direction.any():
                    for name, found in gradients(weights, some, direction).items():
                        total[name] += found.square().sum(0)
    return {name: value / len(inputs) for name, value in total.items()}


def backpropagated_diagonal(
    model: nn.Module, inputs: Tensor, labels: Tensor, loss: Loss
) -> Diagonal:
    """The same diagonal as the paper approximates it (App. C), in one backward pass.

    With a = Σ u·x the total input of a unit, x = f(a) its state and h the curvature at it:

        h(a) = f'(a)² · h(x)      h(x_j) = Σ_i u_ij² · h(a_i)      h(u_ij) = x_j² · h(a_i)

    and a shared weight has the sum over its places, whose mean over the images is the result.

    Args:
        model: a chain of the layers of LeNet-5: Convolution, Linear, Subsampling, max and average
            pooling, activations.
        inputs, labels, loss: as in `exact_diagonal`.

    Raises:
        InputError: a layer that has no rule here, or a network that is no chain of layers.
    """
    with evaluation_mode(model):
        cut = _Cut(model)
        calls, features = cut.recorded(inputs)
        curvature = cut.hessians(loss, features, labels).diagonal(dim1=1, dim2=2).clamp(min=0)
    names = {id(module): name for name, module in model.named_modules()}
    found: Diagonal = {}
    for call in reversed(calls):
        if call.output.numel() != curvature.numel():
            raise InputError(
                f"{names[id(call.module)]} gives {call.output.numel()} values where the next layer "
                f"sees {curvature.numel()}: the curvature is passed back through chains of layers "
                "alone; use curvature=exact"
            )
        curvature, of_weights = _back(call, curvature.reshape(call.output.shape))
        above = names[id(call.module)]
        found |= {f"{above}.{key}" if above else key: at for key, at in of_weights.items()}
    missing = [name for name, _ in model.named_parameters() if name not in found]
    if missing:
        raise InputError(f"no curvature reaches {missing[0]}: use curvature=exact")
    return {name: found[name] / len(inputs) for name, _ in model.named_parameters()}


@dataclass(frozen=True)
class _Call:
    """A layer, what went in and what came out."""

    module: nn.Module
    input: Tensor
    output: Tensor


def _back(call: _Call, curvature: Tensor) -> tuple[Tensor, Diagonal]:
    """From the curvature at a layer's outputs to that at its inputs and its weights."""
    layer, x = call.module, call.input
    if isinstance(layer, Convolution | nn.Linear | Subsampling):
        # Linear in weights and in inputs: its twin of squares has the squares as derivatives.
        squares = {name: value.detach().square() for name, value in layer.named_parameters()}
        leaves = [value.requires_grad_() for value in (x.square(), *squares.values())]
        twin = functional_call(layer, squares, (leaves[0],))
        of_input, *of_weights = torch.autograd.grad(twin, leaves, curvature)
        return of_input, dict(zip(squares, of_weights, strict=True))
    if isinstance(layer, Activate):
        slope = torch.ones_like(x)
        return curvature * _gradient(layer, x, slope).square(), {}
    if isinstance(layer, MaxPool):
        return _gradient(layer, x, curvature), {}  # derivatives of 0 and 1 are their own squares
    if isinstance(layer, AveragePool):  # a window of n inputs gives each 1/n of its gradient
        counts = count_windows(x, layer.window, padding_counts=layer.count_padding)
        return _gradient(layer, x, curvature / counts), {}
    if isinstance(layer, nn.Identity | nn.Flatten):
        return curvature.reshape(x.shape), {}
    raise InputError(
        f"no rule passes the curvature back through {type(layer).__name__}; use curvature=exact"
    )


def _gradient(layer: nn.Module, x: Tensor, flow: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (found,) = torch.autograd.grad(layer(x), x, flow)
    return found


class _Cut:
    """A network in two parts: f, whose derivatives are taken, and the rest, which joins the loss.

    f is all of it, or ends where an RBF layer begins.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        rbfs = [module for module in model.modules() if isinstance(module, RBF)]
        self.rbf = rbfs[-1] if rbfs else None

    def features(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """What f gives with `parameters`: N × outputs."""
        if self.rbf is None:
            result: Tensor = functional_call(self.model, parameters, (inputs,))
            return result
        seen: list[Tensor] = []
        handle = self.rbf.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        try:
            functional_call(self.model, parameters, (inputs,))
        finally:
            handle.remove()
        return seen[0]

    def hessians(self, loss: Loss, features: Tensor, labels: Tensor) -> Tensor:
        """∂²ℓ/∂f² for each image: N × outputs × outputs, symmetric."""

        def of_one(scores: Tensor, label: Tensor) -> Tensor:
            return loss(scores[None], label[None])

        features = features.detach()
        scores = self.rbf(features) if self.rbf else features
        found: Tensor = vmap(jacrev(jacrev(of_one)))(scores, labels)
        if self.rbf:
            # s_c = −|x − w_c|² has the gradient −2(x − w_c) and the Hessian −2·I.
            apart = 2 * (features[:, None, :] - self.rbf.codes)
            slopes = vmap(grad(of_one))(scores, labels).sum(1)
            found = apart.mT @ found @ apart
            found.diagonal(dim1=1, dim2=2).sub_(2 * slopes[:, None])
        return (found + found.mT) / 2

    @torch.no_grad()
    def recorded(self, inputs: Tensor) -> tuple[list[_Call], Tensor]:
        """The calls of the layers of f on `inputs`, in order, and what f gives."""
        calls: list[_Call] = []

        def note(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            calls.append(_Call(module, given[0], output))

        leaves = [module for module in self.model.modules() if not any(module.children())]
        handles = [leaf.register_forward_hook(note) for leaf in leaves]
        try:
            scores: Tensor = self.model(inputs)
        finally:
            for handle in handles:
                handle.remove()
        if self.rbf is None:
            return calls, scores
        return calls[:-1], calls[-1].input
