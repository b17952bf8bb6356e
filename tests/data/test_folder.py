import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscope.data.dataset import Dataset
from convscope.data.decoding import in_parallel
from convscope.data.duplicates import duplicates_across
from convscope.data.folder import read_folder
from convscope.data.images import decode
from convscope.data.layout import Listing, arrange
from convscope.errors import InputError
from hostile_images import FOLDER_NAMES, encode, hostile_files, pixels, put

SIZE = (8, 10)


def read(path: Path, **options: object) -> dict[str, Dataset]:
    defaults: dict[str, object] = {"size": None, "channels": None}
    return read_folder(path, **(defaults | options))  # type: ignore[arg-type]


def plant(root: Path, *names: str) -> Path:
    """A folder with a different picture under each name."""
    for seed, name in enumerate(names):
        put(root / name, pixels(seed))
    return root


def digest(root: Path) -> str:
    """Of every name, kind, content, mode and modification time below a folder."""
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        facts = (str(path), status.st_mode, status.st_mtime_ns, content)
        state.update(repr(facts).encode())
    return state.hexdigest()


# -- layouts ---------------------------------------------------------------------------------


def test_a_folder_a_class_is_one_training_split(tmp_path: Path) -> None:
    plant(tmp_path, "dog/b.png", "cat/2.png", "cat/1.PNG", "cat/deep/er/3.png")
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (splits,) = read(tmp_path).items()
    name, train = splits
    assert (name, train.split, train.name) == ("train", "train", tmp_path.name)
    assert train.classes == ("cat", "dog")
    assert train.files == ("cat/1.PNG", "cat/2.png", "cat/deep/er/3.png", "dog/b.png")
    np.testing.assert_array_equal(train.labels, [0, 0, 0, 1])
    for file, image in zip(train.files, train.images, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), decode(tmp_path / file))
    assert train.provenance["format"] == "folder"
    assert train.provenance["source"] == tmp_path.name
    assert train.provenance["files"] == 4


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Train", "valid", "Testing"), ("training", "validation", "TEST")],
)
def test_split_folders_are_found(tmp_path: Path, train: str, validation: str, test: str) -> None:
    names = [f"{top}/{c}/{top}.png" for top in (train, validation, test) for c in ("a", "b")]
    splits = read(plant(tmp_path, *names))
    assert list(splits) == ["train", "validation", "test"]
    assert splits["test"].files == (f"{test}/a/{test}.png", f"{test}/b/{test}.png")


def test_one_folder_around_the_whole_is_looked_through(tmp_path: Path) -> None:
    plant(tmp_path, "x/y/train/a/1.png", "x/y/train/b/1.png", "x/y/test/a/1.png")
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    shutil.rmtree(tmp_path / "empty")
    splits = read(tmp_path)
    assert list(splits) == ["train", "test"]
    assert splits["train"].classes == ("a", "b")


def test_train_may_be_a_class(tmp_path: Path) -> None:
    plant(tmp_path, "car/1.png", "train/1.png", "plane/1.png")
    (split,) = read(tmp_path).values()
    assert split.classes == ("car", "plane", "train")


def test_hidden_files_and_litter_are_no_images_and_no_classes(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png", ".ipynb_checkpoints/1.png", "__MACOSX/a/1.png")
    plant(tmp_path, "a/.ipynb_checkpoints/1.png", "b/._1.png")
    for name in (".DS_Store", "a/Thumbs.db", "b/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    (split,) = read(tmp_path).values()
    assert split.files == ("a/1.png", "b/1.png")


def test_classes_bind_by_name(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.png", "train/b/1.png", "train/c/1.png")
    plant(tmp_path, "test/c/1.png", "val/b/1.png")
    splits = read(tmp_path)
    assert splits["test"].classes == splits["validation"].classes == ("a", "b", "c")
    assert splits["test"].labels.tolist() == [2]
    assert splits["validation"].labels.tolist() == [1]
    assert splits["test"].provenance["missing_classes"] == ["a", "b"]
    assert splits["train"].provenance["missing_classes"] == []


def test_given_classes_keep_their_order(tmp_path: Path) -> None:
    """A model's classes: a folder of some of them can be scored, one of others cannot."""
    plant(tmp_path, "dog/1.png")
    (split,) = read(tmp_path, classes=("zebra", "dog", "cat")).values()
    assert split.classes == ("zebra", "dog", "cat")
    assert split.labels.tolist() == [1]
    plant(tmp_path, "fox/1.png")
    with pytest.raises(InputError, match="has the class 'fox', which is none of the model's cla"):
        read(tmp_path, classes=("zebra", "dog", "cat"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images .*: put each image in a folder named after its class, such as"),
        (["1.png", "2.png"], "the 2 images in 'pets' lie in no class folder: put each in"),
        (["train/1.png"], "the 1 images in 'pets/train' lie in no class folder"),
        (["train/1.png", "test/1.png"], "the 1 images in 'pets/train' lie in no class folder"),
        (["train/a/1.png", "train/b/1.png", "test/1.png"], "'pets/test' lie in no class folder"),
        (["a/1.png"], "'pets' has one class, 'a': a classifier needs two or more"),
        (["a/1.png", "b/", "c/"], "no images in the class 'b', 'c' of 'pets': add images or rem"),
        (
            ["train/a/1.png", "train/b/1.png", "test/a/1.png", "test/x/1.png"],
            r"test of 'pets' has the class 'x', which is none of the training classes \('a', 'b'\)",
        ),
        (["test/a/1.png", "test/b/1.png"], "has a test folder and no train folder: add one"),
        (["val/a/1.png", "test/b/1.png"], "has a validation and a test folder and no train fo"),
        (
            ["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"],
            "'pets' has 'val', 'valid', which mean the same: keep one",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "c/1.png"],
            "has a train folder of class folders, and images in 'c' beside it: move those",
        ),
        (["a/1.heic", "b/2.heic"], "it holds other files, such as 'a/1.heic': put each image"),
    ],
)
def test_an_unusable_folder_says_what_to_do(tmp_path: Path, names: list[str], message: str) -> None:
    root = tmp_path / "pets"
    root.mkdir()
    for name in names:
        if name.endswith("/"):
            (root / name).mkdir()
    plant(root, *(name for name in names if not name.endswith("/")))
    with pytest.raises(InputError, match=message) as caught:
        read(root)
    assert "\n" not in str(caught.value)


def test_no_folder_at_all(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in ("missing", "loop"):
        with pytest.raises(InputError, match="is no directory: give a folder of class folders"):
            read(tmp_path / name)


# -- sizes and channels ----------------------------------------------------------------------


def test_images_of_one_size_keep_it_and_others_need_one(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    assert read(tmp_path)["train"].image_shape == (3, *SIZE)
    put(tmp_path / "b" / "2.png", pixels(9, height=4, width=5))
    message = r"2 different sizes \(height × width: 8 × 10 \(2\), 4 × 5 \(1\)\): give the size"
    with pytest.raises(InputError, match=message):
        read(tmp_path)
    assert read(tmp_path, size=(6, 7))["train"].image_shape == (3, 6, 7)


def test_channels_are_1_only_if_every_image_is_grey(tmp_path: Path) -> None:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png"):
        put(tmp_path / name, pixels(len(name), channels=1))
    assert read(tmp_path)["train"].image_shape == (1, *SIZE)
    assert read(tmp_path, channels=3)["train"].image_shape == (3, *SIZE)
    grey = decode(tmp_path / "train/a/1.png")[:, :, 0]
    put(tmp_path / "test" / "b" / "colour.png", pixels())
    splits = read(tmp_path)
    assert splits["train"].image_shape == splits["test"].image_shape == (3, *SIZE)
    np.testing.assert_array_equal(splits["train"].images[0], [grey] * 3)
    assert read(tmp_path, channels=1)["test"].image_shape == (1, *SIZE)


def test_more_than_the_memory_is_refused_before_reading(tmp_path: Path) -> None:
    files = [f"{name}/{i}.png" for name in "ab" for i in range(500)]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(InputError, match=r"1000 images of 99999999 × 4096 pixels take .* smaller"):
        read(tmp_path, size=(99_999_999, 4096))


# -- bad images ------------------------------------------------------------------------------


def test_bad_images_are_listed_by_name_and_reason(tmp_path: Path) -> None:
    plant(tmp_path, "a/ok.png", "b/ok.png")
    for name, (data, _) in hostile_files().items():
        (tmp_path / "a" / name).write_bytes(data)
    total = len(hostile_files())
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{total} of the {total + 2} images in '{tmp_path.name}' cannot be")
    first = sorted(hostile_files())[0]
    assert f"'a/{first}' ({hostile_files()[first][1]}" in message
    assert message.endswith(f"and {total - 3} more; remove them or pass skip_bad=True (--skip-bad)")
    assert "\n" not in message


def test_bad_images_can_be_skipped_and_are_recorded(tmp_path: Path) -> None:
    plant(tmp_path, "a/ok.png", "b/ok.png")
    (tmp_path / "a" / "zero.png").touch()
    train = read(tmp_path, skip_bad=True)["train"]
    assert train.files == ("a/ok.png", "b/ok.png")
    skipped = {"file": "a/zero.png", "reason": "empty file (0 bytes)"}
    assert train.provenance["skipped"] == [skipped]


def test_skipping_must_leave_images_in_every_class(tmp_path: Path) -> None:
    plant(tmp_path, "a/ok.png", "b/bad.png")
    (tmp_path / "b" / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no image of the class 'b' in .* can be decoded"):
        read(tmp_path, skip_bad=True)
    (tmp_path / "a" / "ok.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"no image in .* can be decoded: replace them"):
        read(tmp_path, skip_bad=True)


# -- links and other things that are no files --------------------------------------------------


def test_links_never_lead_out(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret" / "s.png", pixels(99))
    root = plant(tmp_path / "data", "a/1.png", "b/1.png")
    (root / "a" / "inside.png").symlink_to(root / "b" / "1.png")
    (root / "a" / "outside.png").symlink_to(secret)
    (root / "a" / "up.png").symlink_to("../../secret/s.png")
    (root / "b" / "broken.png").symlink_to("nowhere")
    (root / "b" / "loop").symlink_to(root)
    (root / "c").symlink_to(secret.parent)
    assert read(root)["train"].files == ("a/1.png", "a/inside.png", "b/1.png")
    linked = tmp_path / "link"
    linked.symlink_to(root)
    assert read(linked)["train"].files == ("a/1.png", "a/inside.png", "b/1.png")


def test_only_links_says_that_they_were_not_followed(tmp_path: Path) -> None:
    secret = put(tmp_path / "secret" / "s.png", pixels())
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "1.png").symlink_to(secret)
    with pytest.raises(InputError, match="1 symbolic links were not followed"):
        read(tmp_path / "data")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert read(tmp_path)["train"].files == ("a/1.png", "b/1.png")


# -- names, determinism, the user's files ------------------------------------------------------


def test_hostile_names_are_classes_like_any_other(tmp_path: Path) -> None:
    for seed, name in enumerate(FOLDER_NAMES):
        put(tmp_path / name / f"{name[:200]}.png", pixels(seed))
    train = read(tmp_path)["train"]
    assert train.classes == tuple(sorted(FOLDER_NAMES))
    for name in FOLDER_NAMES:
        (tmp_path / name / f"{name[:200]}.png").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert str(caught.value).isprintable()


def test_a_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, "a/1.png", os.fsdecode(b"b\xff") + "/1.png")
    with pytest.raises(InputError, match=r"class 'b\\udcff' is not UTF-8: rename it"):
        read(tmp_path)


def test_the_data_is_never_written_to(tmp_path: Path) -> None:
    root = plant(tmp_path / "data", "train/a/1.png", "train/b/1.png", "test/a/1.png")
    (root / "train" / "a" / "bad.png").touch()
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    before = digest(root)
    read(root, skip_bad=True)
    with pytest.raises(InputError, match="cannot be decoded"):
        read(root)
    assert digest(root) == before
    for folder in folders:
        folder.chmod(0o755)


def test_the_digest_follows_names_and_contents(tmp_path: Path) -> None:
    def sha256(root: Path) -> str:
        return str(read(root)["train"].provenance["sha256"])

    one = plant(tmp_path / "one", "a/1.png", "b/1.png")
    two = plant(tmp_path / "two", "a/1.png", "b/1.png")
    assert sha256(one) == sha256(two)
    (two / "b" / "1.png").rename(two / "b" / "2.png")
    assert sha256(one) != sha256(two)
    (two / "b" / "2.png").rename(two / "b" / "1.png")
    put(two / "b" / "1.png", pixels(55))
    assert sha256(one) != sha256(two)


def test_progress_ends_with_all(tmp_path: Path) -> None:
    names = [f"{name}/{i}.png" for name in "ab" for i in range(20)]
    seen: list[tuple[int, int]] = []
    read(plant(tmp_path, *names), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)
    assert seen == sorted(set(seen))


def test_threads_keep_the_order_and_pass_errors_on() -> None:
    from threading import get_ident
    from time import sleep

    threads = set()

    def slowly(name: str) -> str:
        threads.add(get_ident())
        sleep(0.003 if int(name) % 3 else 0.006)
        if name == "77":
            raise InputError("seventy-seven")
        return name * 2

    names = [str(number) for number in range(70)]
    assert list(in_parallel(slowly, names)) == [name * 2 for name in names]
    assert len(threads) > 1
    assert list(in_parallel(slowly, [])) == []
    assert (
        list(in_parallel(lambda _: get_ident(), names)) == [get_ident()] * 70
    )  # too quick for threads
    with pytest.raises(InputError, match="seventy-seven"):
        list(in_parallel(slowly, [str(number) for number in range(70, 200)]))


# -- the layout of names, without files ----------------------------------------------------------


def test_classes_that_differ_only_in_case_or_encoding_are_noted() -> None:
    files = ("Cat/1.png", "cat/1.png", "caf\u00e9/1.png", "cafe\u0301/1.png")
    layout = arrange(Listing(files=files), "x")
    assert layout.errors == ()
    assert len(layout.notes) == 2
    assert "the classes 'Cat', 'cat' differ only in case" in layout.notes[0] + layout.notes[1]


def test_what_is_not_used_is_listed_with_its_reason() -> None:
    files = ("a/1.png", "b/1.png", "sheet.png", "a/notes.txt", ".DS_Store")
    layout = arrange(Listing(files=files, skipped=(("c", "symbolic link to a folder"),)), "x")
    assert layout.ignored == (
        (".DS_Store", "hidden"),
        ("a/notes.txt", "not an image by its name"),
        ("c", "symbolic link to a folder"),
        ("sheet.png", "in no class folder"),
    )


# -- duplicates --------------------------------------------------------------------------------


def test_copies_across_splits_are_found_by_their_pixels(tmp_path: Path) -> None:
    plant(tmp_path, "train/a/1.png", "train/b/2.png", "train/b/3.png", "test/b/4.png")
    original = Image.open(tmp_path / "train" / "b" / "2.png")
    original.save(tmp_path / "test" / "b" / "copy.bmp")  # another file, the same pixels
    shutil.copy(tmp_path / "train" / "b" / "2.png", tmp_path / "train" / "b" / "9.png")
    splits = read(tmp_path)
    found = duplicates_across(splits["train"], splits["test"])
    assert found == [("train/b/2.png", "test/b/copy.bmp")]


def test_copies_in_data_without_files_are_named_by_index() -> None:
    def dataset(split: str, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Dataset:
        labels = np.zeros(len(images), np.int64)
        return Dataset(name="x", split=split, images=images, labels=labels, classes=("a",))

    images = np.random.default_rng(0).integers(0, 256, (9, 1, 4, 4), dtype=np.uint8)
    train, test = dataset("train", images[:6]), dataset("test", images[[7, 3, 8, 0]])
    assert duplicates_across(train, test) == [("#3", "#1"), ("#0", "#3")]


def test_the_bytes_of_a_file_and_of_its_folder_are_the_same_pixels(tmp_path: Path) -> None:
    """The same pixels in training and in prediction, for a file of every kind."""
    files = {
        "a/exif.jpg": encode(pixels(height=16, width=16), "JPEG"),
        "a/alpha.png": encode(pixels(1, channels=4)),
        "b/palette.gif": encode(pixels(2), "GIF"),
        "b/grey.png": encode(pixels(3, channels=1)),
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    train = read(tmp_path, size=(5, 5))["train"]
    from convscope.data.preprocess import Preprocessing, resize

    p = Preprocessing(channels=3, size=(5, 5), mean=(0, 0, 0), std=(1, 1, 1))
    for file, image in zip(train.files, train.images, strict=True):
        np.testing.assert_array_equal(image, resize(decode(files[file]), p))
