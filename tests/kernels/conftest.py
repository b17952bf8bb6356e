"""Every kernel is tested in every version that this processor can run."""

import pytest

from convscope.kernels import build, library


@pytest.fixture(params=build.TARGETS)
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The version of the kernels in use."""
    name: str = request.param
    if name not in library.available():
        pytest.skip(f"this processor cannot run {name}, or the kernels are not compiled")
    monkeypatch.setenv(library.VARIABLE, name)
    return name
