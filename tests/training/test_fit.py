"""The training loop against a bare torch loop, and against itself when it is interrupted."""

import contextlib
import itertools
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from conftest import fingerprint, small_recipe, start_run
from convscope import models
from convscope.data.batches import epoch_order
from convscope.data.dataset import Dataset, Splits
from convscope.data.preprocess import normalise
from convscope.errors import InputError, Interrupted, TrainingError
from convscope.run import epoch_weights, load_model, open_run, read_metrics
from convscope.training import loop
from convscope.training.curvature import curvature_diagonal
from convscope.training.fit import fit
from convscope.training.progress import Progress
from convscope.training.signals import StopRequest

AUGMENTED = {
    "augmentation": {"shift": 1.5, "rotation": 10.0, "elastic": 1.0, "flip": True, "crop": 2},
    "averaging": 0.9,
    "schedule": {"kind": "one-cycle", "warmup": 0.3},
    "model": {"name": "lenet5", "arguments": {"pool": {"layer": "pool", "kind": "stochastic"}}},
}


def train(path: Path, recipe_changes: dict[str, object], data: Dataset) -> list[Progress]:
    run = start_run(path, small_recipe(**recipe_changes), data)
    return list(fit(run, data))


ORDERS: dict[str, Callable[[int], torch.Tensor]] = {
    "anew": lambda epoch: epoch_order(200, 0, epoch),
    "once": lambda _: epoch_order(200, 0, 0),
    "stored": lambda _: torch.arange(200),
}


@pytest.mark.parametrize("order", ORDERS)
def test_the_loop_is_a_bare_torch_loop(order: str, tmp_path: Path, few_digits: Dataset) -> None:
    """Losses and weights equal those of fifteen plain lines, bit for bit."""
    train(tmp_path / "run", {"order": order, "kernels": "off"}, few_digits)
    run = start_run(tmp_path / "other", small_recipe(), few_digits)
    inputs = torch.from_numpy(normalise(np.asarray(few_digits.images), run.document.preprocessing))
    labels = torch.from_numpy(few_digits.labels.copy())
    model = models.build("lenet5", seed=0)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002, fused=True)
    losses = []
    for epoch in range(2):
        total = 0.0
        for chosen in torch.split(ORDERS[order](epoch), 30):
            batch = inputs[chosen].to(memory_format=torch.channels_last)
            loss = F.cross_entropy(model(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(chosen)
        losses.append(total / 200)
    rows = read_metrics(open_run(tmp_path / "run"))
    assert [row["loss"] for row in rows] == losses
    trained = load_file(tmp_path / "run" / "weights.safetensors")
    for key, value in model.state_dict().items():
        assert torch.equal(trained[key], value), key


SDLM = {"optimizer": {"kind": "sdlm", "lr": 0.002, "mu": 1.0, "curvature_images": 20}}


@pytest.mark.parametrize(
    "changes", [{}, AUGMENTED, SDLM], ids=["plain", "everything random", "curvature"]
)
def test_cut_at_every_step_and_resumed_it_ends_the_same(
    tmp_path: Path, few_digits: Dataset, digits: Splits, changes: dict[str, object]
) -> None:
    validation = digits.test
    recipe = small_recipe(**changes)
    whole = start_run(tmp_path / "whole", recipe, few_digits)
    list(fit(whole, few_digits, validation))
    expected = fingerprint(whole.path)
    assert set(expected) >= {"weights.safetensors", "metrics.jsonl"}

    run = start_run(tmp_path / "cut", recipe, few_digits)
    messages: list[tuple[int, str]] = []
    while True:
        stop = StopRequest()
        stop.received = signal.SIGINT  # as if the signal came during the first step
        try:
            list(fit(run, few_digits, validation, resume=True, stop=stop))
            break
        except Interrupted as error:
            messages.append((error.exit_code, str(error)))
    assert len(messages) == 14  # two epochs of seven steps
    assert all(code == 130 and "--resume" in text for code, text in messages)
    assert fingerprint(run.path) == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_curvature_is_measured_before_each_pass_on_few_images(
    precision: str, tmp_path: Path, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[int, ...], torch.dtype]] = []

    def note(way: str, model: torch.nn.Module, inputs: torch.Tensor, *rest: object) -> object:
        seen.append((way, tuple(inputs.shape), inputs.dtype))
        found = curvature_diagonal(way, model, inputs, *rest)  # type: ignore[arg-type]
        found["c1.bias"].fill_(1e9)
        return found

    monkeypatch.setattr(loop, "curvature_diagonal", note)
    train(tmp_path / "run", SDLM | {"precision": precision}, few_digits)
    assert seen == [("backpropagated", (20, 1, 32, 32), torch.float32)] * 2
    trained = load_file(tmp_path / "run" / "weights.safetensors")
    start = models.build("lenet5", seed=0).state_dict()
    assert (trained["c1.bias"] - start["c1.bias"]).abs().max() < 1e-7, "held by its curvature"
    assert (trained["c1.weight"] - start["c1.weight"]).abs().max() > 1e-4


def test_time_decides_when_to_save_but_not_what_comes_out(
    tmp_path: Path, few_digits: Dataset
) -> None:
    often = start_run(tmp_path / "often", small_recipe(), few_digits)
    list(fit(often, few_digits, checkpoint_seconds=0.0))
    never = start_run(tmp_path / "never", small_recipe(), few_digits)
    list(fit(never, few_digits, checkpoint_seconds=1e9))
    assert often.checkpoint.exists()
    assert not never.checkpoint.exists()
    assert fingerprint(often.path) == fingerprint(never.path)


def test_another_seed_gives_other_weights(tmp_path: Path, few_digits: Dataset) -> None:
    train(tmp_path / "a", {"seed": 1}, few_digits)
    train(tmp_path / "b", {"seed": 2}, few_digits)
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_rows_tell_the_epochs(tmp_path: Path, few_digits: Dataset) -> None:
    rows = [row for row in train(tmp_path / "run", {}, few_digits) if row.finished]
    assert [row.finished["epoch"] for row in rows if row.finished] == [1, 2]
    assert rows[-1].seconds_left == 0
    assert rows[-1].epochs == 2


def test_min_steps_prolongs_training_on_few_images(tmp_path: Path, few_digits: Dataset) -> None:
    rows = train(tmp_path / "run", {"epochs": 1, "min_steps": 15}, few_digits)
    assert rows[-1].epochs == 3  # seven steps an epoch
    assert rows[-1].done == 15


def test_a_learning_rate_of_a_million_stops_within_steps(
    tmp_path: Path, few_digits: Dataset
) -> None:
    with pytest.raises(TrainingError, match=r"learning rate of 1e\+06 .* try --set optimizer.lr="):
        train(tmp_path / "run", {"optimizer": {"lr": 1e6}, "epochs": 100}, few_digits)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_best_weights_are_kept_and_finite(
    tmp_path: Path, few_digits: Dataset, digits: Splits
) -> None:
    run = start_run(tmp_path / "run", small_recipe(epochs=6), few_digits)
    list(fit(run, few_digits, digits.test))
    rows = read_metrics(run)
    best = max(
        range(6), key=lambda i: (rows[i]["validation_accuracy"], -rows[i]["validation_loss"])
    )
    again = start_run(tmp_path / "again", small_recipe(epochs=6, keep="last"), few_digits)
    list(fit(again, few_digits, digits.test))
    same = (
        fingerprint(run.path)["weights.safetensors"]
        == fingerprint(again.path)["weights.safetensors"]
    )
    assert same == (best == 5)
    assert (run.path / "last.safetensors").exists() == (best != 5)
    for tensor in load_file(run.path / "weights.safetensors").values():
        assert tensor.isfinite().all()


def test_patience_ends_training(tmp_path: Path, few_digits: Dataset, digits: Splits) -> None:
    recipe = small_recipe(
        epochs=50, patience=2, validation=0.1, optimizer={"kind": "sgd", "lr": 1e-12}
    )
    run = start_run(tmp_path / "run", recipe, few_digits)
    list(fit(run, few_digits, digits.test))
    rows = (run.path / "metrics.jsonl").read_text().splitlines()
    assert len(rows) < 10


def test_other_classes_than_the_run_was_made_for(tmp_path: Path, few_digits: Dataset) -> None:
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    other = Dataset(
        name="other",
        split="train",
        images=np.array(few_digits.images),
        labels=few_digits.labels.copy(),
        classes=tuple("abcdefghij"),
    )
    with pytest.raises(InputError, match="give the data it was started with"):
        list(fit(run, other))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows lets everybody in")
def test_one_process_trains_a_run_at_a_time(tmp_path: Path, few_digits: Dataset) -> None:
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    rows = fit(run, few_digits)
    next(rows)
    kept = run.path / f".checkpoint.safetensors.{'0' * 8}.tmp"  # as if it were being written
    kept.write_bytes(b"")
    with pytest.raises(InputError, match=r"another process trains .*: wait for it, or stop it"):
        next(fit(run, few_digits, resume=True))
    assert kept.exists()
    list(rows)
    assert load_model(run) is not None


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, few_digits: Dataset) -> None:
    first = start_run(tmp_path / "first", small_recipe(), few_digits)
    list(fit(first, few_digits, checkpoint_seconds=0.0))
    second = start_run(tmp_path / "second", small_recipe(averaging=0.5), few_digits)
    second.checkpoint.write_bytes(first.checkpoint.read_bytes())
    with pytest.raises(InputError, match="does not fit the model: it lacks average/"):
        list(fit(second, few_digits, resume=True))


def test_max_steps_ends_in_the_midst_of_an_epoch_and_resumes(
    tmp_path: Path, few_digits: Dataset
) -> None:
    rows = train(tmp_path / "run", {"epochs": 3, "max_steps": 10}, few_digits)  # 7 an epoch
    assert (rows[-1].done, rows[-1].total, rows[-1].epochs) == (10, 10, 2)
    assert [row["epoch"] for row in read_metrics(open_run(tmp_path / "run"))] == [1, 2]
    run = start_run(tmp_path / "cut", small_recipe(epochs=3, max_steps=10), few_digits)
    while not (run.path / "weights.safetensors").exists():
        stop = StopRequest()
        stop.received = signal.SIGINT
        with contextlib.suppress(Interrupted):
            list(fit(run, few_digits, resume=True, stop=stop))
    assert fingerprint(run.path) == fingerprint(tmp_path / "run")


GROWING: dict[str, object] = {
    "model": {
        "name": "alexnet-cifar",
        "arguments": {"width": 4, "hidden": 8, "input_size": 32, "channels": 1},
    },
    "inputs": {"fit": "resize"},
    "growth": {"size": 16, "share": 0.5},
}


def test_smaller_pictures_come_first(tmp_path: Path, few_digits: Dataset) -> None:
    sizes: list[int] = []
    growing = small_recipe(**GROWING, kernels="off")  # no trial of whether a kernel is of use
    run = start_run(tmp_path / "run", growing, few_digits)

    def note(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].ndim == 4 and len(inputs[0]) > 1 and inputs[0].shape[1] == 1:
            sizes.append(inputs[0].shape[-1])

    handle = torch.nn.modules.module.register_module_forward_pre_hook(note)
    try:
        list(fit(run, few_digits))
    finally:
        handle.remove()
    steps = sizes[::2]  # the network and its first layer each see the pictures
    assert steps == [16] * 7 + [32] * 7
    again = start_run(tmp_path / "again", growing, few_digits)
    list(fit(again, few_digits))
    assert fingerprint(run.path) == fingerprint(again.path)


def test_a_network_that_cannot_take_smaller_pictures_says_so(
    tmp_path: Path, few_digits: Dataset
) -> None:
    changes = {"growth": {"size": 20, "share": 0.5}, "inputs": {"fit": "resize"}}
    with pytest.raises(InputError, match="the network cannot take pictures of 20 × 20"):
        train(tmp_path / "run", changes, few_digits)


@pytest.mark.parametrize(("asked", "kept"), [("auto", [1, 2, 3]), (True, [1, 2, 3]), (False, [])])
def test_the_weights_of_every_epoch(
    tmp_path: Path, few_digits: Dataset, asked: object, kept: list[int]
) -> None:
    """Small networks keep them: those of the last epoch are the run's own."""
    recipe = small_recipe(epochs=3, keep="last", keep_epochs=asked)
    run = start_run(tmp_path / "run", recipe, few_digits)
    list(fit(run, few_digits))
    assert run.epochs == kept
    found = [load_model(run, epoch_weights(epoch)).state_dict() for epoch in kept]
    final = load_model(run).state_dict()
    for key, value in final.items():
        assert not kept or torch.equal(found[-1][key], value)
    for one, other in itertools.pairwise(found):
        assert not torch.equal(one["c1.weight"], other["c1.weight"])


def test_large_networks_keep_their_epochs_only_when_asked(
    tmp_path: Path, few_digits: Dataset
) -> None:
    arguments = {"width": 24, "hidden": 64, "channels": 1, "dropout": 0.0}  # 1.9 MB
    model = {"name": "alexnet-cifar", "arguments": arguments}
    recipe = small_recipe(epochs=1, model=model, batch_size=100)
    run = start_run(tmp_path / "run", recipe, few_digits)
    list(fit(run, few_digits))
    assert run.weights.stat().st_size > 2**20
    assert run.epochs == []


def test_only_epochs_count_as_epochs(tmp_path: Path, few_digits: Dataset) -> None:
    run = start_run(tmp_path / "run", small_recipe(), few_digits)
    folder = run.path / "epochs"
    folder.mkdir()
    for name in ("10", "2", "0", "-1", "x", "1.5", "٣", "9" * 30):
        (folder / f"{name}.safetensors").write_bytes(b"")
    assert run.epochs == [2, 10]
