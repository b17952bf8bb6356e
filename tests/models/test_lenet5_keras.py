"""The Keras program and `lenet5-keras` give the same outputs; Keras splits `same` as we do."""

import os
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convscope.layers import Convolution, Pad, Pool
from convscope.models import build


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # it writes its settings when imported
    module = pytest.importorskip("keras", reason="Keras is not installed (the oracle here)")
    if module.backend.backend() != "torch":
        pytest.skip(f"Keras runs on {module.backend.backend()}, {os.environ['KERAS_BACKEND']=}")
    return module


def numpy_of(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    array: np.ndarray[Any, np.dtype[Any]] = torch.as_tensor(value).detach().cpu().numpy()
    return array


@pytest.mark.slow
def test_outputs_agree_with_keras(keras: Any) -> None:
    layers = keras.layers
    theirs = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(6, (5, 5), activation="tanh"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(16, (5, 5), activation="tanh"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    assert theirs.count_params() == 44426
    weights = [variable.value.detach() for variable in theirs.weights]
    c1, b1, c3, b3, c5, b5, f6, b6, out, bout = weights
    ours = build("lenet5-keras").eval()
    ours.load_state_dict(
        {
            "c1.weight": c1.permute(3, 2, 0, 1),  # rows, columns, in, out → out, in, rows, columns
            "c1.bias": b1,
            "c3.weight": c3.permute(3, 2, 0, 1),
            "c3.bias": b3,
            # Keras flattens rows, columns, maps; here it is maps, rows, columns.
            "c5.weight": c5.view(4, 4, 16, 120).permute(3, 2, 0, 1).reshape(120, 256),
            "c5.bias": b5,
            "f6.weight": f6.T,
            "f6.bias": b6,
            "output.weight": out.T,
            "output.bias": bout,
        }
    )
    images = np.random.default_rng(0).random((16, 28, 28, 1), dtype=np.float32)
    expected = numpy_of(theirs(images))
    with torch.no_grad():
        found = ours(torch.tensor(images).permute(0, 3, 1, 2)).softmax(1).numpy()
    assert np.abs(found - expected).max() < 1e-5


SAME = list(product([7, 8, 13], [2, 3, 4, 5], [(1, 1), (2, 1), (3, 1), (1, 2)]))


@pytest.mark.slow
def test_same_convolution_agrees_with_keras(keras: Any) -> None:
    for size, kernel, (stride, dilation) in SAME:
        x = np.random.default_rng(0).standard_normal((2, size, size, 3), dtype=np.float32)
        theirs = keras.layers.Conv2D(
            4, kernel, strides=stride, padding="same", dilation_rate=dilation, use_bias=False
        )
        expected = numpy_of(theirs(x)).transpose(0, 3, 1, 2)
        ours = Convolution(
            3, 4, kernel, stride=stride, pad=Pad("same"), dilation=dilation, bias=False
        )
        (weight,) = theirs.weights
        ours.weight.data = weight.value.detach().permute(3, 2, 0, 1)
        found = ours(torch.tensor(x).permute(0, 3, 1, 2)).detach().numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_same_pooling_agrees_with_keras(keras: Any) -> None:
    for size, kernel, (stride, _) in SAME:
        x = np.random.default_rng(0).standard_normal((2, size, size, 3), dtype=np.float32)
        kinds = {"max": keras.layers.MaxPooling2D}
        if kernel % 2 and stride == 1:
            # Elsewhere the borders differ in length, and on the torch backend Keras' average
            # then counts a replicated border, unlike TensorFlow and this project.
            kinds["average"] = keras.layers.AveragePooling2D
        for kind, theirs in kinds.items():
            expected = numpy_of(theirs(kernel, stride, padding="same")(x)).transpose(0, 3, 1, 2)
            pool = Pool(kind, kernel, stride, "same").build(3)
            found = pool(torch.tensor(x).permute(0, 3, 1, 2)).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-5)
