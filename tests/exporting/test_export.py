"""From a run to a file that answers as the run does: every model, its preprocessing, its card."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx_graphs import Layers, document, run
from PIL import Image
from torch import nn

import convscope
from convscope import models
from convscope.data.dataset import Splits
from convscope.data.preprocess import Preprocessing, normalise
from convscope.errors import ConvscopeError, InputError
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.metrics import mcnemar
from convscope.exporting import onnx as exporting
from convscope.exporting import quantising
from convscope.exporting.card import render_card
from convscope.exporting.network import to_graph
from convscope.exporting.verifying import compare, pictures
from convscope.onnx_file.check import check_file, check_graph
from convscope.onnx_file.document import KEY
from convscope.onnx_file.graph import Node
from convscope.predictor import EXAMPLE
from convscope.predictors.of_onnx import Session
from convscope.run import load_model, open_run
from hostile_names import NAMES

SMALL: dict[str, dict[str, Any]] = {
    # Large networks at the least size that leaves every layer something to do.
    "alexnet-2012": {"input_size": 67, "classes": 7},
    "alexnet-bn": {"input_size": 67, "classes": 7},
    "alexnet-owt": {"input_size": 67, "classes": 7},
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((model.name, SMALL.get(model.name, {})) for model in models.list_models()),
    ("alexnet-2012", {**SMALL["alexnet-2012"], "variant": "code"}),
    ("alexnet-cifar", {"hidden_norm": True, "width": 8, "hidden": 16, "channels": 1}),
    ("lenet5", {"c3": "table", "pool": {"layer": "pool", "kind": "stochastic"}}),
    ("lenet5", {"padding": {"layer": "pad", "kind": "same", "mode": "circular"}, "channels": 3}),
]


def shaken(name: str, arguments: dict[str, Any]) -> models.Classifier:
    """A network whose batch statistics are not those of a new one."""
    model = models.build(name, arguments, seed=1).eval()
    generator = np.random.default_rng(0)
    for key, tensor in model.state_dict().items():
        if "running" in key:
            tensor.copy_(tensor.new_tensor(generator.uniform(0.5, 1.5, tensor.shape)))
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments"), VARIANTS, ids=lambda value: str(value)[:60])
def test_every_model_answers_alike_in_every_batch(name: str, arguments: dict[str, Any]) -> None:
    model = shaken(name, arguments)
    channels, height, width = model.input_shape
    how = Preprocessing(
        channels=3 if channels == 3 else 1,
        size=(height, width),
        mean=(0.4,) * channels,
        std=(0.3,) * channels,
    )
    graph = to_graph(model, how, model.classes)
    check_graph(graph, document(how, model.classes))
    session = Session(graph, name)
    assert compare(session, model, how, "pixels", 64) < 1e-5


HOWS = [
    Preprocessing(channels=1, size=(20, 30), mean=(0.2,), std=(0.4,)),
    Preprocessing(channels=1, size=(28, 28), padding=(2, 3, 0, 1), fill=37, mean=(0.1,), std=(2,)),
    Preprocessing(
        channels=3, size=(41, 30), crop=(21, 27), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7)
    ),
    Preprocessing(
        channels=3,
        size=(41, 30),
        crop=(21, 27),
        resize=(30, 11),
        padding=(1, 0, 2, 0),
        fill=255,
        mean=(0.1, 0.2, 0.3),
        std=(0.5, 0.6, 0.7),
    ),
]


@pytest.mark.parametrize("how", HOWS, ids=lambda how: f"{how.size}-{how.crop}-{how.resize}")
def test_the_preprocessing_inside_is_that_of_everywhere(how: Preprocessing) -> None:
    """A network that gives back what it takes: the same bits, where nothing is resampled."""
    scores = int(np.prod(how.input_shape))
    graph = to_graph(Layers(nn.Dropout()), how, scores)
    images = pictures(5, how)
    _, found = run(graph, pixels=images)
    expected = normalise(images, how).reshape(5, -1)
    if how.resize is None:
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example run's network, as a file."""
    path = tmp_path_factory.mktemp("exported") / "digits.onnx"
    found = convscope.export(EXAMPLE, out=path, licence="CC0")
    assert found.path == path
    assert found.card == path.with_name("README.md")
    assert found.bytes == path.stat().st_size
    assert found.difference < 1e-5
    return path


def test_the_file_says_what_it_is(exported: Path) -> None:
    """Read by ONNX' own library, not ours."""
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "convscope"
    assert [value.name for value in model.graph.input] == ["pixels"]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in shape] == ["N", 1, 28, 28]
    facts = json.loads({entry.key: entry.value for entry in model.metadata_props}[KEY])
    known = open_run(EXAMPLE).document
    assert facts["classes"] == list(known.classes)
    assert Preprocessing.model_validate(facts["preprocessing"]) == known.preprocessing
    assert facts["licence"] == "CC0"
    assert facts["data"]["licence"] == "CC BY-SA 3.0"
    results = json.loads((EXAMPLE / "results.json").read_bytes())
    assert facts["accuracy"]["accuracy"] == results["accuracy"]
    assert facts["accuracy"]["interval"] == results["accuracy_interval"]
    assert facts["recipe"]["epochs"] == known.recipe["epochs"] == 40


def test_it_answers_as_the_run_does(exported: Path, digits: Splits) -> None:
    images = np.array(digits.test.images[:64])
    expected = np.exp(
        log_probabilities(load_model(EXAMPLE), images, open_run(EXAMPLE).document.preprocessing)
    )
    session = onnxruntime.InferenceSession(exported)
    (found,) = session.run(["probabilities"], {"pixels": images})
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("preprocessing", ["graph", "metadata"])
def test_the_card_s_program_needs_no_convscope(
    preprocessing: str, digits: Splits, tmp_path: Path
) -> None:
    path = tmp_path / "digits.onnx"
    convscope.export(EXAMPLE, out=path, preprocessing=preprocessing)
    card = (tmp_path / "README.md").read_text("utf-8")
    program = card.split("```python\n")[1].split("```")[0]
    assert "convscope" not in program
    Image.fromarray(digits.test.images[3, 0]).save(tmp_path / "picture.png")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    printed = [float(word) for word in done.stdout.replace("[", " ").replace("]", " ").split()]
    (expected,) = convscope.predict(path, [tmp_path / "picture.png"], top=10)
    by_name = {guess.name: guess.probability for guess in expected.guesses}
    assert printed == pytest.approx([by_name[str(digit)] for digit in range(10)], abs=1e-4)


def test_eight_bits_are_measured_beside_float32(digits: Splits, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    before = sum(map(len, exporting.export_onnx(open_run(EXAMPLE), now="", version="").pieces))
    made = exporting.export_onnx(
        open_run(EXAMPLE), now="", version="", load=lambda: (digits.train, digits.test)
    )
    path.write_bytes(b"".join(made.pieces))
    checked = check_file(path.read_bytes(), "small")
    of = checked.document
    assert of.precision == "int8"
    assert path.stat().st_size < before / 3
    assert of.accuracy is not None
    assert of.float_accuracy is not None
    session = onnxruntime.InferenceSession(path)
    right = {
        name: session.run(["scores"], {"pixels": np.array(digits.test.images)})[0].argmax(1)
        == digits.test.labels
        for name in ("int8",)
    }
    scores = log_probabilities(
        load_model(EXAMPLE), digits.test.images, open_run(EXAMPLE).document.preprocessing
    )
    right["fp32"] = scores.argmax(1) == digits.test.labels
    assert of.accuracy.accuracy == right["int8"].mean()
    assert of.float_accuracy.accuracy == right["fp32"].mean()
    assert of.accuracy.n == len(digits.test)
    lost = int((right["fp32"] & ~right["int8"]).sum())
    won = int((right["int8"] & ~right["fp32"]).sum())
    assert of.p_value == mcnemar(lost, won)
    assert lost + won < 10


def test_weights_have_seven_bits(digits: Splits) -> None:
    """The sum of two products then fits in 16 bits, on processors that add so."""
    made = exporting.export_onnx(
        open_run(EXAMPLE), now="", version="", load=lambda: (digits.train, digits.test)
    )
    graph = check_file(b"".join(made.pieces), "x").graph
    weights = [
        array for array in graph.tensors.values() if array.dtype == np.int8 and array.ndim > 1
    ]
    assert len(weights) == 5
    assert max(int(np.abs(array.astype(int)).max()) for array in weights) == 63


@pytest.mark.parametrize("size", [1e-9, 1e-30, 0.0, 0.3])
def test_eight_bits_keep_the_bias_of_a_map_with_tiny_weights(size: float) -> None:
    """A batch normalisation that has switched a map off leaves such."""
    weight = np.full((1, 3), size, np.float32)
    tensors: dict[str, Any] = {"w": weight, "b": np.array([-0.1], np.float32)}
    nodes: list[Node] = []
    node = Node("Gemm", ("x", "w", "b"), ("y",))
    list(quantising._quantised_weights(node, quantising.Range(0.02, 0), tensors, nodes))
    for name, wanted in (("w", weight), ("b", np.array([-0.1]))):
        levels = tensors[f"{name}.levels"].astype(float)
        assert (levels * tensors[f"{name}.scales"]).ravel() == pytest.approx(
            wanted.ravel(), rel=1e-5, abs=1e-8
        )


def test_a_card_of_someone_else_stays(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My project\n")
    found = convscope.export(EXAMPLE, out=tmp_path / "digits.onnx")
    assert found.card == tmp_path / "digits.md"
    assert (tmp_path / "README.md").read_text() == "# My project\n"
    again = convscope.export(EXAMPLE, out=tmp_path / "digits.onnx")
    assert again.card == found.card


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'onx': did you mean 'onnx'"):
        convscope.export(EXAMPLE, to="onx")
    with pytest.raises(InputError, match="unknown place of the preprocessing 'grph'"):
        convscope.export(EXAMPLE, preprocessing="grph")
    with pytest.raises(InputError, match=r"does not end in \.onnx"):
        convscope.export(EXAMPLE, out=tmp_path / "model.pt")
    with pytest.raises(InputError, match="there is no directory"):
        convscope.export(EXAMPLE, out=tmp_path / "nowhere" / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **more: Any) -> Any:
        graph = to_graph(*arguments, **more)
        name = next(name for name in graph.tensors if name.endswith(".bias"))
        return replace(
            graph, tensors={**graph.tensors, name: graph.tensors[name] + np.float32(0.01)}
        )

    monkeypatch.setattr(exporting, "to_graph", broken)
    with pytest.raises(ConvscopeError, match="differs from the trained one by"):
        convscope.export(EXAMPLE, out=tmp_path / "digits.onnx")
    assert list(tmp_path.iterdir()) == []


def test_hostile_names_are_inert_in_the_card() -> None:
    of = document(HOWS[0], len(NAMES)).model_copy(
        update={"classes": tuple(NAMES), "data": {"name": NAMES[1], "sizes": {NAMES[2]: 3}}}
    )
    card = render_card(of, "`x`\n.onnx", 10, None, 0.0)
    assert card.isprintable() or all(line.isprintable() for line in card.split("\n"))
    lines = card.split("\n")
    assert lines[0] == "<!-- Written by convscope export. -->"
    rest = "\n".join(lines[1:])
    for mark in ("<img", "<script", "</script", "](", "://"):
        assert not any(
            rest[at - 1] != "\\" for at in range(len(rest)) if rest.startswith(mark, at)
        ), mark
