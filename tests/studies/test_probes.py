"""Probes on networks and pictures whose answers are known beforehand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convscope.data.batches import to_input
from convscope.data.dataset import Dataset, Splits
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.models import build
from convscope.studies.all_probes import check_probe, run_probe
from convscope.studies.images import Images, fingerprint, read
from convscope.studies.probes import Trained, _with_border, first_below, random_shifts
from convscope.studies.probes_place import push, ridge
from convscope.studies.squares import draw, read_places, read_squares
from convscope.training.inputs import plan_preprocessing
from convscope.training.recipe import ModelChoice, Recipe


class Says(nn.Module):
    """A network that answers by a rule on the picture's levels."""

    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.rule = rule
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.rule(x)
        return scores


def plain(size: int = 28, channels: int = 1) -> Preprocessing:
    """Levels 0 to 1, no border."""
    return Preprocessing(
        channels=1 if channels == 1 else 3,
        size=(size, size),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )


def trained(data: Splits, network: nn.Module | None = None, model: str = "lenet5") -> Trained:
    recipe = Recipe(name="t", model=ModelChoice(name=model), threads=1)
    plan = plain(data.train.image_shape[1], data.train.image_shape[0])
    if network is None:  # LeNet-5's border
        plan = plan_preprocessing(recipe.inputs, data.train.images, (1, 32, 32))
    return Trained(
        recipe=recipe,
        preprocessing=plan,
        train=data.train,
        test=data.test,
        network=network,
    )


def one_class(x: Tensor) -> Tensor:
    scores = x.new_zeros(len(x), 10)
    scores[:, 3] = 1
    return scores


def test_a_network_that_always_says_three(digits: Splits) -> None:
    found = run_probe("accuracy", trained(digits, Says(one_class)), {"train_images": 500})
    assert found["test_accuracy"] == found["train_accuracy"] == 0.1
    assert found["gap"] == 0
    shifted = run_probe("shift", trained(digits, Says(one_class)), {"most": 3, "images": 100})
    assert shifted["consistency"] == shifted["agreement_3"] == shifted["odd_agreement"] == 1.0
    assert shifted["accuracy_1"] == shifted["shifted_accuracy"] == 0.1
    noisy = run_probe("noise", trained(digits, Says(one_class)), {"images": 100})
    assert noisy == {"noisy_accuracy": 0.1}


def test_a_network_that_looks_at_one_pixel_loses_it_by_a_shift(digits: Splits) -> None:
    """It says 1 if the ink starts in column 0: true only of pictures pushed to the left."""

    def rule(x: Tensor) -> Tensor:
        scores = x.new_zeros(len(x), 10)
        scores[:, 1] = x[:, 0, :, 0].amax(1)
        scores[:, 0] = 0.1
        return scores

    found = run_probe("border", trained(digits, Says(rule)), {"images": 200})
    ones = 20  # of 200: right only where they touch the left edge; zeros everywhere else
    assert found["centre_accuracy"] == 0.1
    assert found["border_accuracy"] == pytest.approx((0.1 * 3 + ones / 200) / 4, abs=0.03)
    assert found["border_loss"] == pytest.approx(
        found["centre_accuracy"] - found["border_accuracy"]
    )


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_pushed_ink_touches_the_edge(digits: Splits, side: str) -> None:
    pixels = np.asarray(digits.test.images[:20])
    moved = push(pixels, side)
    edge = {"left": moved[..., 0], "right": moved[..., -1]}.get(side)
    if edge is None:
        edge = moved[:, :, 0] if side == "top" else moved[:, :, -1]
    assert (edge > 40).any(axis=(1, 2)).all()
    assert np.array_equal(np.sort(moved.reshape(20, -1)), np.sort(pixels.reshape(20, -1)))


def test_an_empty_picture_is_left_where_it_is() -> None:
    empty = np.zeros((1, 1, 5, 5), dtype=np.uint8)
    assert np.array_equal(push(empty, "left"), empty)


def test_random_shifts_are_the_same_for_the_same_seed(digits: Splits) -> None:
    pixels = np.asarray(digits.test.images[:10])
    assert np.array_equal(random_shifts(pixels, 4, 0, 1), random_shifts(pixels, 4, 0, 1))
    assert not np.array_equal(random_shifts(pixels, 4, 0, 1), random_shifts(pixels, 4, 0, 2))
    assert np.array_equal(random_shifts(pixels, 0, 0, 1), pixels)


def test_pictures_are_moved_within_the_border_too(digits: Splits) -> None:
    """LeNet-5's border of 2 is theirs, and what the network gets of them is the same."""
    given = trained(digits)
    pixels = np.asarray(digits.test.images[:10])
    wide, plan = _with_border(pixels, given)
    assert wide.shape == (10, 1, 32, 32)
    narrow, whole = (
        to_input(torch.from_numpy(np.array(images)), one.preprocessing)
        for images, one in ((pixels, given), (wide, plan))
    )
    assert torch.equal(narrow, whole)
    same, unchanged = _with_border(pixels, trained(digits, Says(one_class)))
    assert same is pixels
    assert not any(unchanged.preprocessing.padding)


def test_first_below() -> None:
    assert first_below([2.0, 1.0, 0.5], 0.75) == 2.5
    assert first_below([0.5], 0.75) == 1.0
    assert first_below([2.0, 1.0], 0.1) == 3.0


def test_a_linear_fit_finds_a_linear_rule() -> None:
    generator = np.random.default_rng(0)
    for width in (5, 400):  # fewer and more features than pictures
        features = generator.normal(size=(200, width))
        rule = generator.normal(size=(width, 2)) / math.sqrt(width)
        wanted = features @ rule + 3.0
        found = ridge(features, wanted, features)
        assert np.abs(found - wanted).mean() < 0.35
    constant = ridge(np.ones((10, 3)), np.full((10, 2), 7.0), np.ones((4, 3)))
    assert np.allclose(constant, 7.0)


def test_the_place_is_found_from_pixels_and_not_from_nothing(digits: Splits) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.nothing = nn.Identity(), nn.Identity()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            means = torch.cat([x.mean((1, 2)), x.mean((1, 3))], dim=1)
            self.nothing(x.sum((1, 2, 3), keepdim=True) * 0)
            scores: Tensor = self.seen(means)[:, :10]
            return scores

    layers = {"rows": "seen", "nothing": "nothing"}
    found = run_probe(
        "locate", trained(digits, Two()), {"layers": layers, "fitted": 600, "tested": 200}
    )
    assert found["locate_rows"] < 0.5 * found["locate_guess"]
    assert found["locate_nothing"] == pytest.approx(found["locate_guess"], rel=1e-6)
    with pytest.raises(InputError, match="the model has no layer 'c9'"):
        run_probe("locate", trained(digits, Two()), {"layers": {"x": "c9"}})


def test_squares_have_an_order_and_a_place() -> None:
    data = read_squares(train=20, test=10)
    assert data.train.images.shape == (20, 3, 32, 32)
    same, swapped = draw("test", 10, 0), draw("test", 10, 0, swapped=True)
    for one, upper in ((same, 0), (swapped, 1)):
        for image, label in zip(np.asarray(one.images), one.labels, strict=True):
            rows, columns = np.nonzero(image[0] == 255)
            other = np.nonzero(image[1] == 255)[1]
            assert (columns.max() < other.min()) == (label == 0)  # red left of green
            assert (rows.max() < 16) == (label == upper)


def test_of_places_only_the_place_tells_the_class() -> None:
    data = read_places(train=200, test=10)
    assert (data.train.name, data.train.classes) == ("places", ("above", "below"))
    red_first = []
    for image, label in zip(np.asarray(data.train.images), data.train.labels, strict=True):
        rows, columns = np.nonzero(image[0] == 255)
        assert (rows.max() < 16) == (label == 0)
        red_first.append(bool(columns.max() < np.nonzero(image[1] == 255)[1].min()))
    for label in (0, 1):  # 100 throws of a coin each: within five standard deviations
        assert 25 <= np.sum(np.array(red_first)[data.train.labels == label]) <= 75


def test_a_network_that_goes_by_the_place_is_wrong_when_places_are_swapped() -> None:
    data = read_squares(train=20, test=10)

    def by_place(x: Tensor) -> Tensor:
        bright = x.amax(1)
        return torch.stack([bright[:, :16].sum((1, 2)), bright[:, 16:].sum((1, 2))], dim=1)

    found = run_probe("swapped", trained(data, Says(by_place)), {})
    assert found == {"swapped_accuracy": 0.0, "place_reliance": 1.0}


def test_swapped_needs_the_squares(digits: Splits) -> None:
    with pytest.raises(InputError, match="is for the images 'squares', not mnist-sample"):
        run_probe("swapped", trained(digits, Says(one_class)), {})


def test_counted_cost_is_that_of_the_paper(digits: Splits) -> None:
    found = run_probe("cost", trained(digits, model="lenet5-1998"), {})
    assert found["parameters"] == 60000
    assert found["pool_parameters"] == 12 + 32
    assert (found["size_c1"], found["size_s2"], found["maps_c3"]) == (28, 14, 16)
    assert (found["field_c1"], found["field_s4"], found["poolings"]) == (5, 16, 2)


def test_kept_bytes_by_hand(digits: Splits) -> None:
    """Twice the batch, twice the bytes; a network without pooling keeps larger maps."""
    one = run_probe("memory", trained(digits), {"batch": 8})["kept_bytes"]
    two = run_probe("memory", trained(digits), {"batch": 16})["kept_bytes"]
    assert two / one == pytest.approx(2, rel=0.02)
    inputs, c1 = 32 * 32, 6 * 28 * 28
    assert one >= 8 * 4 * (inputs + c1)


def test_a_network_is_as_fast_as_itself(digits: Splits) -> None:
    other = Recipe(name="t", model=ModelChoice(name="lenet5")).model_dump(mode="json")
    found = run_probe("speed", trained(digits), {"against": other})
    assert 0.4 < found["seconds_ratio"] < 2.5


def test_gradients_are_those_of_a_backward_pass(digits: Splits) -> None:
    given = trained(digits)
    found = run_probe("gradients", given, {"images": 20})
    model = build("lenet5", seed=0)
    inputs = to_input(torch.from_numpy(np.array(digits.train.images[:20])), given.preprocessing)
    nn.CrossEntropyLoss()(
        model(inputs), torch.from_numpy(digits.train.labels[:20].copy())
    ).backward()
    for name in ("c1", "c3", "c5", "f6", "output"):
        gradient = model.get_submodule(name).weight.grad
        assert isinstance(gradient, Tensor)
        expected = float(gradient.pow(2).mean().sqrt())
        assert found[f"gradient_{name}"] == pytest.approx(expected, rel=1e-5)
    ratio = math.log10(found["gradient_c1"] / found["gradient_output"])
    assert found["gradient_decay"] == pytest.approx(ratio)


def test_slips_do_nothing_to_a_network_without_modes(digits: Splits) -> None:
    given = trained(digits, Says(one_class))
    found = run_probe("slips", given, {"mean": (0.1,), "std": (0.3,)})
    assert found == {"train_mode_accuracy": 0.1, "other_constants_accuracy": 0.1}


@pytest.mark.parametrize(
    ("mean", "std", "right"),
    [(0.2, 1.0, 1.0), (0.0, 1.9, 1.0), (0.6, 1.0, 0.0), (0.0, 2.1, 0.0), (0.2, 1.7, 0.0)],
)
def test_other_constants_are_those_of_training_changed(
    digits: Splits, mean: float, std: float, right: float
) -> None:
    """White pictures of a three; it says three where (1 − mean) / std is above 0.5."""

    def rule(x: Tensor) -> Tensor:
        return one_class(x) * (x.mean((1, 2, 3)) > 0.5)[:, None]

    threes = digits.test.subset(np.flatnonzero(digits.test.labels == 3), split="test")
    white = replace(threes, images=np.full_like(np.asarray(threes.images), 255))
    given = replace(trained(digits, Says(rule)), test=white)
    found = run_probe("slips", given, {"mean": (mean,), "std": (std,)})
    assert found == {"train_mode_accuracy": 1.0, "other_constants_accuracy": right}


def test_slips_leave_the_network_as_it_was() -> None:
    data = read_squares(train=20, test=10)
    network = build("ablation", {"classes": 2, "norm": {"layer": "norm", "kind": "batch"}}).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run_probe("slips", trained(data, network), {})
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not network.training


def test_unknown_probes_and_arguments_are_named(digits: Splits) -> None:
    with pytest.raises(InputError, match="unknown probe 'shfit': did you mean 'shift'"):
        run_probe("shfit", trained(digits), {})
    with pytest.raises(
        InputError, match="unknown argument of the probe noise 'deviatoin': did you"
    ):
        check_probe("noise", ["deviatoin"])
    with pytest.raises(InputError, match="the probe locate needs the argument 'layers'"):
        check_probe("locate", ["most"])
    check_probe("locate", ["layers", "most"])


def test_training_images_belong_to_the_seed_and_test_images_to_all() -> None:
    plan = Images(train=100, test=50)
    first, again, other = read(plan, 0), read(plan, 0), read(plan, 1)
    assert np.array_equal(first.train.images, again.train.images)
    assert not np.array_equal(first.train.images, other.train.images)
    assert np.array_equal(first.test.images, other.test.images)
    assert np.bincount(first.train.labels).tolist() == [10] * 10


def test_changes_of_images() -> None:
    plan = Images(train=20, test=10)
    plain_ones: Dataset = read(plan, 0).train
    dark = read(plan.model_copy(update={"changes": ("invert",)}), 0).train
    small = read(plan.model_copy(update={"changes": ("shrink",)}), 0).train
    assert np.array_equal(np.asarray(dark.images), 255 - np.asarray(plain_ones.images))
    assert small.images.shape == (20, 1, 14, 14)
    cells = np.asarray(plain_ones.images[0, 0, :2, :2], dtype=float)
    assert small.images[0, 0, 0, 0] == np.rint(cells.mean())
    for change, choose in (("shrink-max", np.max), ("shrink-min", np.min)):
        one = read(plan.model_copy(update={"changes": (change,)}), 0).train.images
        assert one.shape == (20, 1, 14, 14)
        assert one.dtype == np.uint8
        for row, column in ((5, 7), (6, 6)):
            window = plain_ones.images[:, 0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            assert np.array_equal(one[:, 0, row, column], choose(window, axis=(1, 2)))
    grey = read(Images(source="pictures", train=20, test=10, changes=("grey",)), 0).train
    assert grey.image_shape[0] == 1
    with pytest.raises(InputError, match="unknown change of images 'inverted'"):
        read(Images(changes=("inverted",)), 0)
    assert fingerprint(plan) == fingerprint(Images(train=7))
