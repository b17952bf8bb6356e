"""The compiled library: found or explained, one version for each processor."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from convscope.environment import doctor
from convscope.errors import InputError
from convscope.kernels import build, library

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(
    not library.available(), reason="the kernels are not compiled here: no C compiler"
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is remembered; not from one test to the next."""
    monkeypatch.delenv(library.VARIABLE, raising=False)
    library._load.cache_clear()
    library._open.cache_clear()


def kernels_line() -> tuple[str, str]:
    found = next(line for line in doctor().findings if line.name == "kernels")
    return found.value, found.remedy


@needs_compiler
def test_the_fastest_target_is_taken_and_another_can_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    able = library.available()
    assert able[-1] == "portable"
    chosen = library.load()
    assert chosen is not None
    assert chosen.target == able[0]
    assert kernels_line()[0].startswith(able[0])
    for target in able:
        monkeypatch.setenv(library.VARIABLE, target)
        asked = library.load()
        assert asked is not None
        assert asked.target == target
        assert kernels_line()[0].startswith(target)


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "off")
    assert library.load() is None
    assert library.why_none() == "switched off by CONVSCOPE_KERNELS=off"
    assert kernels_line() == (
        "none: torch computes everything, several times slower",
        "switched off by CONVSCOPE_KERNELS=off",
    )


def test_an_unknown_target_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "avx51")
    with pytest.raises(InputError, match=r"unknown CONVSCOPE_KERNELS 'avx51'.*avx512"):
        library.load()
    assert kernels_line()[0] == "none"


@needs_compiler
def test_a_target_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_BITS", {"avx512": 1 << 20, "avx2": 1 << 21, "portable": 0})
    monkeypatch.setenv(library.VARIABLE, "avx512")
    with pytest.raises(InputError, match="is avx512, which this processor cannot run; it can: por"):
        library.load()


def test_without_a_library_torch_is_left_and_the_reason_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "absent.so")
    assert library.load() is None
    assert library.available() == ()
    assert "not compiled" in library.why_none()
    assert "python -m convscope.kernels.build" in kernels_line()[1]


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF\x02\x01\x01" + bytes(60)])
def test_a_damaged_library_is_not_called(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.so"
    path.write_bytes(content)
    monkeypatch.setattr(build, "LIBRARY", path)
    assert library.load() is None
    assert "cannot be loaded" in library.why_none()


@needs_compiler
def test_a_library_of_other_sources_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "fingerprint", lambda: "0123456789abcdef")
    assert library.load() is None
    assert "older than their sources" in library.why_none()


def test_a_missing_compiler_and_a_failing_one_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -O9")
    with pytest.raises(build.NoKernels, match=r"no C compiler \(no-such-compiler\)"):
        build.compile_kernels(tmp_path / "made.so")
    monkeypatch.setenv("CC", "false")
    with pytest.raises(build.NoKernels, match="the C compiler failed: false"):
        build.compile_kernels(tmp_path / "made.so")
    assert list(tmp_path.iterdir()) == []


def build_wheel(folder: Path, **environment: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.slow
@needs_compiler
def test_a_wheel_carries_the_library_for_every_python(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    assert "-py3-none-" in wheel.name
    assert "any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert f"convscope/kernels/{build.LIBRARY.name}" in names
    assert "convscope/kernels/lanes.h" in names, "what the library's fingerprint is compared with"


@pytest.mark.slow
def test_without_a_compiler_a_wheel_is_built_all_the_same(tmp_path: Path) -> None:
    assert build_wheel(tmp_path, CC="no-such-compiler").name.endswith("-py3-none-any.whl")
