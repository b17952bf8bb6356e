"""The image that a filter answers to most: gradient ascent on the pixels.

Erhan, Bengio, Courville & Vincent 2009, "Visualizing Higher-Layer Features of a Deep Network".
Left to itself the ascent finds noise of high frequency; as in Yosinski et al. 2015 ("Understanding
Neural Networks Through Deep Visualization", §3) the image is kept small (decay) and smooth (blur),
and it is moved about by a few pixels while it grows.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.errors import InputError, unknown_name
from convscope.explain.tracing import as_batch, layers, shared_copy
from convscope.layers.spec import check_whole
from convscope.text import printable

_LIMIT = 3.0
"""Pixels stay within so many standard deviations of the training images."""
_BLUR_EVERY = 4
_DECAY = 0.995


def maximise(
    model: nn.Module,
    layer: str,
    index: int,
    steps: int = 128,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] | None = None,
) -> npt.NDArray[np.float32]:
    """An image for which the mean of one map (or one unit) is large.

    Args:
        model: takes N × C × H × W; left as it was.
        layer: its name in a trace.
        index: which map; of a layer without maps, which unit.
        steps: of the ascent, 1 to 1024.
        seed: of the noise that it starts from, and of the moves.
        shape: C, H, W; by default the model's own `input_shape`.

    Returns:
        float32, C × H × W, as the network sees images: normalised, −3 to 3.

    Raises:
        InputError: an unknown layer or map, steps out of range, or a model without a shape.
    """
    check_whole("steps", steps, 1)
    copied = shared_copy(model)
    known = dict(layers(copied))
    if layer not in known:
        raise unknown_name("layer", printable(layer), known)
    size = getattr(model, "input_shape", None) if shape is None else shape
    if size is None:
        raise InputError(
            f"{printable(type(model).__name__)} does not say what it takes; give shape"
        )
    kept: list[Tensor] = []
    known[layer].register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(size, generator=generator) * 0.1
    reach = max(1, min(size[1:]) // 16)
    for step in range(steps):
        moves = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
        moved = image.roll(moves, (1, 2))
        moved = moved + _ascent(copied, moved, kept, layer, index)
        image = moved.roll([-move for move in moves], (1, 2)) * _DECAY
        if step % _BLUR_EVERY == 0 and step < steps - _BLUR_EVERY:
            image = _blurred(image)
        image = image.clamp(-_LIMIT, _LIMIT)
    return image.numpy().copy()


def _ascent(model: nn.Module, image: Tensor, kept: list[Tensor], layer: str, index: int) -> Tensor:
    """One step: the gradient, scaled so that its largest entries move a pixel by about 0.3."""
    kept.clear()
    batch = as_batch(model, image).requires_grad_()
    with torch.enable_grad():
        model(batch)
        if not kept:
            raise InputError(f"layer '{printable(layer)}' takes no part in the computation")
        output = kept[-1]
        if not 0 <= index < output.shape[1]:
            raise InputError(
                f"map {index} of layer '{printable(layer)}'; allowed: 0 to {output.shape[1] - 1}"
            )
        (gradient,) = torch.autograd.grad(output[:, index].mean(), batch)
    largest = gradient.abs().max().clamp(min=1e-12)
    return (0.3 * gradient / largest)[0].float().cpu()


def _blurred(image: Tensor) -> Tensor:
    """Each channel with the binomial filter 1 2 1 in both directions, its border repeated."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(len(image), 1, 3, 3)
    padded = F.pad(image[None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel, groups=len(image))[0]
