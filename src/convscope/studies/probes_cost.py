"""Probes of cost: parameters, arithmetic, memory, time; and of gradients."""

import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from convscope import models
from convscope.data.batches import to_input
from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.model_summary import anatomy
from convscope.studies.probes import Measures, Trained, probe
from convscope.training.inputs import plan_preprocessing
from convscope.training.recipe import ModelChoice, recipe_from_json

BATCH = 128


@probe("cost")
def cost(trained: Trained, *, own: bool = False) -> Measures:
    """What can be counted, without training.

    `parameters`, `multiply_adds` and `values` (outputs of all layers) for one image,
    `pool_parameters`, `input` (height), `poolings`, `convolutions`; for each layer L `size_L`
    (height), `maps_L` or `units_L`, `parameters_L` and `field_L` (receptive field, height).

    Args:
        trained: the network.
        own: with the model's own number of classes and channels, not the data's.
    """
    arguments = dict(trained.recipe.model.arguments)
    if own:
        arguments = {k: v for k, v in arguments.items() if k not in ("classes", "channels")}
    found = anatomy(trained.recipe.model.name, **arguments)
    measures: Measures = {
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        "values": sum(math.prod(row.output_shape) for row in found.layers),
        "pool_parameters": sum(row.parameters for row in found.layers if _pools(row.kind)),
        "input": found.input_shape[1],
        "poolings": sum(_pools(row.kind) for row in found.layers),
        "convolutions": sum(row.kind.startswith("convolution") for row in found.layers),
    }
    for row in found.layers:
        measures[f"parameters_{row.name}"] = row.parameters
        if len(row.output_shape) == 3:
            measures[f"maps_{row.name}"], measures[f"size_{row.name}"] = row.output_shape[:2]
        else:
            measures[f"units_{row.name}"] = row.output_shape[0]
        if row.receptive_field:
            measures[f"field_{row.name}"] = row.receptive_field[0]
    return measures


def _pools(kind: str) -> bool:
    return "pool" in kind or "subsampling" in kind


@probe("memory")
def memory(trained: Trained, *, batch: int = BATCH) -> Measures:
    """`kept_bytes`: what a training step of `batch` images keeps for the backward pass.

    Counted, not sampled: the storage of every tensor that autograd saves, each once, parameters
    left out.
    """
    model = models.build(trained.recipe.model.name, trained.recipe.model.arguments).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    seen: dict[int, int] = {}
    alive: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)  # so that no address is used twice
        return tensor

    inputs = torch.zeros(batch, *trained.preprocessing.input_shape)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        F.cross_entropy(model(inputs), torch.zeros(batch, dtype=torch.int64))
    return {"kept_bytes": float(sum(seen.values()))}


@probe("speed")
def speed(trained: Trained, *, against: dict[str, object], pairs: int = 15) -> Measures:
    """`seconds_ratio`: the time of a training step of this network by that of another.

    Steps of both are taken in turns, and the median of the ratios of neighbours is given, so
    that other work on the machine weighs on both alike.

    Args:
        trained: the network.
        against: a recipe as JSON, whose model is the other one.
        pairs: how many.
    """
    other = recipe_from_json(against)
    steps = [_step(trained, trained.recipe.model), _step(trained, other.model)]
    for step in steps * 2:
        step()
    ratios = []
    for _ in range(pairs):
        seconds = []
        for step in steps:
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return {"seconds_ratio": float(np.median(ratios))}


def _step(trained: Trained, choice: ModelChoice) -> "_Step":
    channels, _, _ = trained.train.image_shape
    arguments = choice.arguments | {"channels": channels, "classes": len(trained.train.classes)}
    return _Step(models.build(choice.name, arguments, seed=trained.recipe.seed), trained)


class _Step:
    """One training step on a fixed batch, forward, backward and update."""

    def __init__(self, model: models.Classifier, trained: Trained) -> None:
        self.model = model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels = np.array(trained.train.images[:BATCH])
        plan = plan_preprocessing(trained.recipe.inputs, pixels, model.input_shape)
        inputs = to_input(torch.from_numpy(pixels), plan)
        self.inputs = inputs.to(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(np.array(trained.train.labels[:BATCH]))
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.001, fused=True)

    def __call__(self) -> None:
        loss = F.cross_entropy(self.model(self.inputs), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


@probe("gradients")
def gradients(trained: Trained, *, images: int = 500) -> Measures:
    """How large the loss's gradient is from layer to layer, in the new and the trained network.

    `gradient_LAYER`: root mean square over the layer's weights, in the new network;
    `gradient_decay`: the decadic logarithm of the first layer's by the last one's (−1: ten times
    smaller in the first layer); `trained_gradient_decay`: the same after training.
    """
    choice = trained.recipe.model
    fresh = models.build(choice.name, choice.arguments, seed=trained.recipe.seed)
    new = layer_gradients(fresh, trained, images)
    found = {f"gradient_{name}": value for name, value in new.items()}
    found["gradient_decay"] = _decay(list(new.values()))
    if trained.network is not None:
        trained_values = layer_gradients(trained.network, trained, images)
        found["trained_gradient_decay"] = _decay(list(trained_values.values()))
    return found


def _decay(values: list[float]) -> float:
    return math.log10(max(values[0], 1e-30) / max(values[-1], 1e-30))


def layer_gradients(model: nn.Module, trained: Trained, images: int) -> dict[str, float]:
    """Root mean square of the gradient of each weight layer, in the order of the layers."""
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Convolution | nn.Linear)
    }
    if not layers:
        raise InputError(f"model {trained.recipe.model.name} has no convolution or linear layer")
    pixels = np.array(trained.train.images[:images])
    labels = torch.from_numpy(np.array(trained.train.labels[:images]))
    model.eval()
    with torch.enable_grad():
        inputs = to_input(torch.from_numpy(pixels), trained.preprocessing)
        loss = F.cross_entropy(model(inputs), labels)
        weights = [layer.weight for layer in layers.values()]
        found = torch.autograd.grad(loss, weights)
    return {
        name: float(gradient.double().square().mean().sqrt())
        for name, gradient in zip(layers, found, strict=True)
    }
