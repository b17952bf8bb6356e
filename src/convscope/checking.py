"""Check: look at data before training, by name or by path."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

from convscope.data.catalog import CATALOG
from convscope.data.cifar import is_cifar
from convscope.data.idx import is_idx_folder
from convscope.data.inspection import Inspection, inspect, inspect_datasets, preview_sheet
from convscope.data.loading import load
from convscope.errors import InputError
from convscope.files import is_inside, write_atomically
from convscope.text import printable


def check(
    data: str | Path,
    *,
    preview: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """What is in a data set, and what is wrong with it; nothing is changed.

    Args:
        data: a name of `convscope list datasets`, or the path of a folder, zip or IDX directory.
        preview: where to write a sheet of example images (PNG).
        progress: called with (files done, files in all).

    Raises:
        InputError: there are no such data, or they are no data set at all.
    """
    path = Path(data)
    if preview is not None and is_inside(preview, path):
        raise InputError(
            f"{printable(preview)} lies inside the data, which are never written to: "
            "give another place for the preview"
        )
    if str(data) not in CATALOG and _holds_class_folders(path):
        found = inspect(path, progress=progress)
    else:
        splits = load(data, progress=progress)
        parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
        found = inspect_datasets({name: part for name, part in parts.items() if part is not None})
    if preview is not None:
        image = io.BytesIO()
        preview_sheet(found).save(image, "PNG")
        write_atomically(Path(preview), image.getvalue())
    return found


def _holds_class_folders(path: Path) -> bool:
    if path.is_dir():
        return not (is_idx_folder(path) or is_cifar(path))
    return path.is_file() and zipfile.is_zipfile(path)
