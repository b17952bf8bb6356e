"""What the layers of a network make of images: feature maps, taken from the real computation."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from convscope.errors import InputError, unknown_name
from convscope.layers.facts import ELEMENTWISE, SILENT
from convscope.layers.modes import evaluation_mode
from convscope.text import printable

FloatArray = npt.NDArray[np.float32]

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)


def feature_maps(
    model: nn.Module, images: FloatArray | Tensor, layers: Sequence[str] | None = None
) -> dict[str, FloatArray]:
    """The outputs of a network's layers, in the order of computation.

    The model runs once, in evaluation mode and without gradients, and is left as it was. A
    layer that is used more than once gives its last output.

    Args:
        model: takes N × C × H × W.
        images: preprocessed, float32, N × C × H × W.
        layers: names of modules (`c1`, `features.0`), whose own outputs are given. Default:
            every layer whose maps have more than one pixel; an activation stands for the layer
            before it, so `c1` is then the map after its activation, and dropout, which does
            nothing here, is left out.

    Returns:
        For each layer float32, N × maps × height × width, copied out of the model.

    Raises:
        InputError: images that are no batch, an unknown layer, or one without maps.
    """
    if images.ndim != 4:
        raise InputError(
            f"images have shape {tuple(images.shape)}; allowed: a batch, N × C × H × W"
        )
    modules = {name: module for name, module in model.named_modules() if name}
    if layers is None:
        leaves = {name: module for name, module in modules.items() if _is_leaf(module)}
        outputs = _outputs(model, images, leaves, merge=True)
        return {name: maps for name, maps in outputs.items() if _has_pixels(maps)}
    for name in layers:
        if name not in modules:
            raise unknown_name("layer", printable(name), modules)
    outputs = _outputs(model, images, {name: modules[name] for name in layers}, merge=False)
    for name in layers:
        if name not in outputs or outputs[name].ndim != 4:
            raise InputError(
                f"layer '{printable(name)}' gives no feature maps; name one whose output is "
                "N × maps × height × width"
            )
    return outputs


def _is_leaf(module: nn.Module) -> bool:
    return not isinstance(module, (*SILENT, *_DROPOUT)) and next(module.children(), None) is None


def _has_pixels(maps: FloatArray) -> bool:
    return maps.ndim == 4 and maps.shape[2] * maps.shape[3] > 1


def _outputs(
    model: nn.Module, images: FloatArray | Tensor, modules: dict[str, nn.Module], *, merge: bool
) -> dict[str, FloatArray]:
    """What `modules` gave; with `merge`, an activation's output replaces its predecessor's."""
    outputs: dict[str, FloatArray] = {}

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            del inputs
            if not isinstance(output, Tensor):
                return
            replaces = merge and outputs and isinstance(module, ELEMENTWISE)
            key = next(reversed(outputs)) if replaces else name
            if not replaces:
                outputs.pop(name, None)  # used again: it takes its place in the order anew
            # A copy: a later layer may work in place.
            outputs[key] = np.array(output.to("cpu", torch.float32).numpy())

        return keep

    first = next(model.parameters(), torch.zeros(0))
    batch = torch.as_tensor(images).to(first.device, first.dtype)
    handles = [module.register_forward_hook(hook(name)) for name, module in modules.items()]
    try:
        with evaluation_mode(model), torch.no_grad():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return outputs
