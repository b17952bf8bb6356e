"""The images of the data set that the network takes for most like a picture."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from convscope.data.dataset import Dataset
from convscope.evaluation.inference import largest_batch
from convscope.evaluation.robustness import affordable_images, stratified_indices
from convscope.explain.neighbours import feature_blocks, features_of, nearest
from convscope.lab.background import Progress
from convscope.model_summary import anatomy
from convscope.run import Run
from convscope.text import printable

MOST_IMAGES, MOST_VALUES = 10_000, 2**25
"""Images that are compared, and numbers that are kept of them."""
TIMES_AFFORDABLE = 20
"""Features take one pass an image, where robustness curves take many."""


@dataclass(frozen=True, eq=False)
class Features:
    """Features of some images of one split.

    Attributes:
        split: where they are from.
        indices: N, their positions there.
        labels: N, their classes by index.
        values: N × features, float32.
    """

    split: str
    indices: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]


def collect_features(
    run: Run, model: nn.Module, images: Mapping[str, Dataset], progress: Progress
) -> Features:
    """Features of the training images (or of the only images there are), of each class alike."""
    split = "train" if "train" in images else next(iter(images))
    dataset, preprocessing = images[split], run.document.preprocessing
    cost = anatomy(model, preprocessing.input_shape).multiply_adds
    limit = min(MOST_IMAGES, TIMES_AFFORDABLE * affordable_images(cost))
    chosen = stratified_indices(dataset.labels, limit)
    size = largest_batch(model, preprocessing)
    parts: list[npt.NDArray[np.float32]] = []
    done = 0
    for part in feature_blocks(model, dataset.images, chosen, preprocessing, size):
        parts.append(part)
        done += len(part)
        if part.shape[1] * done > MOST_VALUES:
            break
        progress(done, len(chosen))
    chosen, values = chosen[:done], np.concatenate(parts)
    return Features(split, chosen, dataset.labels[chosen], values)


def neighbours(
    features: Features, model: nn.Module, image: Tensor, classes: tuple[str, ...], count: int
) -> dict[str, Any]:
    """What `GET …/neighbours` answers: the nearest images, the nearest first."""
    feature = np.asarray(features_of(model, image[None]))[0]
    indices, distances = nearest(features.values, feature, min(count, len(features.values)))
    found = []
    for index, distance in zip(indices.tolist(), distances.tolist(), strict=True):
        label = int(features.labels[index])
        found.append(
            {
                "split": features.split,
                "index": int(features.indices[index]),
                "class": printable(classes[label], 80),
                "class_index": label,
                "distance": distance,
            }
        )
    return {"neighbours": found}
