"""The weights of the first convolution: the one layer whose filters act on pixels."""

import numpy as np
import numpy.typing as npt
from torch import nn

from convscope.layers.convolution import Convolution


def first_filters(model: nn.Module) -> npt.NDArray[np.float32] | None:
    """The filters of the first convolution, or None for a network without one.

    First in the order in which the modules were registered. With a connection table, missing
    links are zeros.

    Returns:
        float32, output maps × input channels of each group × height × width, a copy.
    """
    for module in model.modules():
        if isinstance(module, Convolution | nn.Conv2d):
            weight = module.dense_weight() if isinstance(module, Convolution) else module.weight
            return np.array(weight.detach().float().cpu().numpy())
    return None
