"""How a recipe's choice of inputs becomes the preprocessing that the run keeps."""

import numpy as np
import numpy.typing as npt

from convscope.data.preprocess import Preprocessing, measure
from convscope.training.recipe import Inputs

_NAMED = {"unit": (0.0, 1.0), "lenet5-1998": (0.1 / 1.275, 1 / 1.275)}


def plan_preprocessing(
    inputs: Inputs, images: npt.NDArray[np.uint8], input_shape: tuple[int, int, int]
) -> Preprocessing:
    """How pictures of the training set's size reach the network's input.

    A picture that is no larger than the input is centred in it by a border (an odd pixel goes to
    the right and the bottom); a larger one is resized to it.

    Args:
        inputs: the recipe's choice of normalisation and border.
        images: the training images, uint8 N × C × H × W.
        input_shape: channels, height and width of the network's input.
    """
    channels, *target = input_shape
    height, width = size = tuple(
        min(own, wanted) for own, wanted in zip(images.shape[2:], target, strict=True)
    )
    spare_rows, spare_columns = target[0] - height, target[1] - width
    top, left = spare_rows // 2, spare_columns // 2
    if inputs.normalisation == "measured":
        mean, std = measure(images)
    else:
        one_mean, one_std = _NAMED[inputs.normalisation]
        mean, std = (one_mean,) * channels, (one_std,) * channels
    return Preprocessing(
        channels=channels,
        size=size,
        padding=(left, spare_columns - left, top, spare_rows - top),
        fill=inputs.fill,
        mean=mean,
        std=std,
    )
