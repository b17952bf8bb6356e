"""The cache of decoded images, through `read_folder`, `read_zip` and `load`."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convscope.data import cache_space
from convscope.data.archive import read_zip
from convscope.data.cache_space import cache_info, clear_cache
from convscope.data.class_folders import read_splits
from convscope.data.dataset import Dataset
from convscope.data.folder import read_folder
from convscope.data.images import decode
from convscope.data.layout import Listing
from convscope.data.loading import load, load_test
from convscope.data.preprocess import conform
from convscope.data.stored import StoredImages
from convscope.errors import InputError
from hostile_images import encode, pixels, put


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of decoded images."""
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CONVSCOPE_CACHE_GB", raising=False)
    return tmp_path / "cache" / "images"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of two classes to train on, and two to test on."""
    for seed, name in enumerate(("a/1", "a/2", "a/3", "b/1", "b/2", "b/3")):
        put(tmp_path / "data" / "train" / f"{name}.png", pixels(seed))
    for seed, name in enumerate(("a/1", "b/1")):
        put(tmp_path / "data" / "test" / f"{name}.png", pixels(50 + seed))
    return tmp_path / "data"


def read(path: Path, **options: Any) -> dict[str, Dataset]:
    facts = {"size": (6, 7), "channels": None, "cache": "always"} | options
    return read_folder(path, **facts)


def told(splits: dict[str, Dataset]) -> dict[str, Any]:
    found: dict[str, Any] = splits["train"].provenance["cache"]
    return found


def same(left: dict[str, Dataset], right: dict[str, Dataset]) -> bool:
    """All that training sees, and all that is recorded but for the cache."""

    def facts(splits: dict[str, Dataset]) -> list[Any]:
        return [
            (
                name,
                data.classes,
                data.files,
                data.labels.tolist(),
                data.images.shape,
                data.images[:].tobytes(),
                {key: value for key, value in data.provenance.items() if key != "cache"},
            )
            for name, data in splits.items()
        ]

    return facts(left) == facts(right)


# -- what is kept, and for whom ----------------------------------------------------------------


def test_the_second_call_reads_what_the_first_kept(folder: Path, cache: Path) -> None:
    memory, first = read(folder, cache="never"), read(folder)
    second = read(folder)
    assert told(second)["reused"]
    assert same(first, second)
    assert isinstance(first["train"].images, StoredImages)
    assert "cache" not in memory["train"].provenance
    assert same(first, memory)
    assert not told(first)["reused"]
    assert told(first)["bytes"] == 8 * 3 * 6 * 7
    assert Path(told(first)["path"]).parent == cache
    assert Path(told(first)["path"]).stat().st_size == 8 * 3 * 6 * 7


def test_it_is_not_decoded_again(folder: Path) -> None:
    """What the files hold is replaced, and nothing tells of it."""

    class Frozen:
        name, provenance = "x", {"format": "folder", "source": "x"}
        listing = Listing(files=("a/1.png", "b/1.png"))
        content = (folder / "train/a/1.png").read_bytes()

        def read(self, _: str, /) -> bytes:
            return self.content

        def stamp(self, _: str, /) -> str:
            return "as it was"

    source = Frozen()
    first = read_splits(source, size=(6, 7), channels=3, cache="always")
    source.content = b"rubbish"
    second = read_splits(source, size=(6, 7), channels=3, cache="always")
    assert told(second)["reused"]
    assert told(second)["path"] == told(first)["path"]
    assert same(first, second)
    with pytest.raises(InputError, match="cannot be decoded"):
        read_splits(source, size=(6, 7), channels=3, cache="never")


def change_content(file: Path) -> None:
    """As a program that hides its change: the same size, the old time of modification."""
    facts = file.stat()
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda file: put(file, pixels(99)),
        lambda file: os.utime(file, ns=(5, 5)),
        lambda file: file.rename(file.with_name("9.png")),
        lambda file: file.unlink(),
        lambda file: shutil.copy(file, file.with_name("8.png")),
    ],
)
def test_changed_files_are_decoded_again(folder: Path, change: Any) -> None:
    read(folder)
    change(folder / "train" / "a" / "2.png")
    again = read(folder)
    assert not told(again)["reused"]
    assert same(again, read(folder, cache="never"))


def test_a_change_that_hides_itself_is_seen(folder: Path) -> None:
    first = read(folder, skip_bad=True)
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    change_content(folder / "train" / "a" / "2.png")
    assert told(read(folder, skip_bad=True))["path"] != told(first)["path"]


@pytest.mark.parametrize(
    "other",
    [{"size": (7, 6)}, {"channels": 1}, {"aspect": "cover"}, {"keep_size": True, "size": (20, 20)}],
)
def test_another_request_is_another_entry(folder: Path, other: dict[str, Any]) -> None:
    first, second = read(folder), read(folder, **other)
    assert not told(second)["reused"]
    assert told(first)["path"] != told(second)["path"]
    assert same(second, read(folder, cache="never", **other))
    assert told(read(folder))["reused"]
    assert told(read(folder, **other))["reused"]


def test_the_shape_that_came_out_can_be_asked_for(folder: Path) -> None:
    """As when a run is resumed: its preprocessing names the size and the channels."""
    first = read(folder, size=(20, 20), keep_size=True)
    assert first["train"].image_shape == (3, 8, 10)
    second = read(folder, size=(8, 10), channels=3)
    assert told(second)["reused"]
    assert same(first, second)


def test_a_zip_is_known_by_its_table_of_contents(tmp_path: Path) -> None:
    def pack(path: Path, seed: int) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(("a/1", "a/2", "b/1", "b/2")):
                archive.writestr(f"{name}.bmp", encode(pixels(seed + number), "BMP"))
        return path

    options: dict[str, Any] = {"size": None, "channels": None, "cache": "always"}
    first = read_zip(pack(tmp_path / "one.zip", 0), **options)
    moved = read_zip(pack(tmp_path / "two.zip", 0), **options)
    assert told(moved)["reused"]
    np.testing.assert_array_equal(first["train"].images[:], moved["train"].images[:])
    changed = read_zip(pack(tmp_path / "one.zip", 7), **options)  # the same sizes
    assert not told(changed)["reused"]


def test_skipped_images_are_remembered(folder: Path) -> None:
    (folder / "train" / "b" / "2.png").write_bytes(b"")
    first = read(folder, skip_bad=True)
    second = read(folder, skip_bad=True)
    assert told(second)["reused"]
    assert same(first, second)
    assert same(second, read(folder, skip_bad=True, cache="never"))
    assert second["train"].provenance["skipped"][0]["file"] == "train/b/2.png"
    with pytest.raises(InputError, match="1 of the 8 images in 'data' cannot be decoded"):
        read(folder)


def test_a_refused_folder_leaves_nothing(folder: Path, cache: Path) -> None:
    (folder / "train" / "b" / "2.png").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be decoded"):
        read(folder)
    put(folder / "train" / "b" / "2.png", pixels(height=9))
    with pytest.raises(InputError, match="2 different sizes"):
        read(folder, size=None)
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_auto_decides_by_the_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 8 * 3 * 6 * 7
    monkeypatch.setattr("convscope.data.place.available_memory", lambda: 4 * needed)
    assert isinstance(read(folder, cache="auto")["train"].images, np.ndarray)
    monkeypatch.setattr("convscope.data.place.available_memory", lambda: 4 * needed - 1)
    assert not told(read(folder, cache="auto"))["reused"]
    monkeypatch.setattr("convscope.data.place.available_memory", lambda: 4 * needed)
    assert told(read(folder, cache="auto"))["reused"]  # it is there: why decode it again?


def test_load_splits_without_copying(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(10):
            put(tmp_path / "x" / name / f"{number}.png", pixels(number))
    options: dict[str, Any] = {"size": (5, 5), "channels": 3, "seed": 3}
    lazy = load(tmp_path / "x", cache="always", **options)
    memory = load(tmp_path / "x", cache="never", **options)
    for ours, theirs in ((lazy.train, memory.train), (lazy.test, memory.test)):
        assert isinstance(ours.images, StoredImages)
        assert ours.files == theirs.files
        np.testing.assert_array_equal(ours.images[:], theirs.images)
    test = load_test(tmp_path / "x", size=(5, 5), channels=3, classes=("a", "b"), cache="always")
    assert test.provenance["cache"]["reused"]
    assert len(test) == 20


# -- the result is that of conforming each file ------------------------------------------------

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]))


class Memory:
    """A source of pictures of these shapes, of two classes in turn."""

    name, provenance = "memory", {"format": "memory", "source": "here"}

    def __init__(self, shapes: list[tuple[int, int, int]]) -> None:
        self.pictures = {
            f"{'ab'[index % 2]}/{index:02}.png": encode(pixels(index, *shape))
            for index, shape in enumerate(shapes)
        }
        self.listing = Listing(files=tuple(self.pictures))

    def read(self, name: str) -> bytes:
        return self.pictures[name]

    def stamp(self, name: str) -> str:
        return hashlib.sha256(self.pictures[name]).hexdigest()


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.one_of(
        st.lists(SHAPES, min_size=2, max_size=9),
        st.tuples(SHAPES, st.integers(2, 9)).map(lambda pair: [pair[0]] * pair[1]),
    ),
    size=st.tuples(st.integers(4, 12), st.integers(4, 12)),
    channels=st.sampled_from([None, 1, 3]),
    aspect=st.sampled_from(["stretch", "cover"]),
    keep_size=st.booleans(),
)
def test_every_way_gives_conform_of_each_file(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[tuple[int, int, int]],
    size: tuple[int, int],
    channels: int | None,
    aspect: Any,
    keep_size: bool,
) -> None:
    own = {shape[:2] for shape in shapes}
    small = all(height <= size[0] and width <= size[1] for height, width in own)
    wanted = None if keep_size and small and len(own) == 1 else size
    colours = channels or max(shape[2] for shape in shapes)
    source = Memory(shapes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        for cache, reused in (("never", None), ("always", False), ("always", True)):
            data = read_splits(
                source,
                size=size,
                channels=channels,
                aspect=aspect,
                keep_size=keep_size,
                cache=cache,  # type: ignore[arg-type]
            )["train"]
            assert data.provenance.get("cache", {}).get("reused") == reused
            assert len(data) == len(shapes)
            for name, image in zip(data.files, data.images, strict=True):
                expected = conform(decode(source.read(name)), colours, wanted, aspect)
                np.testing.assert_array_equal(image, expected)


# -- damage ------------------------------------------------------------------------------------


def rubbish(path: Path) -> None:
    path.write_bytes(b"\0\xff rubbish")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 5)


def link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target)
    path.symlink_to(target)


def rewrite(**changes: Any) -> Any:
    def change(path: Path) -> None:
        document = json.loads(path.read_bytes())
        path.write_text(json.dumps({**document, **changes}))

    return change


@pytest.mark.parametrize(
    ("ending", "damage", "word"),
    [
        (".pixels", cut, r"has 1,003 bytes instead of 1,008"),
        (".pixels", lambda path: path.write_bytes(b""), r"has 0 bytes instead of 1,008"),
        (".pixels", link, "is a link"),
        (".json", rubbish, "is damaged"),
        (".json", cut, "is damaged"),
        (".json", link, "is a link"),
        (".json", lambda path: path.write_bytes(b""), "is damaged"),
        (".json", lambda path: path.write_text("[" * 100_000), "nested too deeply"),
        (".json", rewrite(format=2), "is damaged: format"),
        (".json", rewrite(more=1), "is damaged: more"),
        (".json", rewrite(key="0" * 64), "it is another request's"),
        (".json", rewrite(pixels="../../etc/passwd"), "is damaged: pixels"),
        (".json", rewrite(shape=[8, 3, 6, 8]), "bytes instead of 1,152"),
        (".json", rewrite(shape=[9, 3, 6, 7]), "8 images are not accounted for"),
        (".json", rewrite(shape=[-8, 3, 6, 7]), "is damaged: shape.0"),
        (".json", rewrite(shape=[8, 2, 6, 7]), "channels are neither 1 nor 3"),
        (".json", rewrite(shape=[8.0, 3, 6, 7]), "is damaged: shape.0"),
        (".json", rewrite(shape=[8, 3, 2**62, 2**62]), "is damaged: shape.2"),
        (".json", rewrite(shape=[7, 3, 6, 7], skipped=[[8, "x"]]), "not accounted for"),
        (".json", rewrite(skipped=[[0, 1]]), "is damaged: skipped"),
        (".json", rewrite(sha256={"train": "0" * 64}), "its splits are others"),
        (".json", rewrite(sha256={"train": "x", "test": "y"}), "is damaged: sha256"),
    ],
)
def test_what_is_damaged_is_made_anew_with_a_word(
    folder: Path, cache: Path, ending: str, damage: Any, word: str
) -> None:
    expected = read(folder, cache="never")
    read(folder)
    for path in cache.glob(f"*{ending}"):
        damage(path)
    again = read(folder)
    assert not told(again)["reused"]
    assert word in told(again)["rebuilt"]
    assert told(again)["rebuilt"].isprintable()
    assert same(again, expected)
    third = read(folder)
    assert told(third)["reused"]
    assert same(third, expected)


def test_a_directory_in_place_of_pixels(folder: Path, cache: Path) -> None:
    read(folder)
    (path,) = cache.glob("*.pixels")
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot write .*images: Is a directory"):
        read(folder)
    assert list(cache.glob(".*.tmp")) == []


def test_pixels_that_are_gone_are_made_anew(folder: Path, cache: Path) -> None:
    read(folder)
    for path in cache.glob("*.pixels"):
        path.unlink()
    again = read(folder)
    assert (told(again)["reused"], told(again)["rebuilt"]) == (False, "")


def test_a_cache_that_cannot_be_written_to_is_still_read(folder: Path, cache: Path) -> None:
    read(folder)
    cache.chmod(0o555)
    assert told(read(folder))["reused"]
    cache.chmod(0o755)


def test_a_place_that_is_no_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot write .*file/images: Not a directory: give"):
        read(folder)
    assert isinstance(read(folder, cache="auto")["train"].images, np.ndarray)


# -- room --------------------------------------------------------------------------------------


def kilobytes(monkeypatch: pytest.MonkeyPatch, count: float) -> None:
    monkeypatch.setenv("CONVSCOPE_CACHE_GB", f"{count * 1e3 / 1e9:.9f}")


def test_more_than_the_limit_is_refused_before_decoding(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kilobytes(monkeypatch, 1.0)
    for name in range(40):
        shutil.copy(folder / "train" / "a" / "1.png", folder / "train" / "a" / f"c{name}.png")
    seen: list[int] = []
    message = r"48 images of 60 × 70 pixels take 0\.00 GB in the cache .* may hold 0\.00 GB: set CO"
    with pytest.raises(InputError, match=message):
        read(folder, size=(60, 70), progress=lambda done, _: seen.append(done))
    assert max(seen) == 1
    assert list(cache.glob(".*.tmp")) == []


def test_a_full_disk_is_told_before_decoding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_space, "RESERVE", 10**18)  # more than any disk has
    with pytest.raises(
        InputError, match=r"GB can be used .* set CONVSCOPE_CACHE to a directory on"
    ):
        read(folder)


@pytest.mark.parametrize("limit", ["-1", "nan", "inf", "many", "1e999"])
def test_a_limit_that_is_none(folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVSCOPE_CACHE_GB", limit)
    with pytest.raises(InputError, match=f"CONVSCOPE_CACHE_GB is '{limit}'; allowed is a number"):
        read(folder)


def test_what_was_used_longest_ago_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three entries of 8 · 3 · 24 · 24 = 13,824 bytes and their documents; 36 kB hold two."""
    sizes = ((24, 24), (48, 12), (12, 48))
    kilobytes(monkeypatch, 36)
    paths = []
    for size in sizes[:2]:
        paths.append(Path(told(read(folder, size=size))["path"]))
        os.utime(paths[-1], (len(paths), len(paths)))
    assert told(read(folder, size=sizes[0]))["reused"]  # now the first is the younger
    read(folder, size=sizes[2])
    assert paths[0].exists()
    assert not paths[1].exists()
    assert cache_info().bytes <= 36_000
    assert len(cache_info().files) == 2
    assert not told(read(folder, size=sizes[1]))["reused"]


def test_images_in_use_outlive_their_eviction(folder: Path) -> None:
    kept = read(folder)
    before = kept["train"].images[:]
    assert clear_cache() > 0
    np.testing.assert_array_equal(kept["train"].images[:], before)


def test_info_and_clear(folder: Path, cache: Path) -> None:
    assert (cache_info().files, cache_info().bytes, clear_cache()) == ((), 0, 0)
    path = Path(told(read(folder))["path"])
    (cache / "notes.txt").write_text("mine")
    (cache.parent / "download.gz").write_text("a download")
    (cache / f"{'0' * 64}.pixels").mkdir()
    info = cache_info()
    assert info.directory == cache
    assert info.files == ((path, 1008),)
    assert info.limit == 200 * 10**9
    assert info.bytes == sum(
        p.stat().st_size for p in cache.glob("*") if p.suffix in FILES and p.is_file()
    )
    assert clear_cache() == info.bytes
    assert cache_info().files == ()
    left = {entry.name for entry in cache.iterdir() if not entry.name.endswith(".lock")}
    assert left == {"notes.txt", f"{'0' * 64}.pixels"}
    assert (cache.parent / "download.gz").exists()
    assert not told(read(folder))["reused"]


FILES = {".pixels", ".json"}


# -- processes ---------------------------------------------------------------------------------

LOAD = """
import json, sys
from pathlib import Path
from convscope.data.folder import read_folder
data = read_folder(Path(sys.argv[1]), size=(int(sys.argv[2]),) * 2, channels=3, cache="always")
print(json.dumps([data["train"].provenance["cache"], data["train"].provenance["sha256"]]))
"""


def start(folder: Path, size: int = 6, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder), str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_two_processes_at_once(folder: Path, cache: Path) -> None:
    both = [start(folder), start(folder)]
    printed = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(facts["reused"] for facts, _ in printed) == [False, True]
    assert len({sha256 for _, sha256 in printed}) == 1
    assert len(list(cache.glob("*.pixels"))) == 1
    assert list(cache.glob(".*.tmp")) == []


def test_a_killed_writer_leaves_nothing_that_is_taken_for_a_cache(
    tmp_path: Path, cache: Path
) -> None:
    for number in range(400):
        put(tmp_path / "big" / "ab"[number % 2] / f"{number}.png", pixels(number, 8, 8))
    with start(tmp_path / "big", size=400) as process:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in cache.glob(".*.tmp")):
            assert process.poll() is None, "it was faster than the test"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert len(list(cache.glob(".*.tmp"))) == 1
    assert [path for path in cache.iterdir() if path.suffix in FILES] == []
    read(tmp_path / "big", size=(5, 5))  # another request sweeps up, too
    assert list(cache.glob(".*.tmp")) == []
    again = read(tmp_path / "big", size=(400, 400))
    assert not told(again)["reused"]
    expected = conform(pixels(0, 8, 8), 3, (400, 400))
    np.testing.assert_array_equal(again["train"].images[0], expected)


def test_a_disk_that_fills_up_meanwhile(folder: Path, cache: Path) -> None:
    """The system refuses files of more than 10 kB, as a full disk would refuse to grow one."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    with start(folder, size=100, preexec_fn=limit) as process:
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"InputError: cannot write " in error.splitlines()[-1]
    assert list(cache.glob(".*.tmp")) == []
    assert list(cache.glob("*.pixels")) == []
    assert not told(read(folder, size=(100, 100)))["reused"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_stays_small_however_many_the_images(tmp_path: Path) -> None:
    """600 MB of pixels: written and read through in a process that takes far less."""
    for number in range(200):
        put(tmp_path / "big" / "ab"[number % 2] / f"{number}.png", pixels(number, 8, 8))
    program = (
        LOAD + "for image in data['train'].images:\n    pass\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line))"
    )
    for _ in range(2):
        words = [sys.executable, "-c", program, str(tmp_path / "big"), "1000"]
        printed = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout.splitlines()
        facts, _ = json.loads(printed[0])
        assert facts["bytes"] == 200 * 3 * 1000 * 1000
        assert int(printed[1]) * 1024 < 300e6
