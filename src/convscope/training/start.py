"""The network as training begins with it: on its device, and as this process's part of it."""

import torch
from torch import nn

from convscope.data.dataset import Images
from convscope.run import Run, build_model
from convscope.training.batch_statistics import share_batches
from convscope.training.columns import check_columns, split_columns
from convscope.training.compute import MEMORY_FORMATS, Compute
from convscope.training.distributed import Group
from convscope.training.initial import set_initial
from convscope.training.inputs import check_input, grow_from
from convscope.training.recipe import Recipe
from convscope.training.spectra import use_fourier

SMALL_EPOCH = 2**20
"""Bytes of weights that are kept after every epoch, unless told otherwise."""


def starting_network(
    run: Run, recipe: Recipe, compute: Compute, images: Images, group: Group
) -> nn.Module:
    """The network of `run` with its initial weights, ready to train.

    Args:
        run: names the model. recipe: seed, initial weights, growth, and what processes share out.
        compute: device and order of the numbers in memory.
        images: to learn from; initial weights may depend on them.
        group: the processes that train it.

    Raises:
        InputError: the recipe asks for what the network cannot do.
    """
    smaller = grow_from(recipe.growth, run.document.preprocessing)
    model = build_model(run.document, seed=recipe.seed).train()
    set_initial(model, recipe.initial, images, smaller)
    if recipe.parallel == "columns":
        check_columns(model)
    if group.shares_columns:
        split_columns(model, group)
    if group.shares_images:
        share_batches(model)
    model = model.to(compute.device)
    use_fourier(model, compute.fourier, kernels=compute.spectra_kernels)
    order = MEMORY_FORMATS[compute.memory_format]
    model.to(memory_format=order)  # type: ignore[call-overload]
    if recipe.growth.size:
        check_input(model, smaller)
    return model


def keeps_epochs(recipe: Recipe, run: Run) -> bool:
    """Whether the weights after each epoch are kept: those of small networks, unless told."""
    if recipe.keep_epochs != "auto":
        return recipe.keep_epochs
    with torch.device("meta"):
        weights = build_model(run.document).state_dict()
    return bool(sum(value.nbytes for value in weights.values()) <= SMALL_EPOCH)
