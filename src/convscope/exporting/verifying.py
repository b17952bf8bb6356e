"""Is the file the network? Both answer the same pictures, in batches of several sizes."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing, normalise
from convscope.errors import ConvscopeError
from convscope.layers.modes import evaluation_mode
from convscope.onnx_file.document import PIXELS, SCORES
from convscope.predictors.of_onnx import Session

BATCHES = (1, 2, 7, 64)
TOLERANCE = 1e-4
"""Of a score, and of the largest score where that is above 1: float32 has seven digits."""

Images = npt.NDArray[np.uint8]


def compare(
    session: Session, model: nn.Module, preprocessing: Preprocessing, name: str, largest_batch: int
) -> float:
    """The largest difference between scores of the file and of the network, over the largest score.

    Args:
        session: of the file.
        model: the network in torch.
        preprocessing: from pixels to the network's input.
        name: of the file's input, `pixels` or `input`.
        largest_batch: images that may go through together.

    Raises:
        ConvscopeError: it is more than the tolerance, or another class wins.
    """
    worst = 0.0
    for count in sorted({min(batch, largest_batch) for batch in BATCHES}):
        images = pictures(count, preprocessing)
        given = images if name == PIXELS else normalise(images, preprocessing)
        (found,) = session.run([SCORES], {name: given})
        expected = _scores(model, images, preprocessing)
        worst = max(worst, _difference(found, expected))
    return worst


def _difference(found: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    size = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(found - expected).max()) / size
    rows = np.arange(len(expected))
    lost = expected.max(axis=1) - expected[rows, found.argmax(axis=1)]
    if not difference <= TOLERANCE or float(lost.max()) > 2 * TOLERANCE * size:
        raise ConvscopeError(
            f"the exported network differs from the trained one by {difference:.3g} of a score; "
            f"allowed: {TOLERANCE:g}. Nothing was written; please report this"
        )
    return difference


def _scores(
    model: nn.Module, images: Images, preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    with evaluation_mode(model), torch.inference_mode():
        scores: npt.NDArray[np.float32] = model(
            to_input(torch.from_numpy(images), preprocessing)
        ).numpy()
    return scores


def pictures(count: int, preprocessing: Preprocessing) -> Images:
    """Made-up pictures, N × C × H × W: noise of every contrast, coarse and fine; black and white.

    The same ones for the same arguments.
    """
    rng = np.random.default_rng(count)
    height, width = preprocessing.size
    images = np.empty((count, preprocessing.channels, height, width), np.uint8)
    for image in images:
        grain = int(rng.integers(1, 9))
        low, high = np.sort(rng.integers(0, 256, 2))
        rows, columns = -(-height // grain), -(-width // grain)
        coarse = rng.integers(low, high + 1, (len(image), rows, columns), dtype=np.uint8)
        image[:] = coarse.repeat(grain, 1).repeat(grain, 2)[:, :height, :width]
    images[-1] = 255
    if count > 1:
        images[0] = 0
    return images
