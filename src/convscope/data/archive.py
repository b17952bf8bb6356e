"""Read a zip of class folders in memory. Nothing is ever written to disk.

A zip is hostile until shown otherwise: only regular members with plain relative names are
read, by two ordinary compression methods. What a header claims is checked against the limits,
and no more than it claims is ever decompressed, so a header that lies gains nothing.
"""

import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from convscope.data.cache import CacheMode
from convscope.data.class_folders import read_splits
from convscope.data.dataset import Dataset
from convscope.data.decoding import Progress
from convscope.data.layout import Listing, arrange, common_folder, is_hidden
from convscope.data.preprocess import Aspect
from convscope.errors import InputError
from convscope.text import printable

_MB = 2**20
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # Python bounds no others while reading
_END, _END64, _MEMBER = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may hold.

    Attributes:
        members: number of members.
        directory_bytes: size of the archive's table of contents.
        member_bytes: uncompressed size of one member.
        total_bytes: uncompressed size of all.
        ratio: uncompressed over compressed size of a member of more than `ratio_from` bytes.
        ratio_from: see `ratio`.
    """

    members: int = 2_000_000
    directory_bytes: int = 256 * _MB
    member_bytes: int = 64 * _MB
    total_bytes: int = 16 * 1024 * _MB
    ratio: int = 200
    ratio_from: int = _MB


class Archive:
    """The members of a zip file, as a source of class folders. A context manager.

    Raises:
        InputError: no zip, damaged, encrypted, over the limits, or with members whose names
            lead outside (`..`, absolute, drive letters, backslashes) or occur twice.
    """

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:
        self.path, self.limits = path, limits
        self.name = path.name.removesuffix(path.suffix)
        self.provenance = {"format": "zip", "source": path.name}
        self._members: dict[str, zipfile.ZipInfo] = {}
        if not path.is_file():
            raise InputError(f"'{printable(path)}' is no regular file: give a zip of class folders")
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise self._refused(f"cannot be opened: {error.strerror}") from error
        try:
            self._check_directory(self._file)
            self._zip = self._open()
            self.listing = self._list()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()
        self._file.close()

    def read(self, name: str) -> bytes:
        """The bytes of a member. Never more than its header says, and that is within the limits.

        Raises:
            InputError: the member is over the limits or damaged, or its header lies.
        """
        info = self._members[name]
        self._check_header(info)
        data = bytearray()
        try:
            with self._zip.open(info) as member:
                while part := member.read(_MB):  # in parts: each is decompressed to 1 MB at most
                    data += part
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
            raise InputError(f"damaged in the archive: {printable(error)}") from error
        if len(data) != info.file_size:
            raise InputError("damaged in the archive: its size is not the one stated")
        return bytes(data)

    def stamp(self, name: str) -> str:
        """Sizes and checksum of a member, as the table of contents has them."""
        info = self._members[name]
        return f"{info.file_size} {info.compress_size} {info.CRC:08x}"

    def _check_header(self, info: zipfile.ZipInfo) -> None:
        if info.compress_type not in _METHODS:
            raise InputError("compressed by an unusual method: make the zip again with deflate")
        size, limits = info.file_size, self.limits
        if size > limits.ratio_from and size > limits.ratio * info.compress_size:
            raise InputError(
                f"expands more than {limits.ratio} times, as decompression bombs do: remove it"
            )
        if size > limits.member_bytes:
            raise InputError(f"more than {limits.member_bytes / _MB:g} MB: make it smaller")

    def _refused(self, reason: str) -> InputError:
        return InputError(f"the archive '{printable(self.path.name)}' is refused: {reason}")

    def _check_directory(self, file: BinaryIO) -> None:
        """Bound the table of contents before Python builds an object for each entry."""
        size = file.seek(0, 2)
        start = max(0, size - 22 - 0xFFFF)
        file.seek(start)
        tail = file.read()
        end = tail.rfind(_END)
        if end < 0 or len(tail) - end < 22:
            raise self._refused("it is no zip file, or its end is missing: fetch or make it again")
        (length,) = struct.unpack_from("<L", tail, end + 12)
        position = start + end
        record64 = end - 20 - 56  # the zip64 record and its locator, if any, come just before
        if record64 >= 0 and tail.startswith(_END64, record64):
            (length,) = struct.unpack_from("<Q", tail, record64 + 40)
            position = start + record64
        if length > self.limits.directory_bytes:
            raise self._refused(f"its table of contents takes {length / _MB:.0f} MB")
        file.seek(max(0, position - length))
        if file.read(length).count(_MEMBER) > self.limits.members:
            raise self._refused(f"it has more than {self.limits.members:,} members")

    def _open(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self._file)
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OSError,
            struct.error,
        ) as error:
            raise self._refused(f"it is damaged ({printable(error)})") from error

    def _list(self) -> Listing:
        folders: list[str] = []
        skipped: list[tuple[str, str]] = []
        infos = self._zip.infolist()
        if sum(info.file_size for info in infos) > self.limits.total_bytes:
            limit = self.limits.total_bytes / 2**30
            raise self._refused(f"it expands to more than {limit:g} GB: give a folder instead")
        for name, info in self._plain_names(infos):
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or kind == stat.S_IFDIR:
                folders.append(name)
            elif kind not in (0, stat.S_IFREG):
                what = "symbolic link" if kind == stat.S_IFLNK else "not a regular file"
                skipped.append((name, what))
            elif name in self._members:
                raise self._refused(f"the member '{printable(name)}' occurs twice")
            else:
                self._members[name] = info
        return Listing(
            files=tuple(self._members), folders=tuple(folders), skipped=tuple(sorted(skipped))
        )

    def _plain_names(
        self, infos: Sequence[zipfile.ZipInfo]
    ) -> Iterator[tuple[str, zipfile.ZipInfo]]:
        for info in infos:
            original = info.orig_filename
            parts = [part for part in original.split("/") if part not in ("", ".")]
            unsafe = (
                original.startswith("/")
                or ".." in parts
                or re.match("[A-Za-z]:", original)
                or "\\" in original
                or "\0" in original
            )
            if unsafe or not parts:
                raise self._refused(
                    f"the member name '{printable(original)}' is unsafe (absolute, with .., a "
                    "drive letter, a backslash or a zero byte): make the zip again, names relative"
                )
            name = "/".join(parts)
            if info.flag_bits & 1 and not is_hidden(name):
                raise self._refused(
                    f"'{printable(name)}' is encrypted: unpack it and give the folder"
                )
            yield name, info


class ArchivePair:
    """`pets-train.zip` and `pets-test.zip` as one source with a train and a test folder."""

    def __init__(self, train: Archive, test: Archive) -> None:
        self.name = train.name[: -len("train")].rstrip("-_.") or "train"
        self.provenance = {
            "format": "zip",
            "source": f"{train.path.name}, and {test.path.name} found beside it",
        }
        self._members: dict[str, tuple[Archive, str]] = {}
        folders: list[str] = []
        skipped: list[tuple[str, str]] = []
        for split, archive in (("train", train), ("test", test)):
            around = common_folder(archive.listing)
            for member in archive.listing.files:
                name = f"{split}/{member.removeprefix(around)}"
                self._members[name] = (archive, member)
            folders += [f"{split}/{name.removeprefix(around)}" for name in archive.listing.folders]
            skipped += [(f"{split}/{name}", reason) for name, reason in archive.listing.skipped]
        self.listing = Listing(
            files=tuple(self._members), folders=tuple(folders), skipped=tuple(skipped)
        )

    def read(self, name: str) -> bytes:
        """The bytes of a member of one of the two."""
        archive, member = self._members[name]
        return archive.read(member)

    def stamp(self, name: str) -> str:
        """Sizes and checksum of a member of one of the two."""
        archive, member = self._members[name]
        return archive.stamp(member)


@contextmanager
def open_zip(path: Path, limits: Limits = Limits()) -> Iterator[Archive | ArchivePair]:
    """The zip at `path` as a source; with the `-test.zip` beside it if it is a `-train.zip`.

    A `-train.zip` that has a test folder of its own stays alone.
    """
    with Archive(path, limits) as train:
        sibling = _test_sibling(path)
        if sibling is None or set(arrange(train.listing, train.name).splits) != {"train"}:
            yield train
        else:
            with Archive(sibling, limits) as test:
                yield ArchivePair(train, test)


def read_zip(
    path: Path,
    *,
    size: tuple[int, int] | None,
    channels: int | None,
    aspect: Aspect = "stretch",
    keep_size: bool = False,
    cache: CacheMode = "never",
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    progress: Progress | None = None,
    limits: Limits = Limits(),
) -> dict[str, Dataset]:
    """A zip of class folders, with train, test and validation folders or without.

    `pets-train.zip` takes `pets-test.zip` beside it as its test split and says so in its
    provenance. Other arguments, result and errors as in `class_folders.read_splits`.
    """
    with open_zip(path, limits) as source:
        return read_splits(
            source,
            size=size,
            channels=channels,
            aspect=aspect,
            keep_size=keep_size,
            cache=cache,
            classes=classes,
            skip_bad=skip_bad,
            progress=progress,
        )


def _test_sibling(path: Path) -> Path | None:
    match = re.fullmatch(r"(.*[-_.])train(\.zip)", path.name, re.IGNORECASE | re.DOTALL)
    sibling = path.with_name(f"{match[1]}test{match[2]}") if match else path
    return sibling if match and sibling.is_file() else None
