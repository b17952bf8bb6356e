import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.dataset import Dataset
from convscope.data.folder import read_folder
from convscope.data.inspection import Inspection, inspect, inspect_datasets, preview_sheet
from convscope.data.preview import thumbnail
from convscope.errors import InputError
from hostile_images import FOLDER_NAMES, HOSTILE_NAMES, encode, hostile_files, pixels, put, save


def plant(root: Path, *names: str, first: int = 0) -> Path:
    for seed, name in enumerate(names, start=first):
        put(root / name, pixels(seed))
    return root


def dataset(split: str, labels: list[int], classes: tuple[str, ...], *, first: int = 0) -> Dataset:
    """Grey 6 × 5 images, a different one for each label."""
    images = [pixels(first + i, 6, 5, 1).transpose(2, 0, 1) for i in range(len(labels))]
    return Dataset(
        name="memory",
        split=split,
        images=np.asarray(images, np.uint8).reshape(-1, 1, 6, 5),
        labels=np.asarray(labels, np.int64),
        classes=classes,
        provenance={"format": "idx", "source": "here"},
    )


def only(inspection: Inspection, words: str) -> str:
    """The one problem that holds these words."""
    (problem,) = (problem for problem in inspection.problems if words in problem)
    assert problem.isprintable()
    return problem


def test_an_ordinary_folder_is_described(tmp_path: Path) -> None:
    names = [f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(20)]
    plant(tmp_path, *names, "test/cat/0.png", "test/dog/0.png")
    for index, (height, width) in enumerate([(4, 4), (4, 4), (30, 50)]):
        put(tmp_path / "test" / "dog" / f"x{index}.png", pixels(100 + index, height, width, 1))
    (tmp_path / "test" / "dog" / "y.jpg").write_bytes(encode(pixels(200), "JPEG"))
    found = inspect(tmp_path)
    assert found.classes == ("cat", "dog")
    assert found.counts == {"train": {"cat": 20, "dog": 20}, "test": {"cat": 1, "dog": 5}}
    assert found.sizes == ((8, 10, 43), (4, 4, 2), (30, 50, 1))
    assert found.extent == {"smallest": (4, 4), "median": (8, 10), "largest": (30, 50)}
    assert found.formats == {"PNG": 45, "JPEG": 1}
    assert found.modes == {"RGB": 43, "L": 3}
    assert found.problems == ()
    assert not found.is_bad


def test_corrupt_files_are_listed_with_reasons_and_make_it_bad(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(20)))
    for name, (data, _) in hostile_files().items():
        (tmp_path / "a" / name).write_bytes(data)
    found = inspect(tmp_path)
    assert [name for name, _ in found.corrupt] == [f"a/{name}" for name in sorted(hostile_files())]
    for name, reason in found.corrupt:
        assert hostile_files()[name.removeprefix("a/")][1] in reason
    assert found.is_bad
    assert not found.unusable
    assert found.counts["train"] == {"a": 20, "b": 20}
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, size=None, channels=None)
    assert only(found, "cannot be decoded") == str(caught.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "holds no images"),
        (["1.png"], "lie in no class folder"),
        (["a/1.png"], "has one class, 'a'"),
        (["train/a/1.png", "train/b/1.png", "test/x/1.png"], "which is none of the training"),
    ],
)
def test_what_reading_would_refuse_is_a_problem_and_does_not_raise(
    tmp_path: Path, names: list[str], words: str
) -> None:
    plant(tmp_path, *names)
    found = inspect(tmp_path)
    with pytest.raises(InputError) as caught:
        read_folder(tmp_path, size=None, channels=None)
    assert only(found, words) == str(caught.value)
    assert found.unusable
    assert found.is_bad
    json.dumps(found.to_json())
    preview_sheet(found)


def test_there_must_be_something_to_look_through(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'.*missing' does not exist: give a folder or a zip"):
        inspect(tmp_path / "missing")
    (tmp_path / "x.txt").write_text("no zip")
    with pytest.raises(InputError, match=r"'x.txt' is refused: it is no zip file"):
        inspect(tmp_path / "x.txt")
    with pytest.raises(InputError, match="give at least a train split"):
        inspect_datasets({})


def test_copies_are_found_in_a_split_and_across_splits_and_labels(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.png", "train/a/2.png", "train/b/3.png", "val/b/4.png", first=10)
    put(tmp_path / "train" / "a" / "9.png", pixels(10))  # as train/a/1
    put(tmp_path / "val" / "a" / "8.png", pixels(11))  # as train/a/2
    put(tmp_path / "val" / "a" / "9.png", pixels(12))  # as train/b/3, another label
    (tmp_path / "val" / "b" / "5.bmp").write_bytes(encode(pixels(13), "BMP"))  # as val/b/4.png
    found = inspect(tmp_path)
    assert found.duplicates_within == (
        ("train/a/1.png", "train/a/9.png"),
        ("val/b/4.png", "val/b/5.bmp"),
    )
    across = (("train/a/2.png", "val/a/8.png"), ("train/b/3.png", "val/a/9.png"))
    assert found.duplicates_across == across
    assert found.conflicts == (("train/b/3.png", "val/a/9.png"),)
    assert "remove them from one split" in only(found, "2 images are in more than one split")
    assert "keep the one that is right" in only(found, "1 images are in two classes")
    assert "'train/a/1.png' and 'train/a/9.png'" in only(found, "2 images are copies of another")


def test_small_and_unbalanced_classes_are_warned_of() -> None:
    labels = [0] * 221 + [1] * 22 + [2] * 19
    found = inspect_datasets({"train": dataset("train", labels, ("much", "some", "few"))})
    assert "'few': results will vary by chance; add images" in only(found, "fewer than 20")
    assert "221 images of 'much', 19 of 'few'" in only(found, "unbalanced")
    fine = inspect_datasets({"train": dataset("train", [0] * 200 + [1] * 20, ("a", "b"))})
    assert fine.problems == ()


def test_images_in_memory_are_described_by_the_same_facts() -> None:
    train = dataset("train", [0, 1] * 20, ("a", "b"))
    test = dataset("test", [1, 0], ("a", "b"), first=39)  # its first image is train's last
    found = inspect_datasets({"train": train, "test": test})
    assert found.counts == {"train": {"a": 20, "b": 20}, "test": {"a": 1, "b": 1}}
    assert found.sizes == ((6, 5, 42),)
    assert found.formats == {"idx": 42}
    assert found.modes == {"L": 42}
    assert found.duplicates_across == (("train #39", "test #0"),)
    assert len(found.problems) == 1
    assert not found.is_bad


def test_what_is_not_used_is_listed(tmp_path: Path) -> None:
    plant(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(20)), "loose.png")
    for name in ("a/notes.txt", "a/table.csv", ".DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "link.png").symlink_to("/etc/hostname")
    found = inspect(tmp_path)
    assert found.ignored == (
        (".DS_Store", "hidden"),
        ("a/notes.txt", "not an image by its name"),
        ("a/table.csv", "not an image by its name"),
        ("b/link.png", "symbolic link out of the folder"),
        ("loose.png", "in no class folder"),
    )
    assert len(found.problems) == 3
    assert "2 files are not used" in only(found, "'a/notes.txt', 'a/table.csv'")


def test_a_zip_is_looked_through_like_its_folder(tmp_path: Path) -> None:
    folder = plant(tmp_path / "pets", *(f"{c}/{i}.png" for c in "ab" for i in range(3)))
    (folder / "a" / "bad.png").touch()
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
    packed, unpacked = inspect(tmp_path / "pets.zip").to_json(), inspect(folder).to_json()
    assert packed.pop("provenance") == {"format": "zip", "source": "pets.zip"}
    assert unpacked.pop("provenance") == {"format": "folder", "source": "pets"}
    assert packed == unpacked


def test_its_json_holds_everything_but_the_pictures(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    found = inspect(tmp_path)
    result = found.to_json()
    assert json.loads(json.dumps(result)) == result
    assert set(result) == (set(vars(found)) - {"previews"}) | {"is_bad"}
    assert result["counts"] == {"train": {"a": 1, "b": 1}}
    assert result["sizes"] == [[8, 10, 2]]


def test_the_data_is_never_written_to(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "bad.png").touch()

    def state() -> str:
        files = sorted(tmp_path.rglob("*"))
        facts = [(str(f), f.stat().st_mtime_ns, f.is_file() and f.read_bytes()) for f in files]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    before = state()
    preview_sheet(inspect(tmp_path))
    assert state() == before


# -- the contact sheet -------------------------------------------------------------------------


def test_a_thumbnail_grows_by_whole_pixels_and_shrinks_smoothly() -> None:
    small = pixels(height=28, width=20)
    np.testing.assert_array_equal(thumbnail(small), small.repeat(2, axis=0).repeat(2, axis=1))
    assert thumbnail(pixels(height=65, width=130, channels=1)).shape == (32, 64, 1)
    assert thumbnail(pixels(height=1, width=1000)).shape == (1, 64, 3)
    flat = np.full((200, 100, 3), 77, np.uint8)
    np.testing.assert_array_equal(thumbnail(flat), np.full((64, 32, 3), 77))


def test_the_sheet_shows_every_class_in_a_row_of_its_images(tmp_path: Path) -> None:
    colours = {"blue": (0, 0, 255), "red": (255, 0, 0)}
    for name, colour in colours.items():
        for index in range(12):
            path = tmp_path / name / f"{index:02}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(save(Image.new("RGB", (64, 64), colour)))
    sheet = np.asarray(preview_sheet(inspect(tmp_path)))
    for row, colour in enumerate(colours.values()):
        mine = (sheet == colour).all(axis=2)
        assert mine.sum() == 10 * 64 * 64
        ys = np.flatnonzero(mine.any(axis=1))
        assert (ys[0], ys[-1]) == (8 + 72 * row, 8 + 72 * row + 63)
    assert (sheet[0] == 255).all()
    assert (sheet[:, -1] == 255).all()


def test_hostile_class_names_are_drawn_inert_and_inside_their_column(tmp_path: Path) -> None:
    classes = HOSTILE_NAMES
    found = inspect_datasets({"train": dataset("train", list(range(len(classes))), classes)})
    sheet = np.asarray(preview_sheet(found))
    assert sheet.shape == (16 + 72 * len(classes), 16 + 176 + 720, 3)
    for row in range(len(classes)):
        label = sheet[8 + 72 * row : 72 + 72 * row, :176]
        assert (label != 255).any()  # something is written
        assert (sheet[8 + 72 * row : 72 + 72 * row, 176:183] == 255).all()  # and ends in time
    json.dumps(found.to_json())
    for seed, name in enumerate(FOLDER_NAMES):
        put(tmp_path / name / "1.png", pixels(seed))
        (tmp_path / name / "2.png").touch()
    files = inspect(tmp_path)
    assert files.classes == tuple(sorted(FOLDER_NAMES))
    assert all(problem.isprintable() for problem in files.problems)
    preview_sheet(files)


def test_a_thousand_classes_fit_a_sheet() -> None:
    classes = tuple(f"c{i}" for i in range(1000))
    found = inspect_datasets({"train": dataset("train", list(range(1000)), classes)})
    assert preview_sheet(found).height == 16 + 72 * 100 + 36
