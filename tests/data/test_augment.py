import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from convscope.data.augment import Augmentation, EpochTable, augment, epoch_table

FULL = Augmentation(
    shift=3, rotation=20, scale=0.2, shear=10, elastic=2, elastic_grid=5, crop=2, flip=True
)


def pictures(count: int, channels: int = 1, height: int = 28, width: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def table_of(
    matrix: list[list[float]] | None = None,
    shift: tuple[float, float] = (0, 0),
    crop: tuple[int, int] = (0, 0),
    flip: bool = False,
) -> EpochTable:
    """A table of one row that says exactly what happens."""
    return EpochTable(
        matrix=torch.tensor([matrix or [[1.0, 0.0], [0.0, 1.0]]]),
        shift=torch.tensor([shift], dtype=torch.float32),
        field=torch.zeros(1, 2, 0, 0),
        crop=torch.tensor([crop]),
        flip=torch.tensor([flip]),
    )


ONE = torch.zeros(1, dtype=torch.int64)


def test_zeros_change_nothing() -> None:
    images = pictures(9, 3)
    spec = Augmentation()
    assert not spec.resamples
    table = epoch_table(spec, 9, 0, 0)
    assert augment(images, table, torch.arange(9), spec, 0) is images


@given(
    height=st.integers(1, 12), width=st.integers(1, 12), fill=st.integers(0, 255), data=st.data()
)
def test_whole_shifts_are_rolls(height: int, width: int, fill: int, data: Any) -> None:
    right, down = data.draw(st.integers(-4, 4)), data.draw(st.integers(-4, 4))
    images = pictures(1, 3, height, width)
    spec = Augmentation(shift=4)
    found = augment(images, table_of(shift=(right, down)), ONE, spec, fill)
    expected = torch.full_like(images, fill)
    for y in range(height):
        for x in range(width):
            if 0 <= y - down < height and 0 <= x - right < width:
                expected[:, :, y, x] = images[:, :, y - down, x - right]
    assert torch.equal(found, expected)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    images = torch.tensor([[[[10.0, 20.0, 40.0]]]])
    found = augment(images, table_of(shift=(0.5, 0)), ONE, Augmentation(shift=1), 0)
    assert found.flatten().tolist() == pytest.approx([5, 15, 30])
    found = augment(images, table_of(shift=(0.5, 0)), ONE, Augmentation(shift=1), 100)
    assert found.flatten().tolist() == pytest.approx([55, 15, 30])


def test_a_quarter_turn_is_rot90() -> None:
    """A positive angle turns counter-clockwise as seen, like numpy.rot90."""
    images = pictures(1, 3, 8, 8)
    table = epoch_table(Augmentation(rotation=90), 1, 0, 0)
    angle = math.atan2(float(table.matrix[0, 1, 0]), float(table.matrix[0, 0, 0]))
    assert abs(angle) <= math.pi / 2
    quarter = table_of([[0.0, -1.0], [1.0, 0.0]])  # cos −sin; sin cos: what 90° gives
    found = augment(images, quarter, ONE, Augmentation(rotation=90), 0)
    assert torch.equal(found, torch.rot90(images, 1, (2, 3)))


def test_matrices_are_the_inverse_of_shear_scale_rotation() -> None:
    spec = Augmentation(rotation=30, scale=0.3, shear=20)
    table = epoch_table(spec, 200, 1, 2)
    one_at_a_time = {
        name: epoch_table(Augmentation(**{name: getattr(spec, name)}), 200, 1, 2).matrix
        for name in ("rotation", "scale", "shear")
    }
    for row in range(200):
        inverses = {name: matrix[row].double() for name, matrix in one_at_a_time.items()}
        forward = [torch.linalg.inv(inverses[name]) for name in ("rotation", "scale", "shear")]
        whole = torch.linalg.inv(forward[0] @ forward[1] @ forward[2])
        assert torch.allclose(table.matrix[row].double(), whole, atol=1e-5)


def test_against_pillow() -> None:
    """Pillow's affine transform, bilinear, on the inside, where borders do not matter."""
    y, x = np.mgrid[:40, :40]
    picture = (127 + 60 * np.sin(x / 5) + 60 * np.cos(y / 7)).astype(np.uint8)
    spec = Augmentation(shift=3, rotation=25, scale=0.2, shear=15)
    table = epoch_table(spec, 20, 0, 0)
    images = torch.from_numpy(picture).expand(20, 1, 40, 40)
    found = augment(images, table, torch.arange(20), spec, 0)
    for row in range(20):
        (a, b), (c, d) = table.matrix[row].tolist()
        right, down = table.shift[row].tolist()
        # Pillow counts pixel centres at 0.5; ours are from the centre of the picture.
        offset = [
            20 - a * (20 + right) - b * (20 + down),
            20 - c * (20 + right) - d * (20 + down),
        ]
        expected = Image.fromarray(picture).transform(
            (40, 40),
            Image.Transform.AFFINE,
            (a, b, offset[0], c, d, offset[1]),
            Image.Resampling.BILINEAR,
        )
        inside = np.s_[12:28, 12:28]
        difference = np.asarray(expected, int)[inside] - found[row, 0].numpy().astype(int)[inside]
        assert abs(difference).max() <= 1


def test_crop_and_flip_move_whole_pixels() -> None:
    images = pictures(1, 3, 6, 5)
    spec = Augmentation(crop=2)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2), value=9)
    for x in range(5):
        for y in range(5):
            found = augment(images, table_of(crop=(x, y)), ONE, spec, 9)
            assert torch.equal(found, padded[:, :, y : y + 6, x : x + 5])
    flipped = augment(images, table_of(flip=True), ONE, Augmentation(flip=True), 9)
    assert torch.equal(flipped, images.flip(3))


@settings(deadline=None)
@given(
    rows=st.lists(st.integers(0, 99), min_size=1, max_size=40),
    shape=st.sampled_from([(1, 28, 28), (3, 32, 32), (1, 5, 17), (3, 1, 1), (1, 33, 7)]),
    is_float=st.booleans(),
)
def test_an_image_is_the_same_in_any_batch(
    rows: list[int], shape: tuple[int, int, int], is_float: bool
) -> None:
    images = pictures(100, *shape)
    images = images.float() / 7 if is_float else images
    table = epoch_table(FULL, 100, 3, 1)
    whole = augment(images, table, torch.arange(100), FULL, 17)
    index = torch.tensor(rows)
    assert torch.equal(augment(images[index], table, index, FULL, 17), whole[index])


@given(n=st.integers(0, 60), more=st.integers(0, 60), seed=st.integers(0, 2**60))
def test_rows_do_not_depend_on_the_number_of_images(n: int, more: int, seed: int) -> None:
    short, long = epoch_table(FULL, n, seed, 4), epoch_table(FULL, n + more, seed, 4)
    for name in ("shift", "field", "crop", "flip"):
        assert torch.equal(getattr(short, name), getattr(long, name)[:n])
    assert torch.allclose(short.matrix, long.matrix[:n], atol=1e-6)


def test_epochs_and_seeds_differ() -> None:
    shifts = [epoch_table(FULL, 4, s, e).shift for s in range(3) for e in range(3)]
    assert len({tuple(shift.flatten().tolist()) for shift in shifts}) == 9


def test_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    epoch_table(FULL, 10, 0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_ranges_are_kept_and_filled() -> None:
    n = 20_000
    table = epoch_table(FULL, n, 0, 0)
    for axis in range(2):
        shift = table.shift[:, axis]
        assert float(shift.abs().max()) <= 3
        assert float(shift.max()) > 2.99
        assert abs(float(shift.mean())) < 4 * 3 / math.sqrt(3 * n)  # 4 standard errors
        counts = torch.bincount(table.crop[:, axis], minlength=5)
        assert len(counts) == 5
        assert float((counts - n / 5).abs().max()) < 5 * math.sqrt(n * 0.2 * 0.8)
    assert abs(float(table.flip.float().mean()) - 0.5) < 4 * 0.5 / math.sqrt(n)
    sizes = 1 / torch.linalg.det(table.matrix).sqrt()
    assert 0.8 - 1e-4 <= float(sizes.min()) < 0.801
    assert 1.199 < float(sizes.max()) <= 1.2 + 1e-4
    turned = epoch_table(Augmentation(rotation=20), n, 0, 0).matrix
    angles = torch.rad2deg(torch.atan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert 19.9 < float(angles.max()) <= 20.001
    assert -20.001 <= float(angles.min()) < -19.9


def test_elastic_is_bounded_and_smooth() -> None:
    """A ramp of 1 a pixel shows the displacement itself: it stays within ± elastic."""
    ramp = torch.arange(40.0).expand(50, 1, 40, 40)
    spec = Augmentation(elastic=3, elastic_grid=6)
    found = augment(ramp, epoch_table(spec, 50, 0, 0), torch.arange(50), spec, 0)
    moved = (found - ramp)[:, :, 4:-4, 4:-4]  # farther out the border mixes in
    assert float(moved.abs().max()) <= 3 + 1e-3
    assert float(moved.abs().max()) > 1
    # The slope of a quadratic B-spline is at most the difference of neighbouring control points,
    # at most 2 · 3, for each step of the grid: 40 / (6 − 2) pixels.
    assert float(moved.diff(dim=3).abs().max()) <= 6 / 10 + 1e-3


def test_a_constant_field_is_a_shift() -> None:
    """Weights that sum to 1 everywhere: equal control points move everything alike."""
    spec = Augmentation(elastic=2)
    table = epoch_table(spec, 1, 0, 0)
    field = torch.full_like(table.field, 1.0)
    constant = EpochTable(table.matrix, table.shift, field, table.crop, table.flip)
    images = pictures(1, 1, 9, 11)
    found = augment(images, constant, ONE, spec, 0)
    assert torch.equal(found[:, :, :-1, :-1], images[:, :, 1:, 1:])


def test_types_are_kept() -> None:
    table = epoch_table(FULL, 4, 0, 0)
    for images in (pictures(4), pictures(4).float()):
        found = augment(images, table, torch.arange(4), FULL, 0)
        assert found.dtype == images.dtype
        assert found.shape == images.shape


def test_white_stays_white_and_black_black() -> None:
    """Rounding never leaves 0 … 255, where uint8 would wrap around."""
    table = epoch_table(FULL, 200, 0, 0)
    for value in (0, 255):
        images = torch.full((200, 1, 28, 28), value, dtype=torch.uint8)
        assert (augment(images, table, torch.arange(200), FULL, value) == value).all()
        mixed = augment(images, table, torch.arange(200), FULL, 255 - value)
        assert float((mixed == value).float().mean()) > 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        {"shift": -1},
        {"rotation": 181},
        {"scale": 0.95},
        {"scale": math.nan},
        {"shear": 61},
        {"elastic": math.inf},
        {"elastic_grid": 2},
        {"crop": -1},
        {"crop": 1.5},
        {"zoom": 1},
    ],
)
def test_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(arguments))):
        Augmentation(**arguments)


def test_json_round_trip() -> None:
    assert Augmentation.model_validate_json(FULL.model_dump_json()) == FULL
    assert Augmentation() == Augmentation(shift=0, crop=0)
