"""Where decoded images are kept: in memory or in the cache."""

from collections.abc import Mapping
from math import prod

from convscope.data.cache import CacheMode, Decoded, ImageCache
from convscope.data.memory import available_memory, present_memory
from convscope.data.rows import FileRows, MemoryRows, Rows, Shape
from convscope.data.target import Target
from convscope.errors import InputError

_SHARE = 4  # images take at most one part in so many of the free memory, unless told otherwise


class Place:
    """The choice for so many images, made when their shape is known."""

    def __init__(self, count: int, mode: CacheMode, store: ImageCache | None) -> None:
        self._count, self._mode, self._store = count, mode, store

    def check(self, target: Target) -> None:
        """Raise InputError if it is certain before decoding that memory will not do."""
        if self._mode == "never" and target.size and not target.keep_size:
            self._check_memory((target.channels or 1, *target.size))

    def open(self, shape: Shape) -> Rows:
        """Rows for all images, C × H × W each.

        Raises:
            InputError: there is no room for them.
            StoredMeanwhile: another process has put them into the cache.
        """
        needed = self._count * prod(shape)
        small = self._mode == "auto" and needed <= available_memory() // _SHARE
        if self._store is None or small:
            self._check_memory(shape)
            return MemoryRows(self._count, shape)
        return self._store.rows(shape)

    def keep(
        self, rows: Rows | None, skipped: Mapping[str, str], sha256: Mapping[str, str]
    ) -> Decoded:
        """The images that `rows` holds, for good."""
        if isinstance(rows, FileRows):
            assert self._store is not None
            return self._store.keep(rows, skipped, sha256)
        assert isinstance(rows, MemoryRows)
        return Decoded(images=rows.images(), skipped=skipped, sha256=sha256)

    def close(self) -> None:
        """Let other processes write to the cache."""
        if self._store:
            self._store.close()

    def _check_memory(self, shape: Shape) -> None:
        needed, present = self._count * prod(shape), present_memory()
        if needed > present:
            raise InputError(
                f"{self._count} images of {shape[1]} × {shape[2]} pixels take "
                f"{needed / 1e9:.1f} GB; this machine has {present / 1e9:.1f} GB of memory: let "
                "them go to the cache on disk, or give a smaller size or fewer images"
            )
