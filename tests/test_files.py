import errno
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convscope.errors import InputError
from convscope.files import (
    check_readable,
    is_inside,
    own_directory,
    read_bytes,
    remove_leftovers,
    write_atomically,
)


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new" * 1_000_000)
    assert path.read_bytes() == b"new" * 1_000_000
    assert os.listdir(tmp_path) == ["run.json"]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def _fail_at(monkeypatch: pytest.MonkeyPatch, name: str, call: int, error: BaseException) -> None:
    """Let the `call`-th use of os.<name> fail."""
    real: Callable[..., Any] = getattr(os, name)
    calls = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, wrapped)


BEFORE_RENAME = [("open", 1), ("write", 1), ("fsync", 1), ("close", 1), ("replace", 1)]


@pytest.mark.parametrize(("name", "call"), BEFORE_RENAME)
def test_a_fault_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")
    with monkeypatch.context() as patched:
        _fail_at(patched, name, call, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(
            InputError, match=r"no space left on the disk for .*run.json: free some"
        ):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_fault_in_the_middle_of_many_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:2])))  # short writes
        write_atomically(path, b"abcdefg")
        assert path.read_bytes() == b"abcdefg"
        _fail_at(patched, "write", 3, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(InputError, match=r"cannot write .*run.json: Input/output error: give"):
            write_atomically(path, b"1234567")
    assert path.read_bytes() == b"abcdefg"
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync of a directory")
@pytest.mark.parametrize(("name", "call"), [("open", 2), ("fsync", 2), ("close", 2)])
def test_a_fault_after_the_rename_leaves_the_new_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, call: int
) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, b"old")
    with monkeypatch.context() as patched:
        _fail_at(patched, name, call, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(InputError, match="Input/output error"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync of a directory")
def test_file_systems_without_fsync_of_directories_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fail_at(monkeypatch, "fsync", 2, OSError(errno.EINVAL, "Invalid argument"))
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_steps_come_in_the_only_safe_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)

        def wrapped(*args: Any, real: Any = real, name: str = name) -> Any:
            is_directory = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            steps.append("fsync of directory" if is_directory else name)
            return real(*args)

        monkeypatch.setattr(os, name, wrapped)
    write_atomically(tmp_path / "a", b"x")
    expected = ["write", "fsync", "replace", "fsync of directory"]
    assert steps == (expected[:3] if os.name == "nt" else expected)


def test_control_c_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        _fail_at(patched, "fsync", 1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write_atomically(tmp_path / "a", b"new")
    assert os.listdir(tmp_path) == []


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*nowhere.a: No such file or directory"):
        write_atomically(tmp_path / "nowhere" / "a", b"")


def test_a_killed_writer_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "state"
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    write_atomically(path, contents[0])
    program = (
        "import pathlib, sys; from convscope.files import write_atomically\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for letter in b'ab':\n"
        "        write_atomically(pathlib.Path(sys.argv[1]), bytes([letter]) * 300_000)\n"
    )
    for attempt in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.013 * (attempt + 1))
            writer.kill()
        assert path.read_bytes() in contents
    for left in tmp_path.glob(".state.*.tmp"):  # what the kills left goes with a later write
        os.utime(left, (0, 0))
    fresh = tmp_path / ".state.12345678.tmp"
    fresh.write_bytes(b"of another process")
    write_atomically(path, b"c")
    assert sorted(os.listdir(tmp_path)) == [fresh.name, "state"]


def test_read_bytes_limits(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    assert check_readable(path, 5) == 5
    with pytest.raises(InputError, match="has 5 bytes; allowed are at most 4"):
        read_bytes(path, 4)
    with pytest.raises(InputError, match="missing: No such file or directory"):
        read_bytes(tmp_path / "missing", 4)
    with pytest.raises(InputError, match="is no plain file"):
        read_bytes(tmp_path, 4)
    with pytest.raises(InputError, match="cannot read"):
        read_bytes(tmp_path / "nul\0byte", 4)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="is a device or a pipe: give a plain file"):
        write_atomically(pipe, b"new")
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_a_directory_of_its_own_is_no_link(tmp_path: Path) -> None:
    assert own_directory(tmp_path / "new").is_dir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").write_text("")
    for name in ("link", "file"):
        with pytest.raises(InputError, match="is no directory: remove it and try again"):
            own_directory(tmp_path / name)
    with pytest.raises(InputError, match="cannot write"):
        own_directory(tmp_path / "no" / "parent")


def test_what_lies_inside(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "link").symlink_to(".")
    assert is_inside(tmp_path / "link" / "a", tmp_path)
    assert is_inside(tmp_path, tmp_path)
    assert not is_inside(f"{tmp_path}2", tmp_path)
    assert not is_inside(tmp_path, tmp_path / "loop")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is no plain file"):
        read_bytes(tmp_path / "pipe", 4)


def test_leftovers_of_a_kill_go_and_all_else_stays(tmp_path: Path) -> None:
    (tmp_path / "epochs").mkdir()
    left = [
        tmp_path / ".run.json.0123abcd.tmp",
        tmp_path / "epochs" / ".4.safetensors.aaa66f7c.tmp",
    ]
    others = [
        tmp_path / name for name in (".mine.tmp", "run.json", "a.0123abcd.tmp", ".x.0123abcg.tmp")
    ]
    for path in (*left, *others):
        path.touch()
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
