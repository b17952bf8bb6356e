"""How a recipe's choice of inputs becomes the preprocessing that the run keeps."""

import torch
from torch import nn

from convscope.data.dataset import Images
from convscope.data.preprocess import Preprocessing, measure
from convscope.errors import InputError
from convscope.layers.modes import evaluation_mode
from convscope.training.recipe import Growth, Inputs

_NAMED = {"unit": (0.0, 1.0), "lenet5-1998": (0.1 / 1.275, 1 / 1.275)}
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_GREY = (0.449, 0.226)  # the means of those, as torchvision's grey-scale models use

Size = tuple[int, int]


def plan_preprocessing(
    inputs: Inputs, images: Images, input_shape: tuple[int, int, int]
) -> Preprocessing:
    """How pictures of the training set's size reach the network's input.

    A picture that is smaller than the input is centred in it by a border (an odd pixel goes to
    the right and the bottom), or enlarged; a larger one is resized to it, or loses its rims.

    Args:
        inputs: the recipe's choice of normalisation, window and border.
        images: the training images, uint8 N × C × H × W, no larger than `picture_size` says.
        input_shape: channels, height and width of the network's input.
    """
    channels, *target = input_shape
    wanted = (target[0], target[1])
    own = (images.shape[2], images.shape[3])
    mean, std = _constants(inputs, images, channels)
    facts = {
        "channels": channels,
        "aspect": inputs.aspect,
        "fill": inputs.fill,
        "mean": mean,
        "std": std,
    }
    if inputs.picture:
        whole = picture_size(inputs, wanted)
        crop = tuple(max(1, round(o * t / w)) for o, t, w in zip(own, wanted, whole, strict=True))
        resize = None if crop == wanted else wanted
        return Preprocessing(size=own, crop=crop, resize=resize, **facts)
    if inputs.fit == "resize":
        return Preprocessing(size=own, resize=None if own == wanted else wanted, **facts)
    height, width = (min(o, t) for o, t in zip(own, wanted, strict=True))
    spare_rows, spare_columns = wanted[0] - height, wanted[1] - width
    top, left = spare_rows // 2, spare_columns // 2
    padding = (left, spare_columns - left, top, spare_rows - top)
    return Preprocessing(size=(height, width), padding=padding, **facts)


def picture_size(inputs: Inputs, input_size: Size) -> Size:
    """Height and width of the pictures to load: the network's input, or more for windows of it."""
    height, width = input_size
    return max(height, inputs.picture), max(width, inputs.picture)


def _constants(
    inputs: Inputs, images: Images, channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of levels from 0 to 1."""
    if inputs.normalisation == "measured":
        return measure(images)
    if inputs.normalisation == "alexnet-2012":
        return measure(images)[0], (1 / 255,) * channels
    if inputs.normalisation == "imagenet":
        return _IMAGENET if channels == 3 else ((_GREY[0],), (_GREY[1],))
    mean, std = _NAMED[inputs.normalisation]
    return (mean,) * channels, (std,) * channels


def grow_from(growth: Growth, preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing of the first steps, where pictures are smaller; else the same."""
    if not growth.size:
        return preprocessing
    return preprocessing.model_copy(update={"resize": (growth.size, growth.size)})


def check_input(model: nn.Module, preprocessing: Preprocessing) -> None:
    """Raise InputError where the network cannot take pictures of this size."""
    _, height, width = shape = preprocessing.input_shape
    try:
        with evaluation_mode(model), torch.inference_mode():
            model(torch.zeros(1, *shape, device=next(model.parameters()).device))
    except (InputError, RuntimeError):
        raise InputError(
            f"the network cannot take pictures of {height} × {width}, with which growth.size lets "
            "it begin: leave it out, or give a size that it takes"
        ) from None
