"""Take named files out of a .tar.gz, in memory: nothing is extracted, so nothing can escape.

The format is POSIX ustar: a 512-byte header, the content, zeros up to a multiple of 512. Only
regular files are read; links, devices and folders are passed over, whatever they are called.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from convscope.data.gzip_stream import GzipStream
from convscope.errors import InputError
from convscope.files import check_readable
from convscope.text import printable

MAX_ARCHIVE = 1024**3
MAX_CONTENT = 2 * 1024**3
MAX_MEMBERS = 1000
_BLOCK = 512
_CHUNK = 1 << 20
_REGULAR = (b"0", b"\0")


def read_members(path: Path, names: Collection[str], max_bytes: int) -> dict[str, bytes]:
    """The regular files of a .tar.gz whose last name is one of `names`, in any of its folders.

    Args:
        path: the archive.
        names: file names without folders.
        max_bytes: the most that one file may hold.

    Raises:
        InputError: the archive is damaged or cut short, a file is too large or present twice,
            or there are more than `MAX_MEMBERS` members or `MAX_CONTENT` bytes.
    """
    check_readable(path, MAX_ARCHIVE)
    shown = printable(path)
    found: dict[str, bytes] = {}
    with GzipStream(path) as stream:
        for full_name, size, is_regular in _members(stream, shown):
            name = full_name.rsplit("/", 1)[-1]
            if not is_regular or name not in names:
                _skip(stream, _padded(size), shown)
                continue
            if size > max_bytes:
                raise InputError(
                    f"{printable(name)} in {shown} has {size:,} bytes; allowed are at most "
                    f"{max_bytes:,}"
                )
            if name in found:
                raise InputError(f"{shown} holds {printable(name)} twice: fetch it again")
            found[name] = stream.read(size)
            if len(found[name]) < size:
                raise _cut_short(shown)
            _skip(stream, _padded(size) - size, shown)
    return found


def _members(stream: GzipStream, shown: str) -> Iterator[tuple[str, int, bool]]:
    """Name, size and regularity of each member; the caller reads or skips its content."""
    total = 0
    for _ in range(MAX_MEMBERS + 1):
        header = stream.read(_BLOCK)
        if len(header) == _BLOCK and not any(header):  # a block of zeros ends the archive
            return
        if len(header) < _BLOCK:
            raise _cut_short(shown)
        size = _size(header, shown)
        total += size
        if total > MAX_CONTENT:
            raise InputError(f"{shown} holds more than {MAX_CONTENT:,} bytes, the most allowed")
        name = header[:100].split(b"\0", 1)[0].decode("utf-8", "replace")
        yield name, size, header[156:157] in _REGULAR
    raise InputError(f"{shown} holds more than {MAX_MEMBERS} files, the most allowed")


def _size(header: bytes, shown: str) -> int:
    """The size of the content; the header's checksum is verified first."""
    try:
        checksum = int(header[148:156].strip(b" \0"), 8)
        size = int(header[124:136].strip(b" \0") or b"0", 8)
    except ValueError:
        checksum, size = -1, 0
    counted = sum(header[:148]) + 8 * ord(" ") + sum(header[156:])
    if checksum != counted or size < 0:
        raise InputError(f"{shown} is no tar archive, or damaged: fetch it again")
    return size


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _skip(stream: GzipStream, count: int, shown: str) -> None:
    while count:
        piece = stream.read(min(count, _CHUNK))
        if not piece:
            raise _cut_short(shown)
        count -= len(piece)


def _cut_short(shown: str) -> InputError:
    return InputError(f"{shown} ends too early: it was cut short, fetch it again")
