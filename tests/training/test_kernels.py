"""Training by the kernels: the same course as torch's, the same bytes each time, recorded."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import fingerprint, small_recipe, start_run
from convscope import models
from convscope.data.dataset import Dataset
from convscope.evaluation.inference import log_probabilities
from convscope.kernels import calls, library
from convscope.kernels.batch_last import batch_last
from convscope.layers.fusing import kernels_in_use
from convscope.reporting import evaluate_run
from convscope.run import load_model, open_run, read_metrics
from convscope.training import choosing
from convscope.training.chain import Gradients
from convscope.training.choosing import choose_compute
from convscope.training.compute import Compute
from convscope.training.fit import fit

pytestmark = pytest.mark.skipif(
    not library.available(), reason="the kernels are not compiled here: no C compiler"
)


def losses(path: Path, data: Dataset, **changes: object) -> list[float]:
    """The loss of every step."""
    run = start_run(path, small_recipe(**changes), data)
    seen: list[float] = []
    for row in fit(run, data, checkpoint_seconds=1e9):
        seen.append(row.loss)
    return seen


@pytest.mark.parametrize("padding", ["valid", "same", "reflect"])
def test_a_long_training_takes_the_course_that_torch_takes(
    padding: str, tmp_path: Path, few_digits: Dataset
) -> None:
    """The mean loss of each of 29 epochs, 203 steps in all, within 1e-4."""
    pad = {"layer": "pad", "kind": "same" if padding != "valid" else "valid"}
    if padding == "reflect":
        pad["mode"] = "reflect"
    model = {"name": "lenet5", "arguments": {"padding": pad}}
    rows = {}
    for kernels in ("on", "off"):
        path = tmp_path / kernels
        losses(path, few_digits, kernels=kernels, epochs=29, model=model)
        rows[kernels] = [row["loss"] for row in read_metrics(open_run(path))]
    assert len(rows["on"]) == 29
    assert rows["on"] != rows["off"], "both ways gave the same bits: the kernels were not used"
    assert max(abs(a - b) for a, b in zip(rows["on"], rows["off"], strict=True)) < 1e-4


def test_the_number_of_threads_changes_no_byte(tmp_path: Path, few_digits: Dataset) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            losses(tmp_path / str(threads), few_digits, threads=threads)
    finally:
        torch.set_num_threads(before)
    first, *others = (fingerprint(tmp_path / str(threads)) for threads in (1, 2, 3))
    assert others == [first, first]


def test_torch_has_one_thread_while_kernels_train_and_all_again_afterwards(
    tmp_path: Path, few_digits: Dataset
) -> None:
    before = torch.get_num_threads()
    run = start_run(tmp_path / "run", small_recipe(kernels="on", threads=2), few_digits)
    seen = set()
    try:
        for row in fit(run, few_digits):
            if not row.finished:
                seen.add((torch.get_num_threads(), calls._own_threads))
        after = torch.get_num_threads(), calls._own_threads
    finally:
        torch.set_num_threads(before)
    assert seen == {(1, 2)}
    assert after == (2, None)


def test_a_run_is_evaluated_as_it_was_trained(tmp_path: Path, few_digits: Dataset) -> None:
    run = start_run(tmp_path / "run", small_recipe(kernels="on"), few_digits)
    for _ in fit(run, few_digits):
        pass
    run = run.with_changes(
        compute={"kernels": "portable", "memory_format": "contiguous"}, status="complete"
    )
    known = evaluate_run(run, few_digits, write=False, robust=False, listen=lambda _: None)
    model = load_model(run)
    arguments = (model, few_digits.images, run.document.preprocessing)
    by_torch = log_probabilities(*arguments)
    with kernels_in_use() as use:
        by_kernels = log_probabilities(*arguments)
    assert use.calls > 0
    assert not np.array_equal(by_torch, by_kernels), "the kernels were not used"
    np.testing.assert_allclose(by_kernels, by_torch, atol=1e-4)
    labels = few_digits.labels
    loss = -by_kernels[np.arange(len(labels)), labels].mean()
    assert known.loss == pytest.approx(loss, rel=1e-12)


def test_the_faster_way_is_taken_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = library.load()
    assert kernels is not None
    times = {"fp32 channels_last": 0.2, f"fp32 kernels {kernels.target}": 0.1}
    monkeypatch.setattr(choosing, "_time", lambda way, *_: times[way.name()])
    model = models.build("lenet5")
    found = choose_compute(small_recipe(kernels="auto"), model, (1, 32, 32))
    assert found.kernels == kernels.target
    assert found.reason.startswith(f"measured fp32 kernels {kernels.target} 0.100 s, fp32 ch")
    times |= dict.fromkeys(times, 0.2)
    assert choose_compute(small_recipe(kernels="auto"), model, (1, 32, 32)).kernels == ""
    assert choose_compute(small_recipe(kernels="on"), model, (1, 32, 32)).kernels == kernels.target
    assert choose_compute(small_recipe(kernels="off"), model, (1, 32, 32)).kernels == ""
    assert choose_compute(small_recipe(precision="bf16"), model, (1, 32, 32)).kernels == ""


def test_a_network_without_such_layers_is_not_measured() -> None:
    plan = small_recipe(kernels="auto")
    norm = {"layer": "norm", "kind": "batch"}
    for name, arguments in (
        ("alexnet-cifar", {"width": 1, "hidden": 16, "input_size": 32}),  # few maps
        ("alexnet-owt", {"input_size": 63}),  # no batch normalisation
        ("alexnet-2012", {"input_size": 67, "norm": norm}),  # not by this kernel
    ):
        model = models.build(name, arguments)
        found = choose_compute(plan, model, model.input_shape)
        assert found.kernels == ""
        assert found.seconds == {}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batch_normalisation_is_left_to_its_kernel_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    kernels = library.load()
    assert kernels is not None
    ours, theirs = f"{precision} kernels {kernels.target}", f"{precision} channels_last"
    times = {ours: 0.1, theirs: 0.2}
    monkeypatch.setattr(choosing, "_time", lambda way, *_: times[way.name()])
    plan = small_recipe(kernels="auto", precision=precision, fourier=("conv3",))
    model = models.build("alexnet-cifar", {"width": 16, "hidden": 16})
    found = choose_compute(plan, model, (3, 32, 32))
    assert (found.kernels, found.memory_format) == (kernels.target, "channels_last")
    assert not found.uses_kernels  # those are others, for which numbers lie otherwise
    assert found.place()["memory_format"] == torch.channels_last
    times[ours] = 0.199
    assert choose_compute(plan, model, (3, 32, 32)).kernels == ""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_with_the_kernel_of_batch_normalisation_takes_torchs_course(
    precision: str, tmp_path: Path, few_digits: Dataset
) -> None:
    """The losses of 3 epochs, nearly: roundings decide which of two equals a pooling takes."""
    arguments: dict[str, object] = {"width": 16, "hidden": 32, "channels": 1, "late_pooling": True}
    arguments["activation"] = {"layer": "activation", "kind": "gelu"}
    changes: dict[str, object] = {
        "model": {"name": "alexnet-cifar", "arguments": arguments},
        "inputs": {"fit": "resize"},
        "precision": precision,
        "epochs": 3,
        "optimizer": {"kind": "sgd", "lr": 0.01, "momentum": 0.9},
    }
    rows = {}
    for kernels in ("on", "off"):
        path = tmp_path / kernels
        losses(path, few_digits, kernels=kernels, **changes)
        rows[kernels] = [row["loss"] for row in read_metrics(open_run(path))]
    assert rows["on"] != rows["off"], "both ways gave the same bits: the kernel was not used"
    near = 0.01 if precision == "fp32" else 0.05
    assert rows["on"] == pytest.approx(rows["off"], rel=near)
    assert rows["on"][-1] < rows["on"][0]


def test_a_run_of_a_machine_with_kernels_goes_on_without(
    tmp_path: Path, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    run = run.with_changes(compute={"kernels": "avx512", "memory_format": "contiguous"})
    monkeypatch.setenv(library.VARIABLE, "off")
    assert [row.epoch for row in fit(run, few_digits)][-1] == 2


def test_parameters_that_move_in_memory_are_followed() -> None:
    """The addresses that a recorded chain reads from are those of the parameters, always."""
    kernels = library.load()
    assert kernels is not None
    model, other = (models.build("lenet5", seed=3).train() for _ in range(2))
    plan = small_recipe(batch_size=8)
    compute = Compute.model_validate({"kernels": kernels.target, "memory_format": "contiguous"})
    x, labels = batch_last(torch.randn(8, 1, 32, 32)), torch.arange(8)
    gradients = Gradients(model, plan, compute)
    gradients(x, labels, 8)
    for parameter in model.parameters():
        parameter.data = parameter.data * 0.5
    for parameter in other.parameters():
        parameter.data.mul_(0.5)
    moved = gradients(x, labels, 8)
    assert moved == Gradients(other, plan, compute)(x, labels, 8)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert torch.equal(mine.grad, theirs.grad)


def test_a_watched_layer_is_the_layer_itself() -> None:
    model = models.build("lenet5").train()
    x = torch.randn(2, 1, 32, 32)
    with kernels_in_use() as use:
        model(x)
        assert use.calls == 5
        handle = model.c3.register_forward_hook(lambda *_: None)  # type: ignore[union-attr]
        model(x)
        assert use.calls == 9
        handle.remove()


@pytest.mark.slow
def test_kernels_serve_a_forked_process_and_many_threads() -> None:
    """A fork has no threads of its parent's; two callers at a time do not wait for each other."""
    program = """
import os, threading, torch
from convscope.kernels.block import Plan, block
torch.set_num_threads(2)
x, w = torch.randn(64, 1, 12, 12), torch.randn(6, 1, 3, 3)
plan = Plan("tanh", "max", (2, 2), (2, 2))
right = block(x, w, None, plan)
def again():
    for _ in range(50):
        assert torch.equal(block(x, w, None, plan), right)
threads = [threading.Thread(target=again) for _ in range(4)]
[one.start() for one in threads]; [one.join() for one in threads]
child = os.fork()
if child == 0:
    again(); os._exit(0)
assert os.waitpid(child, 0)[1] == 0
again()
"""
    words = [sys.executable, "-c", program]
    subprocess.run(words, check=True, timeout=60, env=os.environ | {"OMP_NUM_THREADS": "1"})
