import gzip
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from convscope.data import tar
from convscope.data.cifar import is_cifar, read_cifar
from convscope.errors import InputError

Bytes = npt.NDArray[np.uint8]
NAMES = b"airplane\nautomobile\nbird\n\n"


def records(labels: list[list[int]], seed: int = 0) -> tuple[bytes, Bytes]:
    """Records with these label bytes, and the pixels that were put into them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    rows = [bytes(label) + image.tobytes() for label, image in zip(labels, pixels, strict=True)]
    return b"".join(rows), pixels


def cifar10() -> dict[str, bytes]:
    files = {f"data_batch_{n}.bin": records([[n % 3], [2]], n)[0] for n in range(1, 6)}
    return {**files, "test_batch.bin": records([[1]], 9)[0], "batches.meta.txt": NAMES}


def cifar100() -> dict[str, bytes]:
    return {
        "train.bin": records([[7, 0], [5, 2]])[0],
        "test.bin": records([[9, 1]], 1)[0],
        "fine_label_names.txt": NAMES,
        "coarse_label_names.txt": b"a\nb\n",
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_tar(
    path: Path, files: dict[str, bytes], prefix: str = "cifar-10-batches-bin/", **options: int
) -> Path:
    with tarfile.open(path, "w:gz", format=options.get("format", tarfile.USTAR_FORMAT)) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", ["folder", "around", "tar"])
def test_cifar10(tmp_path: Path, kind: str) -> None:
    files = cifar10()
    if kind == "tar":
        path = write_tar(tmp_path / "cifar-10-binary.tar.gz", files)
    else:
        path = tmp_path / "data"
        write_folder(path / "cifar-10-batches-bin" if kind == "around" else path, files)
    assert is_cifar(path)
    splits = read_cifar(path)
    train, test = splits["train"], splits["test"]
    assert train.labels.tolist() == [1, 2, 2, 2, 0, 2, 1, 2, 2, 2]
    assert test.labels.tolist() == [1]
    expected = np.concatenate([records([[0], [0]], n)[1] for n in range(1, 6)])
    np.testing.assert_array_equal(train.images, expected)
    assert train.classes == ("airplane", "automobile", "bird")
    assert (train.name, train.split, test.split) == ("cifar10", "train", "test")
    assert len(train.provenance["sha256"]) == 64


def test_cifar100_uses_the_fine_label(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tgz", cifar100(), prefix="cifar-100-binary/")
    for source in (path, write_folder(tmp_path / "folder", cifar100())):
        splits = read_cifar(source)
        assert splits["train"].name == "cifar100"
        assert splits["train"].labels.tolist() == [0, 2]
        np.testing.assert_array_equal(splits["train"].images, records([[0, 0], [0, 0]])[1])


def test_colour_planes_by_hand(tmp_path: Path) -> None:
    """One record written out: red 1 … at the top left, green 2, blue 3."""
    plane = bytes(1023)
    record = bytes([1]) + b"\1" + plane + b"\2" + plane + b"\3" + plane
    files = {**cifar10(), "test_batch.bin": record}
    image = read_cifar(write_folder(tmp_path / "a", files))["test"].images[0]
    assert image[:, 0, 0].tolist() == [1, 2, 3]
    assert image.sum() == 6


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin", "batches.meta.txt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = cifar10()
    del files[name]
    with pytest.raises(InputError, match=f"data has no {name}: put it there"):
        read_cifar(write_folder(tmp_path / "data", files))
    with pytest.raises(InputError, match=f"x.tar.gz has no {name}: fetch it again"):
        read_cifar(write_tar(tmp_path / "x.tar.gz", files))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("data_batch_2.bin", b"", "data_batch_2.bin holds 0 bytes, which is no whole number"),
        ("data_batch_2.bin", bytes(3073 + 5), "holds 3,078 bytes, which is no whole number of rec"),
        ("data_batch_2.bin", b"\3" + bytes(3072), "the label 3, but there are 3 class names"),
        ("batches.meta.txt", b"\xff\xfe", "must hold 2 to 256 different class names"),
        ("batches.meta.txt", b"cat\ncat\n", "must hold 2 to 256 different class names"),
        ("batches.meta.txt", b"cat\n", "must hold 2 to 256 different class names"),
        ("batches.meta.txt", b"cat\n" * 99999, "must hold 2 to 256 different class names"),
    ],
)
def test_bad_content(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    files = {**cifar10(), name: data}
    with pytest.raises(InputError, match=message):
        read_cifar(write_folder(tmp_path / "data", files))
    with pytest.raises(InputError, match=message):
        read_cifar(write_tar(tmp_path / "x.tar.gz", files))


def test_every_truncation_of_an_archive_is_noticed(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "x.tar.gz", cifar100()).read_bytes()
    plain = gzip.decompress(whole)
    for length in range(0, len(whole) - 1, 997):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut short|no tar archive"):
            read_cifar(tmp_path / "cut.tar.gz")
    # Cut before it was packed, so gzip is whole: up to the two blocks of zeros that end it.
    end = len(plain.rstrip(b"\0")) // 512 * 512 + 512
    for length in [*range(0, end, 499), end]:
        (tmp_path / "cut.tar.gz").write_bytes(gzip.compress(plain[:length], 1))
        with pytest.raises(InputError, match=r"cut short|no tar archive"):
            read_cifar(tmp_path / "cut.tar.gz")


def test_a_pickled_cifar_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "cifar-10-python.tar.gz", {"data_batch_1": b"\x80\x04K\x01."})
    with pytest.raises(InputError, match="holds no file of CIFAR's binary version"):
        read_cifar(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"V"])
def test_links_and_devices_are_passed_over(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("train.bin")
        link.type, link.linkname = kind, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(InputError, match="holds no file of CIFAR's binary version"):
        read_cifar(path)
    assert list(tmp_path.iterdir()) == [path]


def test_paths_out_of_the_archive_are_only_names(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar.gz", cifar100(), prefix="../../../")
    assert len(read_cifar(path)["train"]) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "x.tar.gz"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_other_forms_of_tar(tmp_path: Path, form: int) -> None:
    path = write_tar(tmp_path / "x.tar.gz", cifar100(), prefix="é" * 9 + "/", format=form)
    assert len(read_cifar(path)["train"]) == 2


def test_twice_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for folder in "ab":
            member = tarfile.TarInfo(f"{folder}/train.bin")
            archive.addfile(member, io.BytesIO())
    with pytest.raises(InputError, match=r"holds train.bin twice"):
        read_cifar(path)


def header(size: bytes, name: bytes = b"train.bin") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[148:156] = b" " * 8
    block[156:157] = b"0"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x" * 512, "no tar archive, or damaged"),
        (header(b"\x80" + struct.pack(">10xB", 9)), "no tar archive, or damaged"),
        (header(b"-0000000001"), "no tar archive, or damaged"),
        (header(b"77777777777"), "holds more than 2,147,483,648 bytes, the most allowed"),
        (header(b"07777777777"), "train.bin in .* has 1,073,741,823 bytes; allowed are at most"),
        (header(b"00000001000") + b"x", "cut short"),
        (header(b"0", b"other") * 1001, "holds more than 1000 files, the most allowed"),
    ],
)
def test_hostile_headers(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match=message):
        read_cifar(tmp_path / "x.tar.gz")


def test_a_bomb_of_many_members_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_CONTENT", 100_000)
    content = (header(b"00000100000", b"padding") + bytes(0o100000)) * 10
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(content))
    with pytest.raises(InputError, match="holds more than 100,000 bytes"):
        read_cifar(tmp_path / "x.tar.gz")


def test_is_cifar(tmp_path: Path) -> None:
    assert not is_cifar(tmp_path)
    assert not is_cifar(tmp_path / "data.zip")
    with pytest.raises(InputError, match="holds no file of CIFAR's binary version"):
        read_cifar(tmp_path)
