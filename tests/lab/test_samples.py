"""Images at hand and not at hand, and words for every layer of every network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from convscope.data.catalog import CATALOG
from convscope.data.download import cache_directory
from convscope.data.loading import load
from convscope.explain.tracing import trace
from convscope.lab.facts import describe_layers
from convscope.lab.samples import at_hand, choose, has_data, load_images, read_sample_name
from convscope.models.registry import build, list_models
from convscope.web.answers import Refusal
from made_runs import make_run


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVSCOPE_CACHE", str(tmp_path / "cache"))
    assert tmp_path in cache_directory().parents
    return cache_directory()


def nothing(_done: int, _total: int) -> None:
    return


def test_what_would_need_a_download_is_not_at_hand(empty_cache: Path, tmp_path: Path) -> None:
    for name, entry in CATALOG.items():
        assert at_hand(name) is not bool(entry.resources)
    assert not at_hand(str(tmp_path / "nowhere"))
    assert at_hand(str(tmp_path))
    assert not empty_cache.exists()


def test_a_damaged_download_is_not_fetched_again(empty_cache: Path, tmp_path: Path) -> None:
    """All its files are there by name, so it looks as if it were at hand; no socket is opened."""
    folder = empty_cache / "cifar10"
    folder.mkdir(parents=True)
    for resource in CATALOG["cifar10"].resources:
        (folder / resource.name).write_bytes(b"half a file")
    run = make_run(tmp_path / "run", source="cifar10")
    assert has_data(run)
    with pytest.raises(Refusal, match="the images of cifar10 are not on this machine") as refused:
        load_images(run, nothing)
    assert refused.value.status == 409


@pytest.mark.usefixtures("empty_cache")
def test_in_place_of_mnist_stand_other_real_digits(tmp_path: Path) -> None:
    """Under a name of their own, so that nothing is measured with them."""
    run = make_run(tmp_path / "run", source="mnist")
    assert not has_data(run)
    images = load_images(run, nothing)
    assert list(images) == ["sample"]
    assert np.array_equal(images["sample"].images, load("mnist-sample").test.images)


def test_the_first_images_of_each_class_in_turn() -> None:
    test = load("mnist-sample").test
    chosen = choose(test, 25)
    assert [int(test.labels[i]) for i in chosen] == [*range(10), *range(10), *range(5)]
    assert chosen[0] == int(np.flatnonzero(test.labels == 0)[0])
    assert chosen[10] == int(np.flatnonzero(test.labels == 0)[1])
    assert sorted(choose(test, 5000)) == list(range(1000))


def test_the_name_of_an_image() -> None:
    assert read_sample_name("test:12") == ("test", 12)


SMALL = {"lenet5", "lenet5-1998", "lenet5-keras", "alexnet-cifar"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(m.name, marks=[] if m.name in SMALL else pytest.mark.slow)
        for m in list_models()
    ],
)
def test_every_layer_of_every_network_is_described(name: str) -> None:
    model = build(name).eval()
    layers = describe_layers(trace(model, torch.zeros(model.input_shape)))
    assert layers
    for layer in layers:
        assert layer["title"]
        assert layer["about"] or layer["kind"] in ("flatten", "other"), layer["name"]
        assert layer["receptive"] is not None
        if layer["kind"] in ("convolution", "pooling"):
            assert layer["formula"]
            assert layer["spec"]["kernel"]
    assert sum(layer["parameters"] for layer in layers) == sum(
        parameter.numel() for parameter in model.parameters()
    )
