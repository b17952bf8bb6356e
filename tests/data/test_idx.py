import gzip
import hashlib
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from convscope.data import idx, loading
from convscope.data.idx import is_idx_folder, read_ahead, read_idx, read_idx_folder
from convscope.errors import InputError

MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
needs_mnist = pytest.mark.skipif(
    not MNIST.is_dir(), reason="the MNIST files of the test data are not there"
)

Bytes = npt.NDArray[np.uint8]


def encode(array: npt.NDArray[np.generic], kind: int = 8) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def write(folder: Path, name: str, array: npt.NDArray[np.generic]) -> None:
    packed = gzip.compress(encode(array)) if name.endswith(".gz") else encode(array)
    (folder / name).write_bytes(packed)


IMAGES = np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2)
LABELS = np.array([1, 0, 1, 2], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train-images-idx3-ubyte.gz", IMAGES)
    write(tmp_path, "train-labels-idx1-ubyte", LABELS)
    write(tmp_path, "t10k-images.idx3-ubyte", IMAGES[:2])
    write(tmp_path, "t10k-labels.idx1-ubyte.gz", LABELS[:2])
    return tmp_path


def test_the_example_of_the_format(tmp_path: Path) -> None:
    # Two images of 2 × 3 written out by hand: type 8, three sizes, twelve bytes.
    data = "00 00 08 03  00 00 00 02  00 00 00 02  00 00 00 03  01 02 03 04 05 06 07 08 09 0a 0b ff"
    (tmp_path / "a").write_bytes(bytes.fromhex(data))
    expected = [[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 255]]]
    assert read_idx(tmp_path / "a").tolist() == expected


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4, max_side=5)), packed=st.booleans())
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: Bytes, packed: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    write(path.parent, path.name, array)
    read = read_idx(path)
    assert read.dtype == np.uint8
    assert not read.flags.writeable
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file: it begins with nothing, expected is 00 00 08"),
        (b"\0\0\x08", "is no IDX file: it begins with 00 00 08"),
        (b"\x89PNG\r\n", "is no IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01\0\0\0\0", "is no IDX file: it begins with 00 00 07 01"),
        (encode(np.zeros(3, dtype=">f4"), kind=13), "holds float32 values; allowed is uint8"),
        (encode(np.zeros(3, dtype=">i4"), kind=12), "holds int32 values; allowed is uint8"),
        (b"\0\0\x08\x00", "has 0 dimensions; allowed are 1 to 4"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255, "has 255 dimensions; allowed are 1 to 4"),
        (b"\0\0\x08\x03\0\0\0\2", "ends inside its header"),
        (encode(IMAGES)[:-1], r"holds 23 bytes after its header, expected are 24 \(4 × 3 × 2\)"),
        (encode(IMAGES)[:16], "holds 0 bytes after its header, expected are 24"),
        (b"\0\0\x08\x04" + b"\xff" * 16, "allowed are at most 4,294,967,296"),
        (b"\0\0\x08\x01\0\0\0\0extra", "after its header, expected are 0"),
    ],
)
def test_bad_files(tmp_path: Path, packed: bool, content: bytes, message: str) -> None:
    path = tmp_path / "bad"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(InputError, match=message):
        read_idx(path)


def test_too_many_bytes(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(encode(IMAGES) + b"12")
    with pytest.raises(InputError, match="holds 26 bytes after its header, expected are 24"):
        read_idx(tmp_path / "plain")
    (tmp_path / "packed").write_bytes(gzip.compress(encode(IMAGES) + b"12"))
    with pytest.raises(InputError, match=r"holds more than 24 bytes .*, expected are 24"):
        read_idx(tmp_path / "packed")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    packed = gzip.compress(encode(IMAGES))
    for data in (packed, encode(IMAGES)):
        for length in range(len(data)):
            (tmp_path / "cut").write_bytes(data[:length])
            with pytest.raises(InputError, match=r"cut short|no IDX file|expected are 24|damaged"):
                read_idx(tmp_path / "cut")


def test_damage_inside_gzip(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(encode(IMAGES)))
    data[-6] ^= 1  # in the checksum
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(
        InputError, match=r"bad is damaged .*incorrect data check.*: fetch it again"
    ):
        read_idx(tmp_path / "bad")


def test_gzip_in_several_members_and_with_rubbish_after(tmp_path: Path) -> None:
    data = encode(IMAGES)
    (tmp_path / "two").write_bytes(gzip.compress(data[:9]) + gzip.compress(data[9:]))
    np.testing.assert_array_equal(read_idx(tmp_path / "two"), IMAGES)
    (tmp_path / "rubbish").write_bytes(gzip.compress(data) + b"rubbish")
    with pytest.raises(InputError, match="is damaged"):
        read_idx(tmp_path / "rubbish")


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = packer.compress(b"\0\0\x08\x01\0\0\0\x05")
    for _ in range(300):
        bomb += packer.compress(bytes(1 << 20))
    (tmp_path / "bomb.gz").write_bytes(bomb + packer.flush())
    import tracemalloc

    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="holds more than 5 bytes"):
            read_idx(tmp_path / "bomb.gz")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 << 20


def test_a_claim_of_4_gb_allocates_nothing(tmp_path: Path) -> None:
    (tmp_path / "claim").write_bytes(b"\0\0\x08\x01\xff\xff\xff\xff")
    (tmp_path / "claim.gz").write_bytes(gzip.compress(b"\0\0\x08\x01\xff\xff\xff\xff"))
    for name in ("claim", "claim.gz"):
        with pytest.raises(InputError, match=r"holds 0 bytes .*, expected are 4,294,967,295"):
            read_idx(tmp_path / name)


def test_folder(folder: Path) -> None:
    splits = read_idx_folder(folder)
    train, test = splits["train"], splits["test"]
    assert set(splits) == {"train", "test"}
    assert train.images.shape == (4, 1, 3, 2)
    np.testing.assert_array_equal(train.images[:, 0], IMAGES)
    assert train.labels.tolist() == [1, 0, 1, 2]
    assert test.labels.tolist() == [1, 0]
    assert train.classes == test.classes == ("0", "1", "2")
    assert (train.name, train.split, test.split) == (folder.name, "train", "test")
    payload = train.provenance["payloads"]["train-images-idx3-ubyte"]
    assert payload == hashlib.sha256(encode(IMAGES)).hexdigest()
    assert train.provenance["sha256"] != test.provenance["sha256"]


def test_other_labels_give_another_digest(folder: Path) -> None:
    before = read_idx_folder(folder)["train"].provenance["sha256"]
    write(folder, "train-labels-idx1-ubyte", LABELS[::-1])
    assert read_idx_folder(folder)["train"].provenance["sha256"] != before


def test_labels_need_not_begin_at_zero_or_be_dense(folder: Path) -> None:
    write(folder, "train-labels-idx1-ubyte", np.array([7, 3, 7, 255], dtype=np.uint8))
    write(folder, "t10k-labels.idx1-ubyte.gz", np.array([255, 3], dtype=np.uint8))
    splits = read_idx_folder(folder)
    assert splits["train"].classes == ("3", "7", "255")
    assert splits["train"].labels.tolist() == [1, 0, 1, 2]
    assert splits["test"].labels.tolist() == [2, 0]


def test_names_of_classes(folder: Path) -> None:
    splits = read_idx_folder(folder, name="pets", classes=["cat", "dog", "<b>", "unused"])
    assert splits["test"].classes == ("cat", "dog", "<b>", "unused")
    assert splits["train"].labels.tolist() == [1, 0, 1, 2]
    assert splits["train"].name == "pets"
    with pytest.raises(InputError, match=r"train labels in .* contain 2, which is no class"):
        read_idx_folder(folder, classes=["cat", "dog"])


def test_a_test_label_that_training_lacks(folder: Path) -> None:
    write(folder, "t10k-labels.idx1-ubyte.gz", np.array([0, 9], dtype=np.uint8))
    with pytest.raises(InputError, match=r"the test labels in .* contain 9, .* are 0, 1, 2: do"):
        read_idx_folder(folder)


def test_what_is_read_ahead_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read_idx_folder(folder)
    read_ahead(folder)
    monkeypatch.setattr("convscope.data.idx._read", lambda path: pytest.fail(f"read {path} again"))
    for split, found in read_idx_folder(folder).items():
        np.testing.assert_array_equal(found.images, plain[split].images)
        np.testing.assert_array_equal(found.labels, plain[split].labels)
        assert found.provenance == plain[split].provenance


def test_a_file_written_after_it_was_read_ahead_is_read_again(folder: Path) -> None:
    read_ahead(folder)
    write(folder, "train-labels-idx1-ubyte", LABELS[::-1])
    assert read_idx_folder(folder)["train"].labels.tolist() == [2, 1, 0, 1]


def test_damage_found_ahead_is_told_where_the_data_are_asked_for(folder: Path) -> None:
    (folder / "t10k-labels.idx1-ubyte.gz").write_bytes(b"\x1f\x8b damaged")
    loading.read_ahead(folder)
    with pytest.raises(InputError, match="damaged"):
        read_idx_folder(folder)


@pytest.mark.parametrize("data", ["nothing-here", "", "x" * 5000, "mnist", "\0"])
def test_data_that_cannot_be_read_ahead_are_left_alone(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    loading.read_ahead(data)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        ("train-labels-idx1-ubyte", "train-labels-idx1-ubyte"),
        ("t10k-images.idx3-ubyte", "t10k-images-idx3-ubyte"),
        ("t10k-labels.idx1-ubyte.gz", "t10k-labels-idx1-ubyte"),
    ],
)
def test_a_missing_file_is_named(folder: Path, name: str, shown: str) -> None:
    (folder / name).unlink()
    assert is_idx_folder(folder)
    with pytest.raises(InputError, match=f"has no {shown} \\(or {shown}.gz\\): put it there"):
        read_idx_folder(folder)


def test_counts_and_shapes_must_agree(folder: Path) -> None:
    write(folder, "train-labels-idx1-ubyte", LABELS[:3])
    with pytest.raises(InputError, match=r"ubyte.gz holds 4 images, but .* 3 labels: they must"):
        read_idx_folder(folder)
    write(folder, "train-labels-idx1-ubyte", IMAGES)
    with pytest.raises(InputError, match="has the sizes 4 × 3 × 2; labels need N"):
        read_idx_folder(folder)
    write(folder, "train-images-idx3-ubyte.gz", np.zeros((0, 28, 28), np.uint8))
    with pytest.raises(InputError, match="has the sizes 0 × 28 × 28; images need N × height"):
        read_idx_folder(folder)


def test_is_idx_folder(tmp_path: Path) -> None:
    assert not is_idx_folder(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    with pytest.raises(InputError, match="has no train-labels-idx1-ubyte"):
        read_idx_folder(tmp_path)


@needs_mnist
def test_mnist_is_recognised_by_its_content() -> None:
    splits = read_idx_folder(MNIST)
    train, test = splits["train"], splits["test"]
    assert train.name == test.name == "mnist"
    assert train.images.shape == (60000, 1, 28, 28)
    assert test.images.shape == (10000, 1, 28, 28)
    # The counts of each digit, as published with the data set.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == counts
    assert train.provenance["licence"] == "CC BY-SA 3.0"
    assert {**train.provenance["payloads"], **test.provenance["payloads"]} == idx.MNIST_SHA256
