import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from convscope.data.augment import Augmentation, EpochTable, augment, colour_axes, epoch_table
from convscope.errors import InputError
from convscope.seeds import derive_seed

FULL = Augmentation(
    shift=3,
    rotation=20,
    scale=0.2,
    shear=10,
    elastic=2,
    elastic_grid=5,
    crop=2,
    flip=True,
    colour_noise=0.1,
    cutout=3,
)
GREY = FULL.model_copy(update={"colour_noise": 0.0})
AXES = torch.tensor([[50.0, 8, 3], [50, 0, -6], [50, -8, 3]])


def pictures(count: int, channels: int = 1, height: int = 28, width: int = 28) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def table_of(
    matrix: list[list[float]] | None = None,
    shift: tuple[float, float] = (0, 0),
    corner: tuple[float, float] = (0, 0),
    flip: bool = False,
    colour: tuple[float, float, float] = (0, 0, 0),
    hole: tuple[float, float] = (0, 0),
) -> EpochTable:
    """A table of one row that says exactly what happens."""
    return EpochTable(
        matrix=torch.tensor([matrix or [[1.0, 0.0], [0.0, 1.0]]]),
        shift=torch.tensor([shift], dtype=torch.float32),
        field=torch.zeros(1, 2, 0, 0),
        corner=torch.tensor([corner]),
        flip=torch.tensor([flip]),
        colour=torch.tensor([colour]),
        hole=torch.tensor([hole]),
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


def test_squeezing_keeps_the_area_and_goes_both_ways() -> None:
    """Alone: diag(1/q, q), q from 1/(1 + squeeze) to 1 + squeeze, as often above 1 as below."""
    matrix = epoch_table(Augmentation(squeeze=0.25), 2000, 1, 2).matrix.double()
    wide, high = 1 / matrix[:, 0, 0], 1 / matrix[:, 1, 1]
    assert torch.equal(matrix[:, 0, 1], torch.zeros(2000).double())
    assert torch.equal(matrix[:, 1, 0], torch.zeros(2000).double())
    assert torch.allclose(wide * high, torch.ones(2000).double(), atol=1e-6)
    assert wide.min() == pytest.approx(0.8, abs=0.002)
    assert wide.max() == pytest.approx(1.25, abs=0.002)
    assert 900 < (wide > 1).sum() < 1100


def test_squeezing_comes_with_the_scale_and_changes_no_other_draw() -> None:
    plain = Augmentation(shift=2, rotation=20, scale=0.2, shear=10)
    both = plain.model_copy(update={"squeeze": 0.3})
    without, found = epoch_table(plain, 50, 3, 4), epoch_table(both, 50, 3, 4)
    assert torch.equal(found.shift, without.shift)
    shear_alone = epoch_table(Augmentation(shear=10), 50, 3, 4).matrix
    squeezed = epoch_table(Augmentation(squeeze=0.3), 50, 3, 4).matrix
    # The inverse of rotation · scale · shear, with the squeeze beside the scale.
    rest = epoch_table(Augmentation(rotation=20, scale=0.2), 50, 3, 4).matrix
    assert torch.allclose(found.matrix, shear_alone @ squeezed @ rest, atol=1e-5)


def test_a_share_of_the_images_passes_as_it_is() -> None:
    spec = Augmentation(
        shift=2, rotation=20, scale=0.2, squeeze=0.1, shear=9, elastic=1, distorted=0.9
    )
    images = torch.randint(0, 256, (2000, 1, 8, 8), dtype=torch.uint8)
    everyone = torch.arange(2000)
    found = augment(images, epoch_table(spec, 2000, 0, 0), everyone, spec)
    same = (found == images).flatten(1).all(1)
    assert 150 < same.sum() < 250
    again = augment(images, epoch_table(spec, 2000, 0, 1), everyone, spec)
    assert not torch.equal(same, (again == images).flatten(1).all(1)), "drawn anew"
    whole = epoch_table(spec.model_copy(update={"distorted": 1.0}), 2000, 0, 0)
    assert torch.equal(epoch_table(spec, 2000, 0, 0).matrix[~same], whole.matrix[~same])


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
            found = augment(images, table_of(corner=(x / 5, y / 5)), ONE, spec, 9)
            assert torch.equal(found, padded[:, :, y : y + 6, x : x + 5])
    flipped = augment(images, table_of(flip=True), ONE, Augmentation(flip=True), 9)
    assert torch.equal(flipped, images.flip(3))


def test_a_crop_may_see_the_image_mirrored_at_its_edge() -> None:
    images = pictures(1, 3, 6, 5)
    spec = Augmentation(crop=2, crop_border="reflect")
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    for x in range(5):
        for y in range(5):
            found = augment(images, table_of(corner=(x / 5, y / 5)), ONE, spec, 9)
            assert torch.equal(found, padded[:, :, y : y + 6, x : x + 5])
    wide, table = Augmentation(crop=5, crop_border="reflect"), table_of(corner=(0, 0))
    with pytest.raises(InputError, match=r"crop is 5; allowed with crop_border=reflect: less than"):
        augment(images, table, ONE, wide, 9)


def test_alternating_mirrors_show_each_image_both_ways_in_two_epochs() -> None:
    spec = Augmentation(flip="alternating")
    flips = [epoch_table(spec, 1000, 3, epoch).flip for epoch in range(4)]
    assert torch.equal(flips[1], ~flips[0])
    assert torch.equal(flips[2], flips[0])
    assert torch.equal(flips[3], flips[1])
    assert 400 < int(flips[0].sum()) < 600  # half: 500, standard deviation 16
    assert not torch.equal(epoch_table(spec, 1000, 4, 0).flip, flips[0])


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
    spec = FULL if shape[0] == 3 else GREY
    window = (shape[1] + 1, shape[2] + 3)
    table = epoch_table(spec, 100, 3, 1)
    whole = augment(images, table, torch.arange(100), spec, 17, window=window, axes=AXES)
    index = torch.tensor(rows)
    part = augment(images[index], table, index, spec, 17, window=window, axes=AXES)
    assert torch.equal(part, whole[index])


@given(n=st.integers(0, 60), more=st.integers(0, 60), seed=st.integers(0, 2**60))
def test_rows_do_not_depend_on_the_number_of_images(n: int, more: int, seed: int) -> None:
    short, long = epoch_table(FULL, n, seed, 4), epoch_table(FULL, n + more, seed, 4)
    for name in ("shift", "field", "corner", "flip", "colour", "hole"):
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
        places = (table.corner[:, axis] * 5).long()
        counts = torch.bincount(places, minlength=5)
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
    constant = replace(table, field=field)
    images = pictures(1, 1, 9, 11)
    found = augment(images, constant, ONE, spec, 0)
    assert torch.equal(found[:, :, :-1, :-1], images[:, :, 1:, 1:])


def test_types_are_kept() -> None:
    table = epoch_table(FULL, 4, 0, 0)
    for images in (pictures(4, 3), pictures(4, 3).float()):
        found = augment(images, table, torch.arange(4), FULL, 0, axes=AXES)
        assert found.dtype == images.dtype
        assert found.shape == images.shape


def test_white_stays_white_and_black_black() -> None:
    """Rounding never leaves 0 … 255, where uint8 would wrap around."""
    table = epoch_table(GREY, 200, 0, 0)
    for value in (0, 255):
        images = torch.full((200, 1, 28, 28), value, dtype=torch.uint8)
        assert (augment(images, table, torch.arange(200), GREY, value) == value).all()
        mixed = augment(images, table, torch.arange(200), GREY, 255 - value)
        assert float((mixed == value).float().mean()) > 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        {"shift": -1},
        {"rotation": 181},
        {"scale": 0.95},
        {"scale": math.nan},
        {"shear": 61},
        {"squeeze": 0.95},
        {"distorted": 1.1},
        {"elastic": math.inf},
        {"elastic_grid": 2},
        {"crop": -1},
        {"crop": 1.5},
        {"colour_noise": -0.1},
        {"colour_noise": math.nan},
        {"cutout": -1},
        {"cutout": 2.5},
        {"zoom": 1},
    ],
)
def test_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(arguments))):
        Augmentation(**arguments)


def test_json_round_trip() -> None:
    assert Augmentation.model_validate_json(FULL.model_dump_json()) == FULL
    assert Augmentation() == Augmentation(shift=0, crop=0)


# Windows


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    border=st.integers(0, 4),
    fill=st.integers(0, 255),
    flip=st.booleans(),
    is_float=st.booleans(),
    data=st.data(),
)
def test_a_window_is_cut_from_the_image_and_its_border(
    height: int, width: int, border: int, fill: int, flip: bool, is_float: bool, data: Any
) -> None:
    """Pixel by pixel: the window's own place is drawn, then compared with where it was cut."""
    window = (
        data.draw(st.integers(1, height + 2 * border)),
        data.draw(st.integers(1, width + 2 * border)),
    )
    free = (width + 2 * border - window[1], height + 2 * border - window[0])
    x, y = (data.draw(st.integers(0, most)) for most in free)
    images = pictures(1, 3, height, width)
    images = images.float() if is_float else images
    # The middle of the x-th of the equal parts that 0 to 1 has.
    corner = ((x + 0.5) / (free[0] + 1), (y + 0.5) / (free[1] + 1))
    spec = Augmentation(crop=border, flip=True)
    table = table_of(corner=corner, flip=flip)
    found = augment(images, table, ONE, spec, fill, window=window)
    expected = torch.full((1, 3, *window), fill).to(images.dtype)
    for row in range(window[0]):
        for column in range(window[1]):
            from_row, from_column = y + row - border, x + column - border
            if 0 <= from_row < height and 0 <= from_column < width:
                place = window[1] - 1 - column if flip else column
                expected[:, :, row, place] = images[:, :, from_row, from_column]
    assert found.dtype == images.dtype
    assert torch.equal(found, expected)


def test_a_window_of_the_whole_image_changes_nothing() -> None:
    images = pictures(3, 3, 6, 5)
    table = epoch_table(Augmentation(), 3, 0, 0)
    assert augment(images, table, torch.arange(3), Augmentation(), window=(6, 5)) is images


def test_windows_lie_everywhere_and_change_with_the_epoch() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(2000, 1, 8, 8)
    spec, rows = Augmentation(), torch.arange(2000)
    first, second = (
        augment(ramp, epoch_table(spec, 2000, 0, epoch), rows, spec, window=(6, 7))
        for epoch in (0, 1)
    )
    corners = first[:, 0, 0, 0].tolist()
    assert set(corners) == {8 * y + x for y in range(3) for x in range(2)}
    most = max(corners.count(value) for value in set(corners))
    assert most < 2000 / 6 + 5 * math.sqrt(2000 * 5 / 36)
    assert not torch.equal(first, second)


def test_too_large_a_window_is_refused() -> None:
    spec = Augmentation(crop=1)
    with pytest.raises(
        InputError,
        match="the window is 9 × 4; allowed: at most the 6 × 5 pixels of the images and a border",
    ):
        augment(pictures(1, 3, 6, 5), table_of(), ONE, spec, window=(9, 4))


def test_new_changes_leave_the_old_draws_alone() -> None:
    """A recipe without them trains on the same bits as ever, and so does one with them."""
    plain = Augmentation(shift=2, rotation=9, elastic=1, crop=4, flip=True)
    more = plain.model_copy(update={"colour_noise": 0.1, "cutout": 4})
    old, new = epoch_table(plain, 50, 5, 2), epoch_table(more, 50, 5, 2)
    for name in ("matrix", "shift", "field", "corner", "flip"):
        assert torch.equal(getattr(old, name), getattr(new, name))
    assert old.colour.numel() == old.hole.numel() == 0


def test_the_draws_of_an_epoch_stay_where_they_are() -> None:
    """One row of the epoch's own stream for each image: runs of old go on with the same bits."""
    spec = Augmentation(shift=2, elastic=3, elastic_grid=5, crop=4, flip=True, cutout=2)
    table = epoch_table(spec, 30, 5, 2)
    generator = torch.Generator().manual_seed(derive_seed(5, "augment", 2))
    chance = torch.rand(30, 8 + 2 * 25, generator=generator)
    assert torch.equal(table.shift, (chance[:, 0:2] * 2 - 1) * 2)
    assert torch.equal(table.corner, chance[:, 5:7])
    assert torch.equal(table.flip, chance[:, 7] < 0.5)
    assert torch.equal(table.field.flatten(1), (chance[:, 8:] * 2 - 1) * 3)
    corners = (chance[:, 5:7] * 9).long()  # 0 to 8: a border of 4 on each side
    images = pictures(30, 3, 12, 12)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4), value=7)
    upright = replace(table, flip=torch.zeros(30, dtype=torch.bool))
    found = augment(images, upright, torch.arange(30), Augmentation(crop=4), 7)
    expected = [padded[i, :, y : y + 12, x : x + 12] for i, (x, y) in enumerate(corners.tolist())]
    assert torch.equal(found, torch.stack(expected))


# Cutout


@given(
    side=st.integers(1, 12), height=st.integers(1, 9), width=st.integers(1, 9), fill=st.integers()
)
def test_cutout_is_that_of_a_loop(side: int, height: int, width: int, fill: int) -> None:
    fill %= 256
    images, spec = pictures(40, 3, height, width), Augmentation(cutout=side)
    table = epoch_table(spec, 40, 1, 1)
    found = augment(images, table, torch.arange(40), spec, fill)
    assert torch.equal(images, pictures(40, 3, height, width))  # the data set's own stay
    for row in range(40):
        x, y = (
            math.floor(float(u) * n) for u, n in zip(table.hole[row], (width, height), strict=True)
        )
        expected = images[row].clone()
        for i in range(height):
            for j in range(width):
                if y - side // 2 <= i < y - side // 2 + side and (
                    x - side // 2 <= j < x - side // 2 + side
                ):
                    expected[:, i, j] = fill
        assert torch.equal(found[row], expected)


def test_cutout_by_hand() -> None:
    """A square of 2 with its centre at (3, 0) of a 4 × 3 image: half of it lies outside."""
    images = torch.full((1, 1, 3, 4), 7, dtype=torch.uint8)
    spec, hole = Augmentation(cutout=2), (0.75, 0.1)
    found = augment(images, table_of(hole=hole), ONE, spec, 1)
    assert found[0, 0].tolist() == [[7, 7, 1, 1], [7, 7, 7, 7], [7, 7, 7, 7]]


def test_cutout_comes_after_the_colour() -> None:
    spec = Augmentation(cutout=40, colour_noise=0.1)
    table = epoch_table(spec, 4, 0, 0)
    found = augment(pictures(4, 3), table, torch.arange(4), spec, 200, axes=AXES)
    assert (found[:, :, 14, 14] == 200).all()


# Colour noise


def test_colour_axes_by_hand() -> None:
    """Grey values 0 and 2 along (1, 1, 1): variance 1 in each channel, 3 along the axis."""
    images = np.zeros((2, 3, 1, 1), dtype=np.uint8)
    images[1] = 2
    assert colour_axes(images).numpy() == pytest.approx(
        np.array([[1.0, 0, 0]] * 3), abs=1e-6
    )  # √3 times the unit vector (1, 1, 1) / √3


def test_colour_axes_are_the_covariance() -> None:
    """numpy.cov is another way to the same matrix: A Aᵀ, with orthogonal columns, largest first."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(40 * 81, 3)) @ rng.normal(size=(3, 3)) * 30 + 120
    images = np.clip(mixed, 0, 255).astype(np.uint8).reshape(40, 9, 9, 3).transpose(0, 3, 1, 2)
    axes = colour_axes(images).double().numpy()
    values = images.transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(axes @ axes.T, np.cov(values, bias=True), rtol=1e-5)
    gram = axes.T @ axes
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-3
    assert (np.diff(np.diag(gram)) <= 0).all()
    assert (axes[np.abs(axes).argmax(axis=0), range(3)] > 0).all()


def test_colour_axes_see_evenly_spaced_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from convscope.data import colour

    monkeypatch.setattr(colour, "MOST_IMAGES", 3)
    images = pictures(9, 3, 5, 4).numpy()
    assert torch.equal(colour_axes(images), colour_axes(images[[0, 3, 6]]))
    monkeypatch.setattr(colour, "MOST_PIXELS", 45)  # two images of 20 pixels
    assert torch.equal(colour_axes(images), colour_axes(images[[0, 4]]))
    monkeypatch.setattr(colour, "MOST_PIXELS", 1)
    assert torch.equal(colour_axes(images), colour_axes(images[:1]))


def test_colour_axes_of_one_colour_are_zero() -> None:
    assert not colour_axes(np.full((3, 3, 4, 4), 77, dtype=np.uint8)).any()


@pytest.mark.parametrize(("n", "channels"), [(0, 3), (4, 1)])
def test_colour_axes_need_colours(n: int, channels: int) -> None:
    images = np.zeros((n, channels, 4, 4), dtype=np.uint8)
    with pytest.raises(InputError, match=f"for {n} images of {channels} channels; allowed: at lea"):
        colour_axes(images)


def test_colour_noise_by_hand() -> None:
    """0.1 · 50 + 0.5 · 8 − 1 · 3 = 6, and so on: one colour for the whole image."""
    images = torch.tensor([[[[0, 100]], [[100, 250]], [[3, 254]]]], dtype=torch.uint8)
    spec, table = Augmentation(colour_noise=1), table_of(colour=(0.1, 0.5, -1.0))
    found = augment(images, table, ONE, spec, axes=AXES)
    assert found[0, :, 0].tolist() == [[6, 106], [111, 255], [1, 252]]  # + 6, + 11, − 2
    found = augment(images.float(), table, ONE, spec, axes=AXES)
    assert found[0, :, 0].tolist() == [[6, 106], [111, 261], [1, 252]]


@given(st.lists(st.floats(-400, 400, width=32), min_size=3, max_size=3))
def test_colour_noise_of_bytes_is_rounded_and_bounded(colour: list[float]) -> None:
    values = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256).contiguous()
    axes, table = torch.eye(3), table_of(colour=(colour[0], colour[1], colour[2]))
    found = augment(values, table, ONE, Augmentation(colour_noise=1), axes=axes)
    for channel in range(3):
        expected = [min(max(v + round(colour[channel]), 0), 255) for v in range(256)]
        assert found[0, channel, 0].tolist() == expected


def test_colour_multipliers_are_normal() -> None:
    n = 20_000
    colour = epoch_table(Augmentation(colour_noise=0.1), n, 0, 0).colour
    assert colour.shape == (n, 3)
    assert float(colour.mean(0).abs().max()) < 5 * 0.1 / math.sqrt(n)
    assert torch.allclose(colour.std(0), torch.tensor(0.1), atol=5 * 0.1 / math.sqrt(2 * n))
    beyond = float((colour.abs() > 0.196).float().mean())
    assert abs(beyond - 0.05) < 5 * math.sqrt(0.05 * 0.95 / (3 * n))
    assert float(torch.corrcoef(colour.T).fill_diagonal_(0).abs().max()) < 5 / math.sqrt(n)


def test_colour_noise_adds_a_few_grey_levels() -> None:
    """Of photographs, whose grey levels have a deviation of about 60, about 6 in each channel."""
    rng = np.random.default_rng(0)
    light = rng.normal(120, 55, (300, 1, 8, 8)) + rng.normal(0, 20, (300, 3, 8, 8))
    images = np.clip(light, 0, 255).astype(np.uint8)
    spec = Augmentation(colour_noise=0.1)
    table = epoch_table(spec, 300, 0, 0)
    grey = torch.full((300, 3, 1, 1), 128.0)
    moved = augment(grey, table, torch.arange(300), spec, axes=colour_axes(images)) - grey
    assert 3 < float(moved.std()) < 8


def test_colour_noise_needs_axes_and_colours() -> None:
    spec = Augmentation(colour_noise=0.1)
    table = epoch_table(spec, 1, 0, 0)
    with pytest.raises(InputError, match="on 3 channels without axes; allowed: 3 channels, and"):
        augment(pictures(1, 3), table, ONE, spec)
    with pytest.raises(InputError, match="on 1 channels with axes"):
        augment(pictures(1), table, ONE, spec, axes=AXES)
