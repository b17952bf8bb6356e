"""Steps of one image by the kernel, against the same steps by torch."""

import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import fingerprint, small_recipe, start_run
from convscope.data.dataset import Dataset
from convscope.errors import Interrupted
from convscope.kernels import library
from convscope.run import build_model, read_metrics
from convscope.training import loop
from convscope.training.compute import Compute
from convscope.training.fit import fit
from convscope.training.optimizers import build_optimizer
from convscope.training.recipe import Recipe
from convscope.training.signals import StopRequest
from convscope.training.single_images import single_images

needs_kernels = pytest.mark.skipif(
    not library.available(), reason="the kernels are not compiled here: no C compiler"
)
LOSSES = {
    "Eq. 8": {"kind": "distance"},
    "Eq. 9": {"kind": "map", "j": 3.0},
    "softmax": {"kind": "cross-entropy"},
}


def paper(**changes: object) -> Recipe:
    """The paper's way, a learning rate for each of two passes, few images to measure on."""
    return small_recipe(
        **{
            "model": {"name": "lenet5-1998"},
            "inputs": {"normalisation": "lenet5-1998"},
            "batch_size": 1,
            "optimizer": {"kind": "sdlm", "lr": 2e-3, "mu": 1.68, "curvature_images": 20},
            "schedule": {"kind": "levels", "milestones": (1.3,), "levels": (0.4,)},
            "loss": LOSSES["Eq. 9"],
        }
        | changes
    )


@needs_kernels
@pytest.mark.parametrize("loss", LOSSES)
def test_400_steps_are_those_of_torch(
    loss: str, tmp_path: Path, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real digits, two passes, a rate that changes within one: to the rounding of float32."""
    recipe = paper(loss=LOSSES[loss])
    found = {}
    for way in ("off", *library.available()):
        monkeypatch.setenv(library.VARIABLE, way)
        run = start_run(tmp_path / way, recipe, few_digits)
        list(fit(run, few_digits))
        found[way] = load_file(run.path / "weights.safetensors"), read_metrics(run)
    weights, rows = found.pop("off")
    for name, start in build_model(run.document, seed=0).state_dict().items():
        moved = (weights[name] - start).abs().max()
        assert moved > 1e-3, f"{name} hardly moves: the test sees nothing"
        for kernel, _ in found.values():
            torch.testing.assert_close(kernel[name], weights[name], rtol=1e-4, atol=2e-5)
    for _, others in found.values():
        for ours, theirs in zip(others, rows, strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
            assert ours["train_accuracy"] == theirs["train_accuracy"]
            assert ours["learning_rate"] == theirs["learning_rate"]


@needs_kernels
def test_cut_after_every_call_and_resumed_it_ends_the_same(
    tmp_path: Path, few_digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = paper(augmentation={"shift": 1.5, "squeeze": 0.1, "distorted": 0.9})
    whole = start_run(tmp_path / "whole", recipe, few_digits)
    list(fit(whole, few_digits))
    monkeypatch.setattr(loop, "IMAGES_A_CALL", 70)
    run, cuts = start_run(tmp_path / "cut", recipe, few_digits), 0
    while True:
        stop = StopRequest()
        stop.received = signal.SIGINT
        try:
            list(fit(run, few_digits, resume=True, stop=stop))
            break
        except Interrupted:
            cuts += 1
    assert cuts == 6  # two passes of three calls
    assert fingerprint(run.path) == fingerprint(whole.path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch_size": 2},
        {"averaging": 0.9},
        {"kernels": "off"},
        {"optimizer": {"kind": "sgd", "lr": 0.1}},
        {"model": {"name": "lenet5"}},
        {"model": {"name": "lenet5-1998", "arguments": {"input_size": 40}}},
        {"model": {"name": "lenet5-1998", "arguments": {"channels": 3}}},
        {"model": {"name": "lenet5-1998", "arguments": {"activation": "tanh"}}},
        {"loss": {"label_smoothing": 0.1}},
    ],
    ids=str,
)
def test_all_else_is_left_to_torch(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the recipe itself, where there is no library."""
    if not changes:
        monkeypatch.setenv(library.VARIABLE, "off")
    recipe, weight = paper(**changes), torch.nn.Parameter(torch.zeros(2))
    optimizer = build_optimizer(recipe.optimizer, [weight])
    assert single_images(recipe, Compute(), torch.nn.Module(), optimizer) is None
