"""The nearest images, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from convscope.errors import InputError
from convscope.explain.neighbours import features_of, nearest
from convscope.explain.tracing import trace
from convscope.models import build


def test_the_nearest_of_points_on_a_line() -> None:
    points = np.array([[0.0], [5.0], [2.0], [-2.0]], dtype=np.float32)
    indices, distances = nearest(points, np.array([0.0]), 3)
    assert indices.tolist() == [0, 2, 3]  # of equal ones the first
    assert distances.tolist() == [0, 2, 2]
    assert nearest(points, np.array([9.0]), 10)[0].tolist() == [1, 2, 0, 3]


def test_the_same_as_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convscope.explain.neighbours._BLOCK", 100)  # many blocks
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 12)).astype(np.float32)
    reference = NearestNeighbors(algorithm="brute").fit(features.astype(np.float64))
    for feature in rng.normal(size=(5, 12)):
        indices, distances = nearest(features, feature, 7)
        wanted_distances, wanted = reference.kneighbors([feature], 7)
        assert indices.tolist() == wanted[0].tolist()
        np.testing.assert_allclose(distances, wanted_distances[0], rtol=1e-12)


@pytest.mark.parametrize("name", ["lenet5", "lenet5-1998"])
def test_features_are_what_the_last_layer_sees(name: str) -> None:
    model = build(name, seed=1).train()
    images = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = features_of(model, images, batch=2)
    assert model.training
    assert features.shape == (5, 84)
    assert features.dtype == np.float32
    for image, feature in zip(images, features, strict=True):
        wanted = trace(model, image)[-1].input
        np.testing.assert_allclose(feature, wanted, rtol=1e-5, atol=1e-6)


def test_features_of_a_named_layer_are_its_output() -> None:
    model = build("lenet5", seed=1)
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    features = features_of(model, images.numpy(), "s4")
    assert features.shape == (3, 16 * 5 * 5)
    wanted = next(step for step in trace(model, images[2]) if step.name == "s4").output
    np.testing.assert_allclose(features[2], wanted.flatten(), rtol=1e-5, atol=1e-6)


def test_what_cannot_be_compared() -> None:
    model = build("lenet5")
    with pytest.raises(InputError, match=r"images have shape \(1, 32, 32\); allowed: a batch"):
        features_of(model, torch.zeros(1, 32, 32))
    with pytest.raises(InputError, match="unknown layer 'c7'"):
        features_of(model, torch.zeros(1, 1, 32, 32), "c7")
    with pytest.raises(InputError, match=r"3 features are compared with an array of shape \(4, 2"):
        nearest(np.zeros((4, 2)), np.zeros(3), 1)
    with pytest.raises(InputError, match="n is 0; allowed: a whole number from 1"):
        nearest(np.zeros((4, 2)), np.zeros(2), 0)
