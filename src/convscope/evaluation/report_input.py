"""What a report is made of: plain results and arrays, so that it depends on no run and no model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.errors import InputError
from convscope.evaluation.results import Evaluation


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureMaps:
    """What the layers of a network make of one image.

    Attributes:
        image: uint8, C × H × W, C is 1 (grey) or 3 (RGB).
        true: name of the image's class.
        layers: for each layer, first to last, its name and its maps: float32, maps × h × w.
    """

    image: npt.NDArray[np.uint8]
    true: str
    layers: Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportInput:
    """A trained network and how good it is, ready to be shown.

    Attributes:
        title: the heading, e.g. `lenet5 on mnist-sample`.
        model: name of the network, e.g. `lenet5`.
        evaluation: its results on one split.
        history: one row an epoch: `epoch`, `loss`, `train_accuracy`, `validation_loss`,
            `validation_accuracy`, `learning_rate`, `seconds`; a missing column is not drawn.
        mistake_images: uint8, M × C × H × W, in the order of `evaluation.mistakes`.
        filters: weights of the first convolution, float32, out × in × height × width.
        feature_maps: for a few images.
        anatomy: as `convscope.model_summary.Anatomy.to_json` gives it: `layers`, one for each
            (`name`, `kind`, `activation`, `output_shape`, `receptive_field`, `parameters`,
            `connections`, `multiply_adds`, `formulas`), and the totals `parameters`,
            `connections` and `multiply_adds`.
        recipe: the complete training recipe.
        environment: versions, processor, threads.
        provenance: where the data comes from, its licence and citation.
        command: what to type to get the same run again.
        training_seconds: how long the training took.
        created: when, for the reader.

    Raises:
        InputError: `mistake_images` is not one uint8 image for each mistake, or `filters` has
            not four dimensions.
    """

    title: str
    model: str
    evaluation: Evaluation
    history: Sequence[Mapping[str, float]]
    mistake_images: npt.NDArray[np.uint8]
    filters: npt.NDArray[np.float32] | None
    feature_maps: Sequence[FeatureMaps]
    anatomy: Mapping[str, Any]
    recipe: Mapping[str, Any]
    environment: Mapping[str, Any]
    provenance: Mapping[str, Any]
    command: str
    training_seconds: float | None
    created: str

    def __post_init__(self) -> None:
        images, expected = self.mistake_images, len(self.evaluation.mistakes)
        shaped = images.ndim == 4 and images.shape[1] in (1, 3) and images.dtype == np.uint8
        if len(images) != expected or (expected and not shaped):
            raise InputError(
                f"mistake_images are {images.dtype} {images.shape}; allowed: uint8, "
                f"{expected} × C × H × W with C 1 or 3, one for each mistake of the evaluation"
            )
        if self.filters is not None and self.filters.ndim != 4:
            raise InputError(
                f"filters have shape {self.filters.shape}; allowed: out × in × height × width, "
                "or None for a network without convolutions"
            )
