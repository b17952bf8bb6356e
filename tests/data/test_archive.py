import os
import stat
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convscope.data.archive import Archive, Limits, read_zip
from convscope.data.dataset import Dataset
from convscope.data.folder import read_folder
from convscope.errors import InputError
from hostile_images import FOLDER_NAMES, encode, pixels, put

Members = dict[str, bytes]

PICTURE = encode(pixels())


def make(path: Path, members: Members, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def pets(*splits: str) -> Members:
    names = [f"{split}{name}" for split in splits or ("",) for name in ("a/1.png", "b/1.png")]
    return {name: encode(pixels(seed)) for seed, name in enumerate(names)}


def read(path: Path, **options: object) -> dict[str, Dataset]:
    defaults: dict[str, object] = {"size": None, "channels": None}
    return read_zip(path, **(defaults | options))  # type: ignore[arg-type]


# -- ordinary archives -------------------------------------------------------------------------


def test_a_zip_is_read_as_its_folder_would_be(tmp_path: Path) -> None:
    members = pets("pets/train/", "pets/test/") | {"pets/readme.txt": b"x", "__MACOSX/._a": b"x"}
    packed = read(make(tmp_path / "pets.zip", members))
    with zipfile.ZipFile(tmp_path / "pets.zip") as archive:
        archive.extractall(tmp_path / "pets")
    unpacked = read_folder(tmp_path / "pets", size=None, channels=None)
    assert list(packed) == list(unpacked) == ["train", "test"]
    for split in packed:
        np.testing.assert_array_equal(packed[split].images, unpacked[split].images)
        np.testing.assert_array_equal(packed[split].labels, unpacked[split].labels)
        assert packed[split].files == unpacked[split].files
        assert packed[split].provenance["sha256"] == unpacked[split].provenance["sha256"]
    assert packed["train"].name == "pets"
    assert packed["train"].provenance["format"] == "zip"


def test_names_that_start_with_a_dot_slash_are_ordinary(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", {f"./{name}": data for name, data in pets().items()})
    assert read(path)["train"].files == ("a/1.png", "b/1.png")


def test_a_test_archive_beside_a_train_archive_is_its_test_split(tmp_path: Path) -> None:
    make(tmp_path / "pets-train.zip", pets("pets-train/") | {"__MACOSX/x": b""})
    make(tmp_path / "pets-test.zip", {"pets-test/b/9.png": PICTURE})
    splits = read(tmp_path / "pets-train.zip")
    assert list(splits) == ["train", "test"]
    assert splits["train"].files == ("train/a/1.png", "train/b/1.png")
    assert splits["test"].files == ("test/b/9.png",)
    assert splits["test"].labels.tolist() == [1]
    assert {split.name for split in splits.values()} == {"pets"}
    source = "pets-train.zip, and pets-test.zip found beside it"
    assert splits["test"].provenance["source"] == source
    make(tmp_path / "pets-test.zip", {"c/1.png": PICTURE})
    with pytest.raises(InputError, match="test of 'pets' has the class 'c', which is none of the"):
        read(tmp_path / "pets-train.zip")


def test_an_archive_with_its_own_test_split_ignores_the_one_beside_it(tmp_path: Path) -> None:
    make(tmp_path / "pets-train.zip", pets("train/", "test/"))
    make(tmp_path / "pets-test.zip", {"c/1.png": PICTURE})
    assert read(tmp_path / "pets-train.zip")["test"].files == ("test/a/1.png", "test/b/1.png")


def test_hostile_names_are_read_and_shown_inert(tmp_path: Path) -> None:
    members = {f"{name}/1.png": PICTURE for name in FOLDER_NAMES if "\\" not in name}
    train = read(make(tmp_path / "x.zip", members))["train"]
    assert set(train.classes) == {name for name in FOLDER_NAMES if "\\" not in name}
    with pytest.raises(InputError) as caught:
        read(make(tmp_path / "y.zip", dict.fromkeys(members, b"")))
    assert str(caught.value).isprintable()


def test_archives_in_archives_are_not_opened(tmp_path: Path) -> None:
    inner = make(tmp_path / "inner.zip", pets()).read_bytes()
    splits = read(make(tmp_path / "x.zip", pets() | {"a/inner.zip": inner}))
    assert splits["train"].files == ("a/1.png", "b/1.png")


def test_bad_members_are_listed_and_can_be_skipped(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets() | {"a/half.png": PICTURE[: len(PICTURE) // 2]})
    with pytest.raises(InputError, match=r"1 of the 3 images in 'x' cannot be .* \(truncated"):
        read(path)
    assert read(path, skip_bad=True)["train"].files == ("a/1.png", "b/1.png")


# -- attacks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../evil.png",
        "a/../../evil.png",
        "/etc/evil.png",
        "C:/evil.png",
        "c:evil.png",
        "..\\evil.png",
        "a\\b.png",
        "\\\\host\\share.png",
    ],
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / "x.zip", pets() | {name: PICTURE})
    with pytest.raises(InputError, match=r"is refused: the member name '.*' is unsafe") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["x.zip"]


def test_a_zero_byte_in_a_name_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets() | {"a/2.png#.txt": PICTURE})
    path.write_bytes(path.read_bytes().replace(b"2.png#", b"2.png\0"))
    with pytest.raises(InputError, match=r"the member name 'a/2.png\\x00.txt' is unsafe"):
        read(path)


def special(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    """A link, then a member through it: nothing is ever written, so nothing is followed."""
    path = make(tmp_path / "x.zip", pets())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(special("a/link.png", stat.S_IFLNK), "/etc/passwd")
        archive.writestr(special("c", stat.S_IFLNK), "/tmp")
        archive.writestr(special("b/device.png", stat.S_IFCHR), PICTURE)
        archive.writestr(special("b/pipe.png", stat.S_IFIFO), PICTURE)
    with Archive(path) as source:
        assert source.listing.skipped == (
            ("a/link.png", "symbolic link"),
            ("b/device.png", "not a regular file"),
            ("b/pipe.png", "not a regular file"),
            ("c", "symbolic link"),
        )
    assert read(path)["train"].files == ("a/1.png", "b/1.png")
    assert os.listdir(tmp_path) == ["x.zip"]


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    """60 MB of zeros in 60 KB, then 65 MB as they are: the ratio stops one, the size the other."""
    path = make(tmp_path / "x.zip", pets() | {"a/bomb.png": b"\0" * (60 * 2**20)})
    with pytest.raises(InputError, match=r"'a/bomb.png' \(expands more than 200 times, as decom"):
        read(path)
    noise = bytes(65 * 2**20)
    make(tmp_path / "y.zip", pets() | {"a/large.png": noise}, zipfile.ZIP_STORED)
    with pytest.raises(InputError, match=r"'a/large.png' \(more than 64 MB: make it smaller"):
        read(tmp_path / "y.zip")


def patched(path: Path, name: str, offset_of: tuple[int, int], value: bytes) -> None:
    """Overwrite a field in the local header and in the directory entry of a member."""
    data = bytearray(path.read_bytes())
    for signature, header, offset in (
        (b"PK\x03\x04", 30, offset_of[0]),
        (b"PK\x01\x02", 46, offset_of[1]),
    ):
        at = data.find(name.encode()) if signature == b"PK\x03\x04" else data.rfind(name.encode())
        start = at - header
        assert data[start : start + 4] == signature
        data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


def test_a_bomb_that_lies_about_its_size_is_found(tmp_path: Path) -> None:
    """The header says 1,000 bytes; reading ends there, whatever the stream would expand to."""
    path = make(tmp_path / "x.zip", pets() | {"a/bomb.png": b"\0" * (60 * 2**20)})
    patched(path, "a/bomb.png", (22, 24), struct.pack("<L", 1000))
    with pytest.raises(InputError, match=r"'a/bomb.png' \(damaged in the archive: Bad CRC-32"):
        read(path)
    path = make(tmp_path / "y.zip", pets() | {"a/small.png": PICTURE})
    patched(path, "a/small.png", (22, 24), struct.pack("<L", 0xFFFFFFF0))
    with pytest.raises(InputError, match=r"'a/small.png' \(expands more than 200 times"):
        read(path)
    path = make(tmp_path / "z.zip", pets() | {"a/small.png": PICTURE})
    patched(path, "a/small.png", (22, 24), struct.pack("<L", len(PICTURE) + 1))
    with pytest.raises(InputError, match=r"damaged in the archive: its size is not the one sta"):
        read(path)


def test_bombs_take_little_memory(tmp_path: Path) -> None:
    """150 MB of zeros, honest and lying; the process may grow by a small part of that."""
    honest, lying = (make(tmp_path / name, pets()) for name in ("x.zip", "y.zip"))
    with (
        zipfile.ZipFile(honest, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a/bomb.png", "w") as member,
    ):
        for _ in range(150):
            member.write(bytes(2**20))
    lying.write_bytes(honest.read_bytes())
    patched(lying, "a/bomb.png", (22, 24), struct.pack("<L", 2**20))
    program = """
import resource, sys
from pathlib import Path
from convscope.data.archive import read_zip
from convscope.errors import InputError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        read_zip(Path(path), size=None, channels=None)
    except InputError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", program, str(honest), str(lying)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    first, second, grown = run.stdout.splitlines()
    assert "expands more than 200 times" in first
    assert "damaged in the archive: Bad CRC-32" in second
    assert int(grown) < 30_000  # KB


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_python_cannot_bound_are_refused(tmp_path: Path, method: int) -> None:
    path = make(tmp_path / "x.zip", pets(), method)
    with pytest.raises(InputError, match="compressed by an unusual method: make the zip again"):
        read(path)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets())
    patched(path, "a/1.png", (6, 8), b"\x01\x00")
    with pytest.raises(InputError, match=r"'a/1.png' is encrypted: unpack it and give the folder"):
        read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/1.png", encode(pixels(7)))
    with pytest.raises(InputError, match=r"the member 'a/1.png' occurs twice"):
        read(path)
    make(tmp_path / "y.zip", pets() | {"a//1.png": PICTURE})
    with pytest.raises(InputError, match=r"the member 'a/1.png' occurs twice"):
        read(tmp_path / "y.zip")


def test_classes_that_clash_in_case_stay_two(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", {"Cat/1.png": PICTURE, "cat/1.png": encode(pixels(3))})
    assert read(path)["train"].classes == ("Cat", "cat")


def test_too_many_members_and_too_many_bytes_are_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", {f"a/{i}.png": b"" for i in range(50)})
    with pytest.raises(InputError, match=r"'x.zip' is refused: it has more than 49 members"):
        read(path, limits=Limits(members=49))
    with pytest.raises(InputError, match="its table of contents takes 0 MB"):
        read(path, limits=Limits(directory_bytes=1000))
    path = make(tmp_path / "y.zip", pets())
    with pytest.raises(InputError, match=r"it expands to more than .* GB: give a folder instead"):
        read(path, limits=Limits(total_bytes=100))
    assert list(read(path, limits=Limits(members=2))) == ["train"]


def test_a_count_that_lies_does_not_help(tmp_path: Path) -> None:
    """The end record says one member; the directory itself is counted."""
    path = make(tmp_path / "x.zip", {f"a/{i}.png": b"" for i in range(50)})
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    data[end + 8 : end + 12] = struct.pack("<HH", 1, 1)
    path.write_bytes(data)
    with pytest.raises(InputError, match="it has more than 49 members"):
        read(path, limits=Limits(members=49))


def test_zip64_directories_are_counted_too(tmp_path: Path) -> None:
    """65,536 members need the zip64 end record, whose classic fields say nothing."""
    path = tmp_path / "x.zip"
    entries = 0x10000
    with zipfile.ZipFile(path, "w") as archive:
        for index in range(entries):
            archive.writestr(zipfile.ZipInfo(f"a/{index}"), b"")
    with pytest.raises(InputError, match="it has more than 65,535 members"):
        Archive(path, Limits(members=entries - 1))
    with Archive(path, Limits(members=entries)) as source:
        assert len(source.listing.files) == entries


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", "it is no zip file, or its end is missing"),
        (lambda _: b"no zip" * 99, "it is no zip file, or its end is missing"),
        (lambda data: data[:-30], "it is no zip file, or its end is missing"),
        (lambda data: data.replace(b"PK\x01\x02", b"PK\x01\x03"), "it is damaged"),
    ],
)
def test_what_is_no_zip_says_so(tmp_path: Path, damage: object, message: str) -> None:
    path = make(tmp_path / "x.zip", pets())
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=f"the archive 'x.zip' is refused: {message}"):
        read(path)


def test_every_truncation_and_flipped_byte_ends_in_an_input_error_or_data(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets())
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            read(path)
    generator = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        broken[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(broken)
        try:
            splits = read(path)
        except InputError:
            continue
        assert set(splits) == {"train"}


def test_a_folder_or_nothing_is_no_zip(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.zip"):
        with pytest.raises(InputError, match="is no regular file: give a zip of class folders"):
            read(path)


def test_the_archive_is_not_changed(tmp_path: Path) -> None:
    path = make(tmp_path / "x.zip", pets())
    put(tmp_path / "other" / "1.png", pixels())
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.rglob("*"))
    read(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(tmp_path.rglob("*"))) == before
