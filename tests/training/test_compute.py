"""Device, precision and order in memory: what may be chosen, what is, what the run keeps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from conftest import fingerprint, small_recipe, start_run
from convscope import models
from convscope.data.dataset import Dataset, Splits
from convscope.errors import InputError, Interrupted
from convscope.kernels import calls, library
from convscope.run import open_run
from convscope.training import choosing
from convscope.training.choosing import choose_compute
from convscope.training.compute import Compute, compute_from_json
from convscope.training.distributed import ALONE
from convscope.training.fit import fit
from convscope.training.measuring import compute_of
from convscope.training.recipe import ModelChoice, Recipe
from convscope.training.signals import StopRequest
from convscope.training.spectra import faster_by_fourier, use_fourier
from convscope.training.start import starting_network
from convscope.training.state import TrainingState

SMALL = {"width": 8, "hidden": 16, "input_size": 32}
AUTO: dict[str, object] = {
    "precision": "auto", "memory_format": "auto", "fourier": "auto", "kernels": "auto",
}  # fmt: skip


def recipe(**changes: object) -> Recipe:
    choice = ModelChoice(name="alexnet-cifar", arguments=SMALL)
    plan: dict[str, Any] = {"batch_size": 16, "kernels": "off", **changes}
    return Recipe(name="x", model=choice, **plan)


def test_a_recipe_that_leaves_no_choice_is_not_measured() -> None:
    found = choose_compute(recipe(threads=1), models.build("alexnet-cifar", SMALL), (3, 32, 32))
    assert (found.device, found.precision, found.memory_format) == ("cpu", "fp32", "channels_last")
    assert found.seconds == {}
    assert found.fourier == ()


def test_every_candidate_is_measured_and_the_fastest_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choosing, "cpu_features", lambda: ("avx512_bf16",))
    times = {"bf16 channels_last": 0.3, "fp32 channels_last": 0.2, "fp32 contiguous": 0.1}
    monkeypatch.setattr(choosing, "_time", lambda way, *_: times[way.name()])
    model = models.build("alexnet-cifar", SMALL)
    asked = recipe(precision="auto", memory_format="auto")
    found = choose_compute(asked, model, (3, 32, 32))
    assert found.name() == "fp32 contiguous"
    assert found.seconds == times
    assert "fp32 contiguous 0.100 s" in found.reason
    times["bf16 channels_last"] = 0.05
    assert choose_compute(asked, model, (3, 32, 32)).name() == "bf16 channels_last"
    times["bf16 channels_last"] = 0.095  # not clearly faster: the exact one is taken
    assert choose_compute(asked, model, (3, 32, 32)).name() == "fp32 contiguous"
    times |= {"bf16 channels_last": 0.3, "fp32 channels_last": 0.105}
    assert choose_compute(asked, model, (3, 32, 32)).name() == "fp32 channels_last"  # nearly equal
    forced = recipe(precision="fp32", memory_format="channels_last")
    assert choose_compute(forced, model, (3, 32, 32)).name() == "fp32 channels_last"


def test_bf16_is_no_candidate_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "cpu_features", lambda: ("avx2", "fma", "avx512f"))
    asked = recipe(precision="auto", memory_format="auto")
    found = choose_compute(asked, models.build("alexnet-cifar", SMALL), (3, 32, 32))
    assert set(found.seconds) == {"fp32 channels_last", "fp32 contiguous"}
    assert "no fast bf16" in found.reason


def test_a_measurement_leaves_the_network_and_the_generator_alone() -> None:
    model = models.build("alexnet-cifar", SMALL)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    choose_compute(recipe(**AUTO), model, (3, 32, 32))
    assert torch.equal(torch.rand(3), expected)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(
        InputError, match=r"device is cuda, which this machine lacks; it has: .*cpu"
    ):
        choose_compute(recipe(device="cuda"), models.build("alexnet-cifar", SMALL), (3, 32, 32))


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"device": "tpu"},
        {"threads": 0},
        {"threads": 10**9},
        {"precision": "fp8"},
        {"x": 1},
    ],
)
def test_a_damaged_record_is_refused(document: object) -> None:
    with pytest.raises(InputError, match="the run's compute cannot be used"):
        compute_from_json(document)


def test_spectra_are_only_for_layers_that_can() -> None:
    model = models.build("alexnet-cifar", SMALL)
    use_fourier(model, ["conv2"])
    assert [name for name, part in model.named_modules() if getattr(part, "fourier", 0)] == [
        "conv2"
    ]
    with pytest.raises(InputError, match="conv9"):
        use_fourier(model, ["conv9"])


def test_small_convolutions_are_not_even_timed() -> None:
    model = models.build("alexnet-cifar", SMALL)  # 24 × 48 kernels at most
    shape = (4, 3, 32, 32)
    assert faster_by_fourier(model, shape, torch.float32, torch.channels_last) == ()


STEPS: dict[str, object] = {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True}
MIXED: dict[str, object] = {
    "model": {"name": "alexnet-cifar", "arguments": SMALL | {"channels": 1}},
    "inputs": {"fit": "resize"},
    "augmentation": {"flip": True, "crop": 2, "cutout": 4},
    "optimizer": STEPS,
    "averaging": 0.9,
    "batch_size": 40,
    "fourier": ("conv4",),
}


@pytest.mark.parametrize(
    ("precision", "kind"), [("fp32", "sgd"), ("bf16", "sgd"), ("fp32", "muon"), ("bf16", "muon")]
)
def test_cut_at_every_step_and_resumed_it_ends_the_same(
    tmp_path: Path, few_digits: Dataset, digits: Splits, precision: str, kind: str
) -> None:
    """Weights and metrics equal the undisturbed run's, byte for byte, in either precision."""
    optimizer = {**STEPS, "kind": kind}
    asked = small_recipe(**{**MIXED, "precision": precision, "optimizer": optimizer})
    whole = start_run(tmp_path / "whole", asked, few_digits)
    list(fit(whole, few_digits, digits.test))
    expected = fingerprint(whole.path)
    run = start_run(tmp_path / "cut", asked, few_digits)
    cuts = 0
    while True:
        stop = StopRequest()
        stop.received = 2
        try:
            list(fit(run, few_digits, digits.test, resume=True, stop=stop))
            break
        except Interrupted:
            cuts += 1
    assert cuts == 10  # two epochs of five steps
    assert fingerprint(run.path) == expected


@pytest.mark.parametrize("kernels", ["on", "off"])
def test_kernels_compute_spectra_and_update_in_bf16(
    tmp_path: Path, few_digits: Dataset, kernels: str
) -> None:
    """Of the recipe that is cut and resumed above."""
    there = library.load()
    on = kernels == "on" and there is not None
    asked = small_recipe(**{**MIXED, "precision": "bf16", "kernels": kernels})
    run = start_run(tmp_path / "run", asked, few_digits)
    found = compute_of(run, asked)
    assert found.uses_norm_kernels is on
    assert found.spectra_kernels is (on and there is not None and there.multiplies_pairs)
    model = starting_network(run, asked, found, few_digits.images, ALONE)
    state = TrainingState(model, asked, found)
    inputs = torch.randn(8, 1, 32, 32).to(torch.bfloat16, memory_format=torch.channels_last)
    with calls.recording() as made:
        with found.autocast():
            state.network(inputs).float().square().sum().backward()
        state.update()
    used = {one.name for one in made}
    assert ("batch_norm_backward" in used) is ("sgd" in used) is on
    assert ("product_of_spectra" in used) is found.spectra_kernels


def test_two_ways_that_differ_little_are_measured_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[str] = []
    times = {"fp32 channels_last": [3.0, 2.0, 2.5], "fp32 kernels avx2": [2.2, 2.9, 1.97]}

    def seconds(way: Compute, *_: object) -> float:
        measured.append(way.name())
        return times[way.name()][measured.count(way.name()) - 1]

    monkeypatch.setattr(choosing, "_time", seconds)
    ways = Compute(), Compute(kernels="avx2")
    found = choosing._in_turns(*ways, nn.Identity(), (1, 1, 1, 1))
    assert found == {"fp32 channels_last": 3.0, "fp32 kernels avx2": 2.2}  # clear at once
    assert len(measured) == 2
    measured.clear()
    times["fp32 channels_last"][0] = 2.2
    found = choosing._in_turns(*ways, nn.Identity(), (1, 1, 1, 1))
    assert found == {"fp32 channels_last": 2.0, "fp32 kernels avx2": 1.97}
    assert measured == ["fp32 channels_last", "fp32 kernels avx2"] * 3


def test_the_recorded_choice_is_what_a_resumed_run_uses(
    tmp_path: Path, few_digits: Dataset
) -> None:
    plain = start_run(tmp_path / "plain", small_recipe(**MIXED), few_digits)
    list(fit(plain, few_digits))
    told = start_run(tmp_path / "told", small_recipe(**MIXED), few_digits)
    told = told.with_changes(compute=Compute(precision="bf16", threads=1).model_dump(mode="json"))
    list(fit(told, few_digits))
    assert fingerprint(plain.path) != fingerprint(told.path)
    assert open_run(told.path).document.compute["precision"] == "bf16"
