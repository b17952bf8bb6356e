"""Predictors: a run and an ONNX file answer alike, from several threads, and say what is wrong."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from convscope.data.images import decode
from convscope.data.preprocess import Preprocessing, resize
from convscope.errors import InputError
from convscope.onnx_file.document import KEY, OnnxDocument
from convscope.predictor import EXAMPLE, open_predictor

HOW = Preprocessing(channels=3, size=(4, 5), mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture
def brightest(tmp_path: Path) -> Path:
    """An ONNX file made by hand: scores are the sums of the three channels, divided by 255."""
    sums = np.kron(np.eye(3), np.ones((20, 1))).astype(np.float32) / 255
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3])
        for name in ("probabilities", "scores")
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["numbers"], ["rows"]),
            helper.make_node("MatMul", ["rows", "sums"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"]),
        ],
        "brightest",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["N", 3, 4, 5])],
        outputs,
        [numpy_helper.from_array(sums, "sums")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    document = OnnxDocument(
        convscope="test",
        created="2026-01-01T00:00:00+00:00",
        model="brightest",
        classes=("red", "green", "blue"),
        preprocessing=HOW,
    )
    helper.set_model_props(model, {KEY: document.to_text()})
    path = tmp_path / "brightest.onnx"
    onnx.save(model, path)
    return path


def test_an_onnx_file_answers(brightest: Path) -> None:
    predictor = open_predictor(brightest)
    assert predictor.classes == ("red", "green", "blue")
    assert predictor.preprocessing == HOW
    images = np.zeros((2, 3, 4, 5), np.uint8)
    images[0, 1] = 255  # green: scores 0, 20, 0
    expected = np.array([[1, np.exp(20.0), 1], [1, 1, 1]])
    expected /= expected.sum(axis=1, keepdims=True)
    found = predictor.probabilities(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_pictures_are_read_by_the_preprocessing(kind: str, brightest: Path) -> None:
    predictor = open_predictor(brightest if kind == "onnx" else EXAMPLE)
    file = BytesIO()
    colours = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(colours).save(file, "PNG")
    expected = resize(decode(file.getvalue()), predictor.preprocessing)
    np.testing.assert_array_equal(predictor.read(file.getvalue()), expected)
    with pytest.raises(InputError, match="not an image of an allowed kind"):
        predictor.read(b"no picture")


def test_a_run_answers_from_several_threads_at_once() -> None:
    predictor = open_predictor(EXAMPLE)
    c, (height, width) = predictor.preprocessing.channels, predictor.preprocessing.size
    rng = np.random.default_rng(1)
    batches = [rng.integers(0, 256, (n, c, height, width), dtype=np.uint8) for n in range(1, 17)]
    alone = [predictor.probabilities(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(predictor.probabilities, batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["run", "onnx"])
def test_images_of_another_kind_are_refused(kind: str, brightest: Path) -> None:
    predictor = open_predictor(brightest if kind == "onnx" else EXAMPLE)
    shape = (predictor.preprocessing.channels, *predictor.preprocessing.size)
    most = predictor.largest_batch
    refused: list[Any] = [
        np.zeros((1, *shape), np.float32),
        np.zeros(shape, np.uint8),
        np.zeros((1, 2, 2, 2), np.uint8),
        np.zeros((0, *shape), np.uint8),
        np.zeros((most + 1, *shape), np.uint8),
    ]
    for images in refused:
        with pytest.raises(InputError, match=rf"allowed: uint8, N × .* N from 1 to {most}"):
            predictor.probabilities(images)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes\.txt is no run directory and no \.onnx file"):
        open_predictor(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"is no run directory and no \.onnx file"):
        open_predictor("a" * 5000)
    with pytest.raises(InputError, match=r"cannot read .*none\.onnx: No such file"):
        open_predictor(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"text\.onnx cannot be used"):
        open_predictor(tmp_path / "text.onnx")
