"""Log-probabilities: right, whatever the batch size, and the model comes back as it was."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convscope.data.batches import to_input
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.evaluation import inference
from convscope.evaluation.inference import largest_batch, log_probabilities

PLAIN = Preprocessing(channels=1, size=(5, 7), mean=(0.0,), std=(1.0,))
PADDED = Preprocessing(
    channels=3, size=(6, 6), padding=(1, 2, 3, 0), fill=9, mean=(0.1, 0.2, 0.3), std=(0.5,) * 3
)


def pixels(n: int, preprocessing: Preprocessing, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, preprocessing.channels, *preprocessing.size), dtype=np.uint8)
    images.flags.writeable = False  # as in a data set
    return images


class Scores(nn.Module):
    """Gives fixed scores, one row for each image, whatever it sees."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, x: Tensor) -> Tensor:
        return self.rows[: len(x)]


def small_network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 7 * 7, 5),
    )


def test_log_softmax_by_hand() -> None:
    model = Scores([[0.0, math.log(3)], [2.0, 2.0]])
    result = log_probabilities(model, pixels(2, PLAIN), PLAIN)
    assert result.dtype == np.float64
    np.testing.assert_allclose(np.exp(result), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)


def test_it_is_the_model_on_preprocessed_pixels() -> None:
    model, images = small_network().eval(), pixels(8, PADDED)
    with torch.no_grad():
        scores = model(to_input(torch.tensor(images), PADDED))
    expected = F.log_softmax(scores.double(), dim=1)
    result = log_probabilities(model, images, PADDED, batch_size=8)
    np.testing.assert_array_equal(result, expected.numpy())


@pytest.mark.parametrize("batch_size", [1, 2, 7, 23, 24, 1000])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    model, images = small_network(), pixels(23, PADDED)
    whole = log_probabilities(model, images, PADDED, batch_size=23)
    parts = log_probabilities(model, images, PADDED, batch_size=batch_size)
    assert whole.shape == parts.shape == (23, 5)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)


def test_batches_are_no_larger_than_asked_and_run_without_gradients() -> None:
    seen: list[tuple[int, bool, bool]] = []

    class Watcher(Scores):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((len(x), self.training, torch.is_inference_mode_enabled()))
            return super().forward(x)

    steps: list[tuple[int, int]] = []
    log_probabilities(
        Watcher([[0.0, 1.0]] * 4),
        pixels(10, PLAIN),
        PLAIN,
        batch_size=4,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert seen == [(4, False, True), (4, False, True), (2, False, True)]
    assert steps == [(4, 10), (8, 10), (10, 10)]


def test_every_module_gets_its_mode_back() -> None:
    model = small_network().train()
    frozen = model.get_submodule("1").eval()
    statistics = model.state_dict()["1.running_mean"].clone()
    log_probabilities(model, pixels(4, PADDED), PADDED)
    assert model.training
    assert not frozen.training
    assert model.get_submodule("3").training
    assert torch.equal(model.state_dict()["1.running_mean"], statistics)


def test_every_module_gets_its_mode_back_after_an_error() -> None:
    model = Scores([[math.nan, 0.0]]).train()
    with pytest.raises(InputError, match="1 of 1 images are NaN or infinite"):
        log_probabilities(model, pixels(1, PLAIN), PLAIN)
    assert model.training


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_broken_weights_are_named(bad: float) -> None:
    model = Scores([[0.0, 1.0], [bad, 0.0], [1.0, bad]])
    with pytest.raises(InputError, match=r"2 of 3 images are NaN or infinite, so its weights are"):
        log_probabilities(model, pixels(3, PLAIN), PLAIN)


def test_the_largest_finite_scores_stay_finite() -> None:
    top = torch.finfo(torch.float32).max
    result = log_probabilities(Scores([[top, -top, 0.0]]), pixels(1, PLAIN), PLAIN)
    assert result.tolist() == [[0.0, -2.0 * top, -top]]


def test_scores_one_rounding_apart_keep_their_order() -> None:
    """In float32 their logarithms, about −1.1, would be equal and the first would win."""
    rows = [[1e-7, 1.1e-7, 0.0], [100.0, float(np.nextafter(np.float32(100), np.float32(200))), 0]]
    result = log_probabilities(Scores(rows), pixels(2, PLAIN), PLAIN)
    assert result.argmax(axis=1).tolist() == [1, 1]
    naive = F.log_softmax(torch.tensor(rows[:1]), dim=1)
    assert naive[0, 0] == naive[0, 1]


@pytest.mark.parametrize(
    ("rows", "shape"), [([[[0.0]]] * 3, r"\(3, 1, 1\)"), ([[0.0, 1.0]], r"\(1, 2\)")]
)
def test_a_model_that_gives_no_rows_of_scores_is_refused(
    rows: list[list[float]], shape: str
) -> None:
    with pytest.raises(InputError, match=rf"gives {shape} for 3 images; allowed: \(3, classes\)"):
        log_probabilities(Scores(rows), pixels(3, PLAIN), PLAIN)


def test_what_does_not_fit_is_refused() -> None:
    model = Scores([[0.0, 1.0]])
    with pytest.raises(InputError, match="there are no images for the model"):
        log_probabilities(model, pixels(0, PLAIN), PLAIN)
    with pytest.raises(InputError, match="batch size is 0; allowed: at least 1"):
        log_probabilities(model, pixels(1, PLAIN), PLAIN, batch_size=0)
    with pytest.raises(InputError, match=r"allowed: uint8, \(N, 1, 5, 7\)"):
        log_probabilities(model, pixels(1, PADDED), PLAIN)


# The batch that bounds memory


class Wide(nn.Module):
    """One layer inside gives 1,000 numbers for every pixel that comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(1, 1000, 1)
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        strongest: Tensor = self.wide(x).amax(dim=(2, 3))
        return strongest[:, :2]


def test_the_batch_keeps_the_largest_layer_within_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """5 × 7 pixels × 1,000 maps × 4 bytes: 140,000 bytes for an image."""
    model = Wide()
    assert largest_batch(model, PLAIN) == 500
    monkeypatch.setattr(inference, "MOST_BYTES", 3 * 140_000 + 139_999)
    assert largest_batch(model, PLAIN) == 3
    model.seen.clear()
    log_probabilities(model, pixels(8, PLAIN), PLAIN)
    assert model.seen == [1, 3, 3, 2]  # one black image to find the sizes
    monkeypatch.setattr(inference, "MOST_BYTES", 1)
    assert largest_batch(model, PLAIN) == 1
    assert not model.wide._forward_hooks
    assert model.training


def test_the_input_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that shrinks everything at once: 3 × 9 × 9 float32 come in."""
    monkeypatch.setattr(inference, "MOST_BYTES", 10 * 3 * 9 * 9 * 4)
    assert largest_batch(Scores([[0.0, 1.0]]), PADDED) == 10


def test_one_image_is_seen_once() -> None:
    model = Wide()
    log_probabilities(model, pixels(1, PLAIN), PLAIN)
    assert model.seen == [1]


def test_hooks_go_when_the_model_fails() -> None:
    model = nn.Sequential(nn.Conv2d(5, 2, 1))  # five channels, but one comes
    with pytest.raises(RuntimeError, match="channels"):
        largest_batch(model, PLAIN)
    assert not model[0]._forward_hooks


# Images on disk, precision, views


class Reader:
    """What images on disk offer: length, shape, slices that are arrays."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.shape = images, images.shape

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> np.ndarray:
        assert isinstance(part, slice)
        return self.images[part].copy()


def test_images_may_be_read_in_slices() -> None:
    model, images = small_network(), pixels(9, PADDED)
    lazy: Any = Reader(images)
    expected = log_probabilities(model, images, PADDED, batch_size=4)
    np.testing.assert_array_equal(log_probabilities(model, lazy, PADDED, batch_size=4), expected)


def test_bf16_rounds_the_network_and_not_the_logarithm() -> None:
    model, images = small_network(), pixels(40, PADDED)
    exact = log_probabilities(model, images, PADDED)
    rounded = log_probabilities(model, images, PADDED, precision="bf16")
    assert rounded.dtype == np.float64
    assert not np.array_equal(rounded, exact)
    np.testing.assert_allclose(rounded, exact, atol=0.05)  # bfloat16 keeps 8 bits
    np.testing.assert_allclose(np.exp(rounded).sum(axis=1), 1, rtol=1e-12)


def test_unknown_precision_and_views_are_named() -> None:
    model = Scores([[0.0, 1.0]])
    with pytest.raises(InputError, match=r"unknown precision 'fp8'.*Valid: bf16, fp32"):
        log_probabilities(model, pixels(1, PLAIN), PLAIN, precision="fp8")
    with pytest.raises(InputError, match="unknown set of views 'mirror': did you mean 'mirrored'"):
        log_probabilities(model, pixels(1, PLAIN), PLAIN, views="mirror")
