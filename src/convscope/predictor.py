"""Open a trained network to ask it: a run by torch, an ONNX file without torch.

    bytes of a picture → read → uint8 pixels → probabilities → one of each class

Everything that answers for a trained network (`predict`, a server) goes through here.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from convscope.errors import InputError
from convscope.predictors.interface import Predictor as Predictor
from convscope.text import printable

if TYPE_CHECKING:
    from convscope.run import Run

EXAMPLE = Path(__file__).parent / "example"
"""The run that the package carries: a LeNet-5 that reads digits, for whoever has trained none."""


def open_predictor(model: "str | Path | Run", *, threads: int | None = None) -> Predictor:
    """The network of a run directory, or of a file that `convscope export` wrote.

    Args:
        model: a run or its directory, or an `.onnx` file.
        threads: of the network's computation; by default one for each processor core.

    Raises:
        InputError: there is no such model, it is damaged, or ONNX Runtime is not installed.
    """
    if isinstance(model, str | Path) and not _is_directory(model):
        path = Path(model)
        if path.suffix.lower() != ".onnx":
            raise InputError(
                f"{printable(path)} is no run directory and no .onnx file: give the directory "
                "that `convscope train` printed, or the file that `convscope export` wrote"
            )
        from convscope.predictors.of_onnx import OnnxPredictor

        return OnnxPredictor(path, threads=threads)
    from convscope.predictors.of_run import RunPredictor

    return RunPredictor(model, threads=threads)


def _is_directory(path: str | Path) -> bool:
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
