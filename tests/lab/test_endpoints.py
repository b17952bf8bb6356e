"""Every endpoint over HTTP against torch, called directly on the same weights."""

import io
import json
import math
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import nn

from convscope.data.batches import to_input
from convscope.data.dataset import Dataset
from convscope.data.images import decode
from convscope.data.loading import load
from convscope.data.preprocess import Preprocessing, resize
from convscope.lab.centring import centre_drawing
from convscope.models.registry import build
from convscope.run import load_model, open_run
from lab_server import Live, forward, read_frame, sample, serve_digits, serving, tensor
from made_runs import MNIST, make_run

COLOUR = Preprocessing(
    channels=3, size=(80, 80), aspect="cover", crop=(70, 70), mean=(0.5,) * 3, std=(0.25,) * 3
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    yield from serve_digits(tmp_path_factory)


@pytest.fixture(scope="module")
def test_digits() -> Dataset:
    return load("mnist-sample").test


@pytest.fixture(scope="module")
def network(lab: Live) -> nn.Module:
    """The run's network, read from its directory by itself."""
    return load_model(open_run(lab.server.load().runs.root / "digits"))


def scores(network: nn.Module, picture: npt.NDArray[np.uint8], how: Preprocessing = MNIST) -> Any:
    with torch.no_grad():
        return network(to_input(torch.from_numpy(np.array(picture)[None]), how))[0]


# ── the page ────────────────────────────────────────────────────────────────────────────────


def test_the_page_and_all_it_names_come_from_here(lab: Live) -> None:
    """Every address in the page is served, with a type that `nosniff` lets the browser use."""
    page = lab.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert any(address.endswith(".js") for address in named)
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
    for address in named:
        assert not address.startswith(("http", "//"))
        answer = lab.client.get(address)
        assert answer.status_code == 200, address
        kind = kinds[address[address.rindex(".") :]]
        assert answer.headers["content-type"].startswith(kind)
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", page.text)


# ── runs ────────────────────────────────────────────────────────────────────────────────────


def test_the_runs_are_listed(lab: Live) -> None:
    found = lab.client.get("/api/runs").json()
    assert found["current"] == "digits"
    (entry,) = (one for one in found["runs"] if one["id"] == "digits")
    assert entry["model"] == "lenet5"
    assert entry["test_accuracy"] is None
    assert entry["ready"] is True


def test_a_run_is_described_layer_by_layer(lab: Live, network: nn.Module) -> None:
    found = lab.client.get("/api/runs/digits").json()
    assert found["classes"] == list("0123456789")
    assert found["input"] == {"channels": 1, "height": 32, "width": 32}
    assert found["replaceable"] == ["pool", "padding", "activation"]
    assert found["has_data"] is True
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert list(layers)[:4] == ["c1", "c1_activation", "s2", "c3"]
    assert sum(layer["parameters"] for layer in layers.values()) == sum(
        p.numel() for p in network.parameters()
    )
    # LeNet-5's receptive fields: 5, 6, 14, 16, 32 (LeCun et al. 1998, figure 2).
    fields = {name: layers[name]["receptive"]["size"] for name in ("c1", "s2", "c3", "s4", "c5")}
    assert fields == {"c1": [5, 5], "s2": [6, 6], "c3": [14, 14], "s4": [16, 16], "c5": [32, 32]}
    assert layers["c3"]["receptive"]["jump"] == [2, 2]
    assert layers["c1"]["shape"] == [6, 28, 28]
    assert layers["c1"]["multiply_adds"] == 28 * 28 * 6 * 25
    assert "⌊(32 + 0 − 5)/1⌋ + 1 = 28" in layers["c1"]["formula"]
    assert "section" in layers["s2"]["source"]
    assert layers["c1_activation"]["spec"] == {"layer": "activation", "kind": "tanh"}


# ── a picture through the network ───────────────────────────────────────────────────────────


def test_every_activation_equals_torch(lab: Live, network: nn.Module, test_digits: Dataset) -> None:
    digit = test_digits.images[7]
    header, values = forward(lab, digit.tobytes(), height=28, width=28, channels=1)
    x = to_input(torch.from_numpy(np.array(digit)[None]), MNIST)
    assert np.array_equal(tensor(header["input"], values), x[0].numpy())
    kept: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda _m, _i, output, name=name: kept.__setitem__(name, output[0])
        )
        for name, module in network.named_modules()
        if name
    ]
    with torch.no_grad():
        expected = network(x)[0]
    for handle in handles:
        handle.remove()
    assert [layer["name"] for layer in header["layers"]] == list(kept)
    for layer in header["layers"]:
        found = tensor(layer, values)
        assert np.allclose(found, kept[layer["name"]].numpy(), rtol=1e-5, atol=1e-6)
        assert layer["min"] == found.min()
        assert layer["max"] == found.max()
    assert header["scores"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert header["probabilities"] == pytest.approx(
        torch.softmax(expected.double(), 0).tolist(), abs=1e-6
    )
    best = int(expected.argmax())
    assert (header["top"][0]["index"], header["top"][0]["class"]) == (best, str(best))
    assert header["truth"] is None
    assert header["milliseconds"] > 0
    assert len(values) == sum(
        math.prod(layer["shape"]) for layer in [header["input"], *header["layers"]]
    )


def test_an_image_of_the_data_set_comes_with_its_truth(
    lab: Live, network: nn.Module, test_digits: Dataset
) -> None:
    header, _ = forward(lab, sample="test:31")
    assert header["truth_index"] == test_digits.labels[31]
    assert header["truth"] == str(test_digits.labels[31])
    assert header["scores"] == pytest.approx(scores(network, test_digits.images[31]).tolist())


def test_a_drawing_is_inverted_and_centred(lab: Live, network: nn.Module) -> None:
    rng = np.random.default_rng(5)
    drawing = np.zeros((120, 90, 1), dtype=np.uint8)
    drawing[5:60, 40:80] = rng.integers(100, 256, (55, 40, 1), dtype=np.uint8)
    picture = centre_drawing(drawing[:, :, 0])[None]
    size: dict[str, Any] = {"height": 120, "width": 90, "channels": 1}
    expected = scores(network, picture).tolist()
    header, values = forward(lab, drawing.tobytes(), **size, centre=1)
    assert header["scores"] == pytest.approx(expected, abs=1e-6)
    shown = tensor(header["input"], values)[0, 2:30, 2:30]
    assert np.allclose((shown * 0.3081 + 0.1307) * 255, picture[0], atol=1e-3)
    dark = (255 - drawing).tobytes()
    assert forward(lab, dark, **size, centre=1, invert=1)[0]["scores"] == header["scores"]
    plain = scores(network, resize(drawing, MNIST)).tolist()
    assert forward(lab, drawing.tobytes(), **size)[0]["scores"] == pytest.approx(plain, abs=1e-6)
    assert plain != pytest.approx(expected, abs=1e-3)


def test_colour_pixels_become_grey_for_a_grey_network(lab: Live, network: nn.Module) -> None:
    rng = np.random.default_rng(6)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    header, _ = forward(lab, pixels.tobytes(), height=40, width=50, channels=3)
    assert header["scores"] == pytest.approx(scores(network, resize(pixels, MNIST)).tolist())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP"])
def test_a_file_is_read_as_everywhere(lab: Live, network: nn.Module, kind: str) -> None:
    rng = np.random.default_rng(7)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (33, 47, 3), dtype=np.uint8)).save(file, format=kind)
    answer = lab.client.post(
        "/api/runs/digits/forward",
        content=file.getvalue(),
        headers={"Content-Type": f"image/{kind.lower()}"},
    )
    header, _ = read_frame(answer.content)
    expected = scores(network, resize(decode(file.getvalue()), MNIST))
    assert header["scores"] == pytest.approx(expected.tolist())


def test_only_the_strongest_maps_on_request(lab: Live) -> None:
    whole, values = forward(lab, sample="test:3")
    few, some = forward(lab, sample="test:3", limit=4)
    for full, part in zip(whole["layers"], few["layers"], strict=True):
        every, found = tensor(full, values), tensor(part, some)
        if every.ndim == 3 and len(every) > 4:
            strength = [float(np.abs(one).mean()) for one in every]
            order = sorted(range(len(every)), key=lambda k: (-strength[k], k))[:4]
            assert sorted(part["maps"]) == sorted(order)
            assert np.array_equal(found, every[part["maps"]])
            assert part["of"] == len(every)
        else:
            assert np.array_equal(found, every)
            assert "maps" not in part
        assert (part["min"], part["max"]) == (full["min"], full["max"])


def test_the_same_picture_has_the_same_key(lab: Live) -> None:
    assert sample(lab, 5) == sample(lab, 5)
    assert sample(lab, 5) != sample(lab, 6)


def test_maps_of_one_layer(lab: Live) -> None:
    header, values = forward(lab, sample="test:9")
    entry = next(layer for layer in header["layers"] if layer["name"] == "c3")
    answer = lab.client.get(
        "/api/runs/digits/layer/c3", params={"image": header["image"], "from": 5, "count": 4}
    )
    part, some = read_frame(answer.content)
    assert (part["from"], part["total"]) == (5, 16)
    assert np.array_equal(tensor(part["tensors"][0], some), tensor(entry, values)[5:9])


def test_weights_of_one_layer(lab: Live, network: nn.Module) -> None:
    for name, start, count in (("c1", 0, 64), ("c3", 10, 3), ("f6", 80, 100)):
        query = {"from": start, "count": count}
        answer = lab.client.get(f"/api/runs/digits/weights/{name}", params=query)
        header, values = read_frame(answer.content)
        module = network.get_submodule(name)
        expected = module.get_parameter("weight").detach().numpy()
        assert np.array_equal(tensor(header["tensors"][0], values), expected[start : start + count])
        assert header["total"] == len(expected)
        bias = module.get_parameter("bias").detach()[start : start + count]
        assert header["bias"] == pytest.approx(bias.tolist())


@pytest.mark.parametrize(
    ("layer", "unit"),
    [("c1", "2,3,4"), ("c3", "15,9,0"), ("s2", "1,5,6"), ("f6", "83"), ("output", "4")],
)
def test_a_unit_adds_up_to_what_torch_computed(lab: Live, layer: str, unit: str) -> None:
    header, values = forward(lab, sample="test:11")
    entry = next(one for one in header["layers"] if one["name"] == layer)
    shown = tensor(entry, values)[tuple(map(int, unit.split(",")))]
    query = {"image": header["image"], "layer": layer, "unit": unit}
    found = lab.client.get("/api/runs/digits/unit", params=query).json()
    assert found["value"] == pytest.approx(float(shown), abs=1e-6)
    assert found["unit"] == [int(part) for part in unit.split(",")]
    if found["maps"] and found["bias"] is not None:
        products = sum(sum(map(sum, one["products"])) for one in found["maps"])
        if "shown" not in found:
            assert products + found["bias"] == pytest.approx(found["value"], rel=1e-6, abs=1e-6)


def test_the_field_of_a_unit(lab: Live) -> None:
    """C3's unit (2, 3): 14 × 14 pixels, at 2 pixels a step."""
    query: dict[str, Any] = {"layer": "c3", "row": 2, "column": 3}
    found = lab.client.get("/api/runs/digits/field", params=query).json()
    assert (found["top"], found["left"], found["height"], found["width"]) == (4, 6, 14, 14)


def test_saliency_is_the_gradient(lab: Live, network: nn.Module, test_digits: Dataset) -> None:
    query: dict[str, Any] = {"image": sample(lab, 12), "method": "saliency", "class": 3}
    answer = lab.client.get("/api/runs/digits/attribution", params=query)
    header, values = read_frame(answer.content)
    x = to_input(torch.from_numpy(np.array(test_digits.images[12])[None]), MNIST).requires_grad_()
    network(x)[0, 3].backward()
    assert x.grad is not None
    found = tensor(header["tensors"][0], values)
    assert np.allclose(found, x.grad[0].abs().numpy(), rtol=1e-4, atol=1e-6)
    network.zero_grad(set_to_none=True)


@pytest.mark.parametrize("method", ["integrated-gradients", "occlusion", "grad-cam"])
def test_the_other_attributions_answer(lab: Live, method: str) -> None:
    query: dict[str, Any] = {"image": sample(lab, 12), "method": method, "class": 3}
    answer = lab.client.get("/api/runs/digits/attribution", params=query)
    header, _ = read_frame(answer.content)
    assert header["tensors"][0]["shape"][-2:] == [32, 32]


# ── the data set ────────────────────────────────────────────────────────────────────────────


def patiently(lab: Live, path: str, **query: Any) -> Any:
    """The answer, asked for until it is there."""
    for _ in range(60):
        answer = lab.client.get(path, params=query)
        if answer.status_code != 503:
            assert answer.status_code == 200, answer.text
            return answer.json()
        assert set(answer.json()) == {"error", "done", "total"}
        time.sleep(0.2)
    raise AssertionError("it never came")


def test_the_confusion_matrix_and_the_images_behind_it(
    lab: Live, network: nn.Module, test_digits: Dataset
) -> None:
    x = to_input(torch.from_numpy(np.array(test_digits.images)), MNIST)
    with torch.no_grad():
        logits = network(x).double()
    predicted = logits.argmax(1).numpy()
    loss = nn.functional.cross_entropy(logits, torch.tensor(test_digits.labels), reduction="none")
    found = patiently(lab, "/api/runs/digits/mistakes")
    expected = np.zeros((10, 10), dtype=int)
    for true, guess in zip(test_digits.labels, predicted, strict=True):
        expected[true, guess] += 1
    assert found["matrix"] == expected.tolist()
    assert found["n"] == 1000
    assert found["accuracy"] == (predicted == test_digits.labels).mean()
    assert sum(one["count"] for one in found["calibration"]) == 1000

    true, guess = np.unravel_index(np.argmax(expected - np.diag(np.diag(expected))), (10, 10))
    cell = patiently(
        lab, "/api/runs/digits/images", truth=int(true), predicted=int(guess), count=200
    )
    assert cell["total"] == expected[true, guess]
    mine = np.flatnonzero((test_digits.labels == true) & (predicted == guess))
    worst = sorted(mine.tolist(), key=lambda i: -float(loss[i]))
    assert [one["index"] for one in cell["images"]] == worst[:200]
    assert cell["images"][0]["loss"] == pytest.approx(float(loss[worst[0]]), rel=1e-6)
    assert cell["images"][0]["predicted"] == str(guess)
    every = patiently(lab, "/api/runs/digits/images", order="confidence", **{"from": 2, "count": 3})
    assert every["total"] == int((predicted != test_digits.labels).sum())
    assert len(every["images"]) == 3
    sure = [one["probability"] for one in every["images"]]
    assert sure == sorted(sure, reverse=True)


def test_images_come_as_they_are(lab: Live, test_digits: Dataset) -> None:
    answer = lab.client.get("/api/runs/digits/image/test/42.png")
    assert answer.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert np.array_equal(shown, test_digits.images[42, 0])


def test_samples_show_every_class(lab: Live, test_digits: Dataset) -> None:
    found = lab.client.get("/api/runs/digits/samples", params={"count": 20}).json()
    assert [one["class_index"] for one in found["samples"]] == [*range(10), *range(10)]
    for one in found["samples"]:
        assert test_digits.labels[one["index"]] == one["class_index"]


def test_the_nearest_digits_by_definition(lab: Live, network: nn.Module) -> None:
    """A training image is its own nearest, and the order is that of all distances."""
    train = load("mnist-sample").train
    key = forward(lab, sample="train:100")[0]["image"]
    found = patiently(lab, "/api/runs/digits/neighbours", image=key, n=5)["neighbours"]
    assert (found[0]["split"], found[0]["index"]) == ("train", 100)
    assert found[0]["distance"] == pytest.approx(0, abs=1e-4)
    features: list[torch.Tensor] = []
    handle = network.get_submodule("output").register_forward_pre_hook(
        lambda _m, inputs: features.append(inputs[0])
    )
    with torch.no_grad():
        network(to_input(torch.from_numpy(np.array(train.images)), MNIST))
    handle.remove()
    distances = (features[0].double() - features[0][100].double()).norm(dim=1)
    assert [one["distance"] for one in found] == pytest.approx(
        sorted(distances.tolist())[:5], abs=1e-4
    )
    assert all(int(one["class"]) == train.labels[one["index"]] for one in found)


# ── what if ─────────────────────────────────────────────────────────────────────────────────


def what_if(lab: Live, **body: Any) -> Any:
    return lab.client.post("/api/runs/digits/what-if", json=body)


def test_a_filter_switched_off(lab: Live, network: nn.Module, test_digits: Dataset) -> None:
    """The same as its kernel and bias set to zero: its sum, before the activation, is 0."""
    found = what_if(lab, image=sample(lab, 8), off={"c1": [0, 4]}, measure=True).json()
    changed = build("lenet5")
    changed.load_state_dict(network.state_dict())
    with torch.no_grad():
        for name in ("weight", "bias"):
            changed.get_submodule("c1").get_parameter(name)[[0, 4]] = 0
    changed.eval()
    before, after = (scores(net, test_digits.images[8]).tolist() for net in (network, changed))
    assert found["before"]["scores"] == pytest.approx(before, abs=1e-5)
    assert found["scores"] == pytest.approx(after, abs=1e-5)
    assert before != pytest.approx(after, abs=1e-3)
    x = to_input(torch.from_numpy(np.array(test_digits.images)), MNIST)
    labels = torch.tensor(test_digits.labels)
    with torch.no_grad():
        right = [float((net(x).argmax(1) == labels).double().mean()) for net in (network, changed)]
    assert found["accuracy"] == {"before": right[0], "after": right[1], "n": 1000}
    again, _ = forward(lab, sample="test:8")
    assert again["scores"] == pytest.approx(before, abs=1e-5)  # nothing stays switched off


def test_another_pooling_with_the_same_weights(
    lab: Live, network: nn.Module, test_digits: Dataset
) -> None:
    spec = {"layer": "pool", "kind": "average"}
    found = what_if(lab, image=sample(lab, 8), replace={"pool": spec}).json()
    changed = build("lenet5", {"pool": spec})
    changed.load_state_dict(network.state_dict())
    expected = scores(changed.eval(), test_digits.images[8])
    assert found["scores"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert found["accuracy"] is None


def test_without_a_picture_only_the_accuracy(lab: Live) -> None:
    found = what_if(lab, image=None, off={"f6": [1]}, measure=True).json()
    assert found["scores"] is None
    assert found["before"]["top"] is None
    assert found["accuracy"]["n"] == 1000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"replace": {"padding": {"layer": "pad", "kind": "same"}}}, "c5"),
        ({"replace": {"pool": {"layer": "pool", "kind": "most"}}}, "unknown pooling 'most'"),
        ({"replace": {"classes": 3}}, "unknown replaceable setting 'classes'"),
        ({"replace": [1]}, "must be an object"),
        ({"off": {"c9": [0]}}, "unknown layer 'c9'"),
        ({"off": {"c1": [6]}}, "map 6 of layer 'c1'"),
        ({"off": {"c1": [-1]}}, "map -1"),
        ({"off": {"c1": "all"}}, "lists of maps"),
        ({"off": [1]}, "lists of maps"),
    ],
)
def test_what_does_not_fit_is_said_in_words(lab: Live, body: dict[str, Any], words: str) -> None:
    answer = what_if(lab, image=sample(lab, 8), **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


# ── benches, lists ──────────────────────────────────────────────────────────────────────────


def test_the_benches_answer(lab: Live) -> None:
    body = {"values": [[1, 5], [3, 2]], "kind": "max", "size": 2, "stride": 2, "padding": 1}
    found = lab.client.post("/api/bench/pool", json=body).json()
    assert found["output"] == [[1, 5], [3, 2]]
    assert found["padded"][0] == [None] * 4
    body = {"values": [[1, 5], [3, 2]], "border": "full", "mode": "circular", "kernel": [[1, 1]]}
    found = lab.client.post("/api/bench/pad", json=body).json()
    assert found["padded"] == [[5, 1, 5, 1], [2, 3, 2, 3]]
    assert found["output"] == [[6, 6, 6], [5, 5, 5]]


def test_recipes_and_data_sets_are_listed(lab: Live) -> None:
    recipes = {one["name"] for one in lab.client.get("/api/recipes").json()["recipes"]}
    assert {"lenet5", "lenet5-1998", "alexnet-2012"} <= recipes
    data = {one["name"]: one for one in lab.client.get("/api/datasets").json()["datasets"]}
    assert data["mnist-sample"]["available"] is True
    assert data["mnist-sample"]["description"]


# ── other networks ──────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Networks of other kinds: RBF outputs and a table, three channels and many maps."""
    root = tmp_path_factory.mktemp("zoo") / "runs"
    make_run(root / "published", model="lenet5-1998")
    make_run(
        root / "colour",
        model="alexnet-bn",
        arguments={"input_size": 70},
        preprocessing=COLOUR,
        classes=("cat", "dog", "owl"),
        source="/nowhere",
    )
    with serving(root) as live:
        yield live


def test_the_network_of_1998(zoo: Live) -> None:
    network = load_model(open_run(zoo.server.load().runs.root / "published"))
    digit = load("mnist-sample").test.images[4]
    header, _ = forward(zoo, digit.tobytes(), "published", height=28, width=28, channels=1)
    assert header["scores"] == pytest.approx(scores(network, digit).tolist(), rel=1e-5)
    found = zoo.client.get("/api/runs/published").json()
    kinds = {layer["name"]: layer["kind"] for layer in found["layers"]}
    assert (kinds["s2"], kinds["output"]) == ("subsampling", "rbf")
    assert sum(layer["parameters"] for layer in found["layers"]) == 60_000
    answer = zoo.client.get("/api/runs/published/weights/c3")
    weights, values = read_frame(answer.content)
    assert weights["table"][0] == [0, 1, 2]
    kernels = tensor(weights["tensors"][0], values)
    assert kernels.shape == (16, 6, 5, 5)
    assert not kernels[0, 3:].any()
    codes, _ = read_frame(zoo.client.get("/api/runs/published/weights/output").content)
    assert codes["tensors"][0]["shape"] == [10, 84]


def test_three_channels_and_hundreds_of_maps(zoo: Live) -> None:
    network = load_model(open_run(zoo.server.load().runs.root / "colour"))
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (100, 140, 3), dtype=np.uint8)
    header, values = forward(
        zoo, pixels.tobytes(), "colour", height=100, width=140, channels=3, limit=6
    )
    picture = resize(pixels, COLOUR)
    assert header["scores"] == pytest.approx(
        scores(network, picture, COLOUR).tolist(), rel=1e-4, abs=1e-5
    )
    assert tensor(header["input"], values).shape == (3, 70, 70)
    assert header["top"][0]["class"] in ("cat", "dog", "owl")
    wide = next(layer for layer in header["layers"] if layer["name"] == "conv3")
    assert wide["of"] > 100
    assert wide["shape"][0] == 6


def test_centring_is_for_one_channel(zoo: Live) -> None:
    answer = zoo.client.post(
        "/api/runs/colour/forward?height=1&width=1&channels=3&centre=1", content=b"abc"
    )
    assert answer.status_code == 400
    assert "centring is for networks with one channel" in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["mistakes", "images", "samples", "image/test/0.png", "neighbours"]
)
def test_without_the_data_it_says_so(zoo: Live, path: str) -> None:
    assert zoo.client.get("/api/runs/colour").json()["has_data"] is False
    key = forward(zoo, b"abc", "colour", height=1, width=1, channels=3)[0]["image"]
    answer = zoo.client.get(f"/api/runs/colour/{path}", params={"image": key})
    assert answer.status_code == 409
    assert answer.json()["error"] == "the images of /nowhere are not on this machine"


# ── many at once ────────────────────────────────────────────────────────────────────────────


def test_ten_clients_draw_at_once(lab: Live, network: nn.Module, test_digits: Dataset) -> None:
    """Each gets the answer to its own picture, and the page stays quick meanwhile."""
    expected = [scores(network, test_digits.images[k]).tolist() for k in range(10)]
    waits: list[float] = []
    done = threading.Event()

    def look() -> None:
        with httpx.Client(base_url=lab.url, trust_env=False) as client:
            while not done.is_set():
                started = time.perf_counter()
                assert client.get("/api/train").status_code == 200
                waits.append(time.perf_counter() - started)

    def draw(k: int) -> None:
        digit = test_digits.images[k].tobytes()
        with httpx.Client(base_url=lab.url, trust_env=False, timeout=60) as client:
            for _ in range(15):
                answer = client.post("/api/runs/digits/forward", params=SIZE, content=digit)
                header, values = read_frame(answer.content)
                assert header["scores"] == pytest.approx(expected[k], abs=1e-5)
                assert np.allclose(tensor(header["layers"][-1], values), expected[k], atol=1e-5)

    watcher = threading.Thread(target=look)
    watcher.start()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(draw, range(10)))
    done.set()
    watcher.join()
    assert len(waits) > 5
    assert float(np.median(waits)) < 0.5


SIZE: dict[str, Any] = {"height": 28, "width": 28, "channels": 1}


def test_the_answers_are_valid_for_the_latest_pictures_only(lab: Live) -> None:
    first = forward(lab, bytes([1]) * 784, **SIZE)[0]["image"]
    for k in range(2, 66):
        forward(lab, bytes([k]) * 784, **SIZE)
    query = {"image": first, "layer": "c1", "unit": "0,0,0"}
    answer = lab.client.get("/api/runs/digits/unit", params=query)
    assert answer.status_code == 404
    assert "draw or choose it again" in answer.json()["error"]


def test_every_json_answer_is_ascii_and_finite(lab: Live) -> None:
    for path in ("/api/runs", "/api/runs/digits", "/api/recipes", "/api/datasets"):
        body = lab.client.get(path).content
        body.decode("ascii")
        json.loads(body, parse_constant=pytest.fail)
