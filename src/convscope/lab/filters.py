"""The first layer's filters of a training that goes on, from its newest checkpoint."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from convscope.errors import InputError
from convscope.layers.convolution import Convolution
from convscope.run import build_model, open_run
from convscope.web.answers import Refusal
from convscope.weights import read_header


def newest_filters(path: Path) -> npt.NDArray[np.float32]:
    """Kernels of the first convolution of the run in `path`, out × in × rows × columns.

    Only that tensor is read, whatever the size of the file.

    Raises:
        Refusal: 404, there is neither checkpoint nor weights yet, or no convolution.
    """
    try:
        run = open_run(path)
        with torch.device("meta"):
            name = _first_convolution(build_model(run.document))
    except InputError:
        name = None
    if name is None:
        raise Refusal(404, "this training has no filters to show yet")
    prefixes = ("average/", "model/")
    for file, names in (
        (run.checkpoint, [f"{prefix}{name}.weight" for prefix in prefixes]),
        (run.weights, [f"{name}.weight"]),
    ):
        found = _read_one(file, names)
        if found is not None:
            return found
    raise Refusal(404, "this training has no filters to show yet")


def _first_convolution(model: nn.Module) -> str | None:
    for name, module in model.named_modules():
        if isinstance(module, Convolution | nn.Conv2d):
            return str(name)
    return None


def _read_one(file: Path, names: list[str]) -> npt.NDArray[np.float32] | None:
    try:
        header = read_header(file)
        name = next((name for name in names if name in header), None)
        if name is None:
            return None
        with safe_open(file, framework="pt") as tensors:
            values: npt.NDArray[np.float32] = tensors.get_tensor(name).float().numpy()
    except (InputError, OSError, SafetensorError):  # it may just be replaced by a newer one
        return None
    return values if values.ndim == 4 else None
