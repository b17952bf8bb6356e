"""Initial weights that know something: whitening filters, and maps that are passed on.

Both are used as in K. Jordan: 94% on CIFAR-10 in 3.29 seconds on a single GPU, 2024,
arXiv:2404.00498, sections 3.2 and 3.3, where their earlier sources are named. They only replace
the model's own initial weights: the network is the same, and every weight is learnt.
"""

import numpy as np
import torch
from torch import nn

from convscope.data.batches import to_input
from convscope.data.dataset import Images
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.training.recipe import Initial

WHITENED_IMAGES = 256
"""How many training images give the patches."""
LEAST_VARIANCE = 5e-4
"""Added to each variance, so that directions without any are not blown up to noise."""
_AT_A_TIME = 16


def set_initial(
    model: nn.Module, initial: Initial, images: Images, preprocessing: Preprocessing
) -> None:
    """Give `model` the initial weights that the recipe asks for, in place.

    Args:
        model: with its own initial weights.
        initial: which of them to replace.
        images: the training images, uint8, N × C × H × W.
        preprocessing: how they become the model's input.

    Raises:
        InputError: the model has no such layers.
    """
    layers = [part for part in model.modules() if isinstance(part, Convolution)]
    if initial.whitening:
        if not layers or not _is_dense(layers[0]) or layers[0].out_maps < 2:
            raise InputError(
                "initial.whitening needs a first convolution that sees all channels and gives 2 "
                "maps or more: choose another model, or initial.whitening=false"
            )
        _whiten(layers[0], images, preprocessing)
    if initial.identity:
        able = [layer for layer in layers[1:] if _can_pass_on(layer)]
        if not able:
            raise InputError(
                "initial.identity needs a convolution behind the first, with an odd kernel, stride "
                "1 and all maps connected: choose another model, or initial.identity=false"
            )
        for layer in able:
            nn.init.dirac_(layer.weight.data[: layer.in_maps])


def _whiten(layer: Convolution, images: Images, preprocessing: Preprocessing) -> None:
    """The strongest principal components of the patches, each scaled to variance 1, and negated."""
    variances, components = torch.linalg.eigh(patch_moments(layer, images, preprocessing))
    count = min(layer.out_maps // 2, len(variances))
    scaled = components / (variances + LEAST_VARIANCE).sqrt()
    filters = scaled.T.flip(0)[:count].float().view(count, *layer.weight.shape[1:])
    layer.weight.data[: 2 * count] = torch.cat([filters, -filters])


def patch_moments(layer: Convolution, images: Images, preprocessing: Preprocessing) -> torch.Tensor:
    """Mean products of the values in the windows of `layer`, float64, d × d for d = C·k·k.

    The windows lie side by side over an even choice of `WHITENED_IMAGES` of the images.
    """
    rows, columns = layer.kernel
    chosen = np.linspace(0, len(images) - 1, min(len(images), WHITENED_IMAGES)).astype(int)
    size = layer.in_maps * rows * columns
    total, seen = torch.zeros(size, size, dtype=torch.float64), 0
    for first in range(0, len(chosen), _AT_A_TIME):
        batch = torch.from_numpy(images[chosen[first : first + _AT_A_TIME]])
        inputs = to_input(batch, preprocessing)
        windows = inputs.unfold(2, rows, (rows + 1) // 2).unfold(3, columns, (columns + 1) // 2)
        patches = windows.permute(0, 2, 3, 1, 4, 5).reshape(-1, size)
        total += patches.T @ patches
        seen += len(patches)
    return total / seen


def _is_dense(layer: Convolution) -> bool:
    return layer.table is None and layer.groups == 1


def _can_pass_on(layer: Convolution) -> bool:
    odd = all(side % 2 for side in layer.kernel)
    return _is_dense(layer) and odd and layer.stride == (1, 1)
