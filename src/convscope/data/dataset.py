"""The Dataset: uint8 images, their labels, the names of the classes, where they came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from convscope.data.stored import Images as Images
from convscope.data.stored import select
from convscope.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One split of labelled images, never written to.

    Attributes:
        name: short name, shown in reports (`mnist`, or the folder's name).
        split: `train`, `test` or `validation`.
        images: uint8, N × C × H × W, C is 1 (grey) or 3 (RGB); a read-only array, or, where the
            data set is large, `StoredImages`, which are indexed like one and read from a file.
        labels: int64, N, each from 0 to len(classes) − 1; a read-only array.
        classes: the name of each class, in the order of the labels.
        files: for data read from single files, each image's path relative to the root of the
            data, else empty.
        provenance: JSON-serialisable facts: source, format, sha256 of the content, licence,
            citation, how it was split.
    """

    name: str
    split: str
    images: Images
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    files: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise InputError(
                f"images of '{self.name}' are {images.dtype} {images.shape}; "
                "allowed: uint8, N × C × H × W with C 1 or 3"
            )
        if labels.shape != (len(images),) or labels.dtype != np.int64:
            raise InputError(
                f"labels of '{self.name}' are {labels.dtype} {labels.shape}; "
                f"allowed: int64, one for each of the {len(images)} images"
            )
        if len(labels) and not (labels.min() >= 0 and labels.max() < len(self.classes)):
            raise InputError(
                f"labels of '{self.name}' run from {labels.min()} to {labels.max()}, "
                f"but there are {len(self.classes)} classes: allowed are 0 to "
                f"{len(self.classes) - 1}"
            )
        if self.files and len(self.files) != len(images):
            raise InputError(
                f"'{self.name}' has {len(self.files)} file names for {len(images)} images; "
                "give one for each or none"
            )
        if isinstance(images, np.ndarray):
            images.flags.writeable = False
        labels.flags.writeable = False

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: npt.NDArray[np.int64], *, split: str) -> "Dataset":
        """The images at `indices`, in that order, as a split of its own."""
        return Dataset(
            name=self.name,
            split=split,
            images=select(self.images, indices),
            labels=self.labels[indices],
            classes=self.classes,
            files=tuple(self.files[i] for i in indices) if self.files else (),
            provenance=self.provenance,
        )


@dataclass(frozen=True, kw_only=True)
class Splits:
    """What `load` gives: a training set and a test set, and a validation set if the data has one.

    Training code receives `train` (and `validation`), never `test`.
    """

    train: Dataset
    test: Dataset
    validation: Dataset | None = None
