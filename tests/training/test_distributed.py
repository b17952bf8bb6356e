"""Two real processes against one: losses, images, weights, columns, restarts."""

import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import distributed_cases as cases
import pytest
import torch
from safetensors.torch import load_file

from conftest import fingerprint, small_recipe
from convscope.data.batches import epoch_order
from convscope.errors import InputError
from convscope.layers.draws import Dropout, Maps, Rows, draw, drawing
from convscope.run import load_model, open_run, read_metrics
from convscope.training.distributed import ALONE, Group, joined
from convscope.training.fit import fit

TESTS = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which two processes have left what they found."""
    out = tmp_path_factory.mktemp("two")
    common = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}",
    }
    words = [sys.executable, str(TESTS / "distributed_cases.py"), str(out)]
    processes = [
        subprocess.Popen(words, env=os.environ | common | {"RANK": str(rank)}) for rank in (0, 1)
    ]
    try:
        assert [process.wait(300) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    return out


def found(two: Path, name: str) -> tuple[Any, Any]:
    """What the two processes have found under `name`."""
    first, second = (json.loads((two / f"process{n}/found.json").read_text()) for n in (0, 1))
    return first[name], second[name]


CASES = {
    "plain": cases.PLAIN,
    "normalised": cases.NORMALISED,
    "one left": cases.ONE_LEFT,
    "stochastic": cases.STOCHASTIC,
}
STEPS = {"plain": 54, "normalised": 4, "one left": 28, "stochastic": 12}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_losses_of_two_processes_are_those_of_one(two: Path, tmp_path: Path, name: str) -> None:
    """Also with batch normalisation, whose statistics are those of the whole batch; and dropout
    and stochastic pooling, which draw for the whole batch."""
    alone = cases.trained(tmp_path / "run", CASES[name], cases.digits())
    first, second = found(two, name)
    assert first["losses"] == second["losses"]
    assert len(alone["losses"]) == STEPS[name]
    assert first["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    together = load_file(two / "process0" / name / "weights.safetensors")
    for key, value in load_file(tmp_path / "run" / "weights.safetensors").items():
        torch.testing.assert_close(together[key], value, atol=1e-4, rtol=1e-4)
    rows = read_metrics(open_run(two / "process0" / name))
    for row, other in zip(rows, read_metrics(open_run(tmp_path / "run")), strict=True):
        assert row == pytest.approx(other, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "batch"), [("plain", 31), ("one left", 14)])
def test_an_epoch_visits_each_image_once(two: Path, name: str, batch: int) -> None:
    """183 images in batches of 31, and of 14, of which the last has one: nothing for process 0."""
    first, second = (one["seen"] for one in found(two, name))
    steps = -(-cases.ODD // batch)
    for epoch in range(2):
        part = slice(epoch * steps, (epoch + 1) * steps)
        whole = [a + b for a, b in zip(first[part], second[part], strict=True)]
        assert list(itertools.chain(*whole)) == epoch_order(cases.ODD, 0, epoch).tolist()
        assert all(
            abs(len(a) - len(b)) <= 1 for a, b in zip(first[part], second[part], strict=True)
        )


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 7])
def test_batch_statistics_are_those_of_the_whole_batch(two: Path, n: int) -> None:
    """With one image, process 0 has none and takes part all the same."""
    expected = cases.normalised_gradients(n, ALONE)
    found = [torch.load(two / f"process{rank}/normalised{n}.pt") for rank in (0, 1)]
    for key, value in expected.items():
        torch.testing.assert_close(found[0][key], value, atol=1e-5, rtol=1e-5)
        assert torch.equal(found[0][key], found[1][key])


@pytest.mark.slow
def test_two_processes_give_the_same_bytes_again(two: Path) -> None:
    assert fingerprint(two / "process0/plain") == fingerprint(two / "process0/again")


@pytest.mark.slow
def test_the_first_process_alone_writes(two: Path) -> None:
    for name in CASES:
        assert (two / "process0" / name / "weights.safetensors").is_file()
        assert [path.name for path in (two / "process1" / name).iterdir()] == ["run.json"]


@pytest.mark.slow
def test_a_signal_to_one_stops_both_and_one_process_goes_on(two: Path) -> None:
    first, second = found(two, "stopped")
    assert first.startswith("143: stopped in epoch 2, step 1 of 6; go on with: ")
    assert first.replace("process0", "process1") == second
    run = open_run(two / "process0/stopped")
    list(fit(run, cases.digits(), cases.digits(), resume=True))
    rows = read_metrics(open_run(two / "process0/plain"))
    for row, other in zip(read_metrics(run), rows, strict=True):
        assert row == pytest.approx(other, abs=1e-4)


@pytest.mark.slow
def test_a_failed_training_fails_in_both(two: Path) -> None:
    first, second = found(two, "failing")
    assert first == second
    assert "learning rate of 1e+06" in first


@pytest.mark.slow
def test_gradients_travel_in_float32(two: Path) -> None:
    assert found(two, "bytes") == (4 * 33, 4 * 33)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_two_columns_are_the_network_of_one_process(two: Path, variant: str) -> None:
    """Scores and every gradient, with dropout and an odd number of classes."""
    together = torch.load(two / f"process0/{variant}.pt")
    scores, gradients = cases.scores_and_gradients(*cases.column_case(variant), ALONE)
    assert scores.shape == (3, 7)
    torch.testing.assert_close(together.pop("scores"), scores, atol=1e-5, rtol=1e-5)
    assert together.pop("bytes") == 3 * column_bytes(variant)
    assert together.keys() == gradients.keys()
    for name, gradient in gradients.items():
        scale = float(gradient.abs().max())
        assert scale > 0
        assert float((together[name] - gradient).abs().max()) <= 1e-5 * max(scale, 1.0), name


def column_bytes(variant: str) -> int:
    """Bytes that column 0 sends for an image of 67 × 67: 15, 7, 7, 3, 3, 3, 1 along a side.

    Forward and back: 128 maps of 3 × 3 to conv3, 128 of 1 × 1 to fc6, 2 × 2048 units to fc7 and
    fc8; the normalisation that crosses columns sees 2 maps of 15 × 15 and of 7 × 7. Of the seven
    scores three are its own; they have no way back.
    """
    both_ways = 128 * 3 * 3 + 128 + 2 * 2048
    if variant == "paper":
        both_ways += 2 * 15 * 15 + 2 * 7 * 7
    return 4 * (2 * both_ways + 3)


@pytest.mark.slow
def test_a_run_in_columns_is_an_ordinary_run(two: Path, tmp_path: Path) -> None:
    alone = cases.trained(tmp_path / "run", cases.COLUMNS, cases.shapes())
    first, second = found(two, "columns")
    assert len(alone["losses"]) == 3
    assert first["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    assert first["seen"] == second["seen"] == alone["seen"]
    run = open_run(two / "process0/columns")
    expected = load_model(tmp_path / "run").state_dict()
    for key, value in load_model(run).state_dict().items():
        torch.testing.assert_close(value, expected[key], atol=1e-5, rtol=1e-5)
    # The checkpoint is of the whole network: one process can go on with it.
    run.weights.unlink()
    list(fit(run, cases.shapes(), cases.shapes(), resume=True))
    assert run.weights.exists()


def test_shares_cover_the_batch_and_differ_by_one_at_most() -> None:
    for size in (2, 3, 8):
        for n in (0, 1, 7, 31, 32):
            parts = [Group(rank, size).share(n) for rank in range(size)]
            assert list(itertools.chain(*(range(n)[part] for part in parts))) == list(range(n))
            lengths = [part.stop - part.start for part in parts]
            assert max(lengths) - min(lengths) <= 1


def test_threads_of_a_machine_are_shared_out() -> None:
    four = Group(1, 8, 1, 4)
    assert [four.threads(n) for n in (0, 1, 4, 10)] == [0, 1, 1, 2]
    assert ALONE.threads(5) == 5


def test_draws_of_parts_are_those_of_the_whole() -> None:
    torch.manual_seed(0)
    whole = torch.rand(5, 4)

    def rand(shape: torch.Size) -> torch.Tensor:
        torch.manual_seed(0)
        return torch.rand(shape)

    with drawing(Rows(2, 5)):
        assert torch.equal(draw(torch.Size([3, 4]), rand), whole[2:])
    with drawing(Maps(1, 2)):
        assert torch.equal(draw(torch.Size([5, 2]), rand), whole[:, 2:])
    assert torch.equal(draw(torch.Size([5, 4]), rand), whole)


def test_dropout_is_that_of_torch() -> None:
    for p in (0.0, 0.1, 0.5):
        for training in (True, False):
            x = torch.randn(64, 48)
            torch.manual_seed(7)
            expected = torch.nn.Dropout(p).train(training)(x)
            torch.manual_seed(7)
            assert torch.equal(Dropout(p).train(training)(x), expected)


def test_wrong_variables_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with (
        pytest.raises(InputError, match="WORLD_SIZE is 'two'; torchrun sets it to a whole number"),
        joined(),
    ):
        pass


def test_columns_are_not_for_optimizers_of_whole_matrices() -> None:
    with pytest.raises(ValueError, match=r"parallel=columns needs optimizer\.kind=sgd, adam or"):
        small_recipe(**cases.COLUMNS | {"optimizer": {"kind": "muon", "lr": 0.1}})


def test_columns_are_of_one_network_alone(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"parallel": "columns"}
    with pytest.raises(InputError, match="parallel=columns splits alexnet-2012 and no other"):
        cases.trained(tmp_path / "run", changes, cases.digits())
