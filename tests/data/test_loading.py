import hashlib
import io
import os
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from convscope.data.catalog import CATALOG
from convscope.data.download import Resource
from convscope.data.loading import load, load_test
from convscope.data.preprocess import conform
from convscope.errors import ConvscopeError, InputError
from hostile_images import pixels, put

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
needs_mnist = pytest.mark.skipif(
    not MNIST.is_dir(), reason="the MNIST files of the test data are not there"
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("CONVSCOPE_CACHE", str(path))
    return path


def png(value: int, size: tuple[int, int] = (6, 6), mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def pets(counts: dict[str, int], prefix: str = "") -> dict[str, bytes]:
    """Names and contents of images, every one of another grey."""
    names = [f"{prefix}{name}/{n:03}.png" for name, count in counts.items() for n in range(count)]
    return {name: png(grey % 256) for grey, name in enumerate(names)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_default_is_the_sample() -> None:
    splits = load()
    assert (len(splits.train), len(splits.test), splits.validation) == (4000, 1000, None)
    assert splits.train.image_shape == (1, 28, 28)
    # The sample's split is its own: the seed of a run does not change what is tested on.
    np.testing.assert_array_equal(load(seed=5).test.images, splits.test.images)


@pytest.mark.parametrize("entry", CATALOG.values(), ids=CATALOG)
def test_entries_are_complete(entry: object) -> None:
    from convscope.data.catalog import NamedDataset

    assert isinstance(entry, NamedDataset)
    assert CATALOG[entry.name] is entry
    assert all((entry.description, entry.source, entry.licence))
    assert "\n" not in entry.description
    assert entry.citation or entry.name == "shapes"
    for resource in entry.resources:
        assert re.fullmatch(r"[0-9a-f]{64}", resource.sha256)
        assert len(set(resource.mirrors)) == len(resource.mirrors) > 0
        for mirror in resource.mirrors:
            assert urlsplit(mirror).scheme == "https"
            assert mirror.endswith("/" + resource.name)
    if entry.resources:
        megabytes = sum(resource.bytes for resource in entry.resources) / 1e6
        stated = re.search(r"(\d+) MB to download", entry.description)
        assert stated
        assert abs(int(stated[1]) - megabytes) <= 0.5
    if entry.names:
        assert len(set(entry.names)) == entry.classes


def test_sums_are_not_shared() -> None:
    sums = [resource.sha256 for entry in CATALOG.values() for resource in entry.resources]
    assert len(sums) == 14
    assert len(set(sums)) == 14


def test_shapes_are_drawn_in_the_size_asked_for() -> None:
    splits = load("shapes", size=(8, 9), channels=1)
    assert splits.train.image_shape == (1, 8, 9)
    assert splits.train.classes[0] == "circle"
    assert "synthetic" in splits.test.provenance["format"]


@needs_mnist
def test_mnist_by_name_from_the_cache_and_by_path(cache: Path) -> None:
    (cache / "mnist").mkdir()
    for name in os.listdir(MNIST):
        (cache / "mnist" / name).symlink_to(MNIST / name)
    by_name, by_path = load("mnist"), load(MNIST)
    for split in ("train", "test"):
        one, other = getattr(by_name, split), getattr(by_path, split)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.classes == other.classes == tuple("0123456789")
        assert one.name == other.name == "mnist"
        assert one.provenance == other.provenance


def test_a_named_data_set_that_is_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 with another archive, put into the cache by hand."""
    record = bytes(3072)
    files = {f"data_batch_{n}.bin": bytes([n % 2]) + record for n in range(1, 6)}
    files |= {"test_batch.bin": b"\1" + record, "batches.meta.txt": b"cat\ndog\n"}
    (cache / "cifar10").mkdir()
    path = cache / "cifar10" / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    resource = Resource(
        name=path.name,
        mirrors=("http://127.0.0.1:1/never",),
        bytes=path.stat().st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(CATALOG, "cifar10", replace(CATALOG["cifar10"], resources=(resource,)))
    splits = load("cifar10", channels=1)
    assert splits.train.labels.tolist() == [1, 0, 1, 0, 1]
    assert splits.train.image_shape == (1, 32, 32)
    assert load(path).train.image_shape == (3, 32, 32)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ConvscopeError, match=r"cannot download cifar-10-binary.tar.gz .*by hand"):
        load("cifar10")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("mnits", "unknown data set 'mnits': did you mean 'mnist'. Valid: cifar10, .*nothing lies"),
        ("", "unknown data set '': Valid: .*nothing lies at ''"),
        ("/no/such/place", r"or a path, but nothing lies at '/no/such/place'"),
        ("x" * 5000, "nothing lies at 'xxx"),
        ("a\0b", r"nothing lies at 'a\\x00b'"),
        ("\x1b[2J", r"nothing lies at '\\x1b\[2J'"),
    ],
)
def test_neither_name_nor_path(data: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(data)


def test_files_of_no_known_kind(tmp_path: Path) -> None:
    for name, data in {"a.png": png(0), "b.zip": b"no zip", "train-images-idx3-ubyte": b""}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="is a file of no known kind; allowed are a directory"):
            load(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="is a file of no known kind"):
            load(tmp_path / "pipe")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_is_split_by_us(tmp_path: Path, kind: str) -> None:
    files = pets({"cat": 20, "dog": 10, "<b>&": 2})
    data = write(tmp_path / "d", files) if kind == "folder" else zipped(tmp_path / "d.zip", files)
    before = snapshot(tmp_path)
    splits = load(data, seed=3)
    train, test = splits.train, splits.test
    assert (len(train), len(test)) == (26, 6)  # 0.2 of 32 is 6.4
    assert np.bincount(test.labels).tolist() == [1, 3, 2]  # sorted: <b>&, cat, dog
    assert sorted(train.files + test.files) == sorted(files)
    assert test.provenance["split"] == (
        "by convscope: 6 test images, stratified, seed 3, fraction 0.2"
    )
    assert load(data, seed=3).test.files == test.files
    assert load(data, seed=4).test.files != test.files
    assert len(load(data, test_fraction=0.5).test) == 16
    assert snapshot(tmp_path) == before


def test_a_recorded_split_survives_new_files(tmp_path: Path) -> None:
    data = write(tmp_path / "pets", pets({"cat": 12, "dog": 12}))
    recorded = load(data, seed=1).test
    (data / "cat" / "000a.png").write_bytes(png(200))
    (data / "dog" / "zzz.png").write_bytes(png(201))
    again = load(data, seed=99, test_files=recorded.files)
    assert again.test.files == recorded.files
    np.testing.assert_array_equal(again.test.images, recorded.images)
    assert {"cat/000a.png", "dog/zzz.png"} <= set(again.train.files)
    assert len(again.train) == 26 - len(recorded)
    assert again.test.provenance["split"].endswith("the recorded names")
    (data / recorded.files[0]).unlink()
    with pytest.raises(InputError, match="of the recorded test files is missing: put it back"):
        load(data, test_files=recorded.files)


def test_a_folder_with_splits_of_its_own(tmp_path: Path) -> None:
    files = pets({"cat": 4, "dog": 4}, "train/") | pets({"cat": 2, "dog": 1}, "test/")
    data = write(tmp_path / "pets", files | pets({"cat": 1, "dog": 1}, "val/"))
    splits = load(data)
    assert splits.validation is not None
    assert (len(splits.train), len(splits.test), len(splits.validation)) == (8, 3, 2)
    assert "split" not in splits.test.provenance
    (data / "test" / "dog" / "new.png").write_bytes(png(9))
    assert len(load(data).test) == 4
    assert load(data, test_files=splits.test.files).test.files == splits.test.files
    with pytest.raises(InputError, match=r"'test/cat/9.png' of the recorded test files is missing"):
        load(data, test_files=["test/cat/9.png"])


def test_images_in_folders_get_the_size_asked_for(tmp_path: Path) -> None:
    data = write(tmp_path / "pets", pets({"cat": 3, "dog": 3}))
    assert load(data).train.image_shape == (1, 6, 6)
    assert load(data, size=(8, 10), channels=3).train.image_shape == (3, 8, 10)
    (data / "cat" / "wide.png").write_bytes(png(1, (9, 6)))
    with pytest.raises(InputError, match="2 different sizes"):
        load(data)
    assert load(data, size=(4, 4)).train.image_shape == (1, 4, 4)


def idx_file(array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    images = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)
    labels = np.array([0, 1, 0, 1], dtype=np.uint8)
    contents = {"images-idx3": idx_file(images), "labels-idx1": idx_file(labels)}
    return write(
        tmp_path / "digits",
        {f"{p}-{n}-ubyte": data for p in ("train", "t10k") for n, data in contents.items()},
    )


def test_data_of_one_size_only_shrink(idx_folder: Path) -> None:
    assert load(idx_folder).train.image_shape == (1, 6, 4)
    assert load(idx_folder, size=(32, 32)).train.image_shape == (1, 6, 4)
    smaller = load(idx_folder, size=(3, 2), channels=3)
    assert smaller.train.image_shape == (3, 3, 2)
    whole = Image.fromarray(load(idx_folder).train.images[1, 0])
    expected = np.asarray(whole.resize((2, 3), Image.Resampling.BILINEAR))
    for channel in range(3):
        np.testing.assert_array_equal(smaller.train.images[1, channel], expected)


def test_grey_becomes_three_equal_channels(idx_folder: Path) -> None:
    grey, colour = load(idx_folder), load(idx_folder, channels=3)
    assert (colour.train.images[:] == grey.train.images[:]).all()


def test_one_class_only(tmp_path: Path, idx_folder: Path) -> None:
    labels = idx_file(np.zeros(4, dtype=np.uint8))
    for prefix in ("train", "t10k"):
        (idx_folder / f"{prefix}-labels-idx1-ubyte").write_bytes(labels)
    with pytest.raises(InputError, match="'digits' has images of one class only, '0': a classif"):
        load(idx_folder)
    with pytest.raises(InputError, match="one class, 'cat': a classifier needs two or more"):
        load(write(tmp_path / "pets", pets({"cat": 5})))


def test_one_image_of_each_class(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 images with no class of two or more cannot be split"):
        load(write(tmp_path / "pets", pets({"cat": 1, "dog": 1})))


def test_bad_images(tmp_path: Path) -> None:
    data = write(tmp_path / "pets", pets({"cat": 5, "dog": 5}) | {"cat/bad.png": b"text"})
    with pytest.raises(InputError, match=r"cat/bad.png"):
        load(data)
    assert len(load(data, skip_bad=True).train) == 8


def test_progress_counts_images(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    data = write(tmp_path / "pets", pets({"cat": 5, "dog": 5}))
    load(data, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)


def test_torch_is_not_needed() -> None:
    import subprocess
    import sys

    program = (
        "import sys, convscope.data.loading as c\n"
        "c.load('shapes', size=(8, 8)); print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "False"


# -- the way to a size ---------------------------------------------------------------------------


def test_small_images_of_one_size_keep_it_if_asked(tmp_path: Path) -> None:
    for name in ("train/a/1", "train/b/1", "test/a/1"):
        put(tmp_path / "x" / f"{name}.png", pixels(len(name), 32, 32))
    kept = load(tmp_path / "x", size=(227, 227), keep_size=True)
    assert kept.train.image_shape == kept.test.image_shape == (3, 32, 32)
    np.testing.assert_array_equal(kept.test.images[0].transpose(1, 2, 0), pixels(8, 32, 32))
    assert load(tmp_path / "x", size=(227, 227)).train.image_shape == (3, 227, 227)
    assert load(tmp_path / "x", size=(32, 31), keep_size=True).train.image_shape == (3, 32, 31)
    put(tmp_path / "x" / "test" / "b" / "other.png", pixels(1, 32, 33))
    mixed = load(tmp_path / "x", size=(60, 50), keep_size=True)
    assert mixed.train.image_shape == mixed.test.image_shape == (3, 60, 50)
    exact = load_test(tmp_path / "x", size=(40, 40), channels=1, classes=("a", "b"))
    assert exact.image_shape == (1, 40, 40)


def test_larger_images_are_covered_or_stretched(tmp_path: Path) -> None:
    """A picture of 4 × 8: its left and right quarter are cut off, or it is squeezed."""
    picture = np.zeros((4, 8, 1), np.uint8)
    picture[:, :2], picture[:, 6:] = 255, 255
    for name in ("train/a/1", "train/b/1", "test/a/1"):
        put(tmp_path / "x" / f"{name}.png", picture)
    covered = load(tmp_path / "x", size=(4, 4), aspect="cover")
    assert not covered.train.images[:].any()
    stretched = load(tmp_path / "x", size=(4, 4))
    assert stretched.train.images[:].any()
    assert (
        not load_test(tmp_path / "x", size=(4, 4), channels=1, classes=("a", "b"), aspect="cover")
        .images[:]
        .any()
    )


def test_larger_data_of_one_size_is_covered_too() -> None:
    """Digits of 28 × 28, asked for in 14 × 7: scaled to 14 × 14, cut from column 3 on."""
    whole = load("mnist-sample").test
    found = load("mnist-sample", size=(14, 7), aspect="cover").test
    for own, covered in zip(whole.images[:20], found.images, strict=False):
        expected = conform(own.transpose(1, 2, 0), None, (14, 14))[:, :, 3:10]
        np.testing.assert_array_equal(covered, expected)
