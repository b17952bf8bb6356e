"""The choice of how to compute is made in a fresh process, and here only where it must be."""

from pathlib import Path

import pytest

from conftest import small_recipe, start_run
from convscope.data.dataset import Dataset
from convscope.errors import InputError
from convscope.models import registry
from convscope.run import Run
from convscope.training import measuring
from convscope.training.compute import Compute
from convscope.training.measuring import compute_of
from convscope.training.recipe import Recipe

AUTO: dict[str, object] = {
    "precision": "auto",
    "memory_format": "auto",
    "fourier": "auto",
    "kernels": "auto",
}
HERE = Compute(reason="measured here")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network counts as a large one."""
    monkeypatch.setattr(measuring, "FEW_NUMBERS", 0)


@pytest.fixture
def stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring in this process gives HERE."""
    monkeypatch.setattr(measuring, "_measured_here", lambda *_: HERE)


def started(train: Dataset, path: Path, **changes: object) -> tuple[Run, Recipe]:
    recipe = small_recipe(**changes)
    return start_run(path, recipe, train), recipe


@pytest.mark.slow
@pytest.mark.usefixtures("stay_away", "large")
def test_a_fresh_process_measures(few_digits: Dataset, tmp_path: Path) -> None:
    run, recipe = started(few_digits, tmp_path / "run", **AUTO)
    found = compute_of(run, recipe)
    assert found != HERE
    assert len(found.seconds) >= 2
    assert found.name() in found.reason


@pytest.mark.usefixtures("stay_away")
def test_what_the_run_records_is_not_measured_again(few_digits: Dataset, tmp_path: Path) -> None:
    run, recipe = started(few_digits, tmp_path / "run", **AUTO)
    recorded = Compute(precision="bf16", fourier=("conv1",))
    run = run.with_changes(compute=recorded.model_dump(mode="json"))
    assert compute_of(run, recipe) == recorded


@pytest.mark.usefixtures("stay_away")
def test_no_process_is_started_where_there_is_nothing_to_measure(
    few_digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("started"))
    assert compute_of(*started(few_digits, tmp_path / "run")) == HERE


@pytest.mark.usefixtures("stay_away")
@pytest.mark.parametrize(("batch_size", "here"), [(32, True), (600, False)])
def test_a_process_is_started_for_large_batches_alone(
    batch_size: int,
    here: bool,
    few_digits: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch of 600 times 1,024 pixels times 32 results is beyond 16 million."""
    elsewhere = Compute(reason="measured elsewhere")
    monkeypatch.setattr(measuring, "_measured_elsewhere", lambda _: elsewhere)
    found = compute_of(*started(few_digits, tmp_path / "run", **AUTO, batch_size=batch_size))
    assert found == (HERE if here else elsewhere)


@pytest.mark.usefixtures("stay_away", "large")
@pytest.mark.parametrize("executable", ["", "/nonexistent/python", "/bin/false", "/bin/echo"])
def test_without_a_python_to_start_it_is_measured_here(
    executable: str, few_digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = started(few_digits, tmp_path / "run", **AUTO)
    monkeypatch.setattr("sys.executable", executable)
    assert compute_of(run, recipe) == HERE


@pytest.mark.slow
@pytest.mark.usefixtures("stay_away", "large")
def test_a_script_s_own_model_is_measured_here(
    few_digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recipe = started(few_digits, tmp_path / "run", **AUTO)
    entry = registry.get_model(run.document.model.name)
    monkeypatch.setitem(registry._MODELS, "of-this-script", entry)
    model = run.document.model.model_copy(update={"name": "of-this-script"})
    assert compute_of(run.with_changes(model=model), recipe) == HERE


@pytest.mark.slow
@pytest.mark.usefixtures("large")
def test_a_device_that_is_not_there_is_said_in_words(few_digits: Dataset, tmp_path: Path) -> None:
    run, recipe = started(few_digits, tmp_path / "run", **AUTO, device="mps")
    with pytest.raises(InputError, match="device is mps, which this machine lacks"):
        compute_of(run, recipe)
