"""Augmentation of batches: crop, flip, shift, rotation, scale, shear, elastic, colour, cutout.

Every random number belongs to (seed, epoch, index of the image): a table is drawn once for an
epoch, and a batch takes its rows. Order, batch size, resuming and workers change nothing.

Crop and flip move whole pixels and come first. Then comes one resampling (bilinear) for all
distortions, so that an image is blurred once, however many it gets; then the colour noise, and
the cutout last, so that its square has exactly the fill. Elastic distortion follows P. Simard, D.
Steinkraus, J. Platt: Best practices for convolutional neural networks applied to visual document
analysis, ICDAR 2003, section 2, with a random field that is smooth because it is a quadratic
B-spline on a coarse grid, rather than white noise convolved with a Gaussian.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field

from convscope.data.colour import add_colour
from convscope.data.colour import colour_axes as colour_axes
from convscope.errors import InputError
from convscope.seeds import derive_seed

Finite = Field(ge=0, allow_inf_nan=False)


class Augmentation(BaseModel):
    """How far an image may be changed; each change is uniform within its range. Zeros: not at all.

    Attributes:
        shift: pixels, up to ± this along each axis.
        rotation: degrees, up to ± this, about the centre.
        scale: a fraction, 0 to 0.9: sizes are multiplied by 1 − scale to 1 + scale.
        squeeze: a fraction, 0 to 0.9: the width is multiplied by 1 / (1 + squeeze) to 1 + squeeze,
            and the height divided by the same (LeCun et al. 1998, section III-B).
        shear: degrees, 0 to 60, up to ± this, horizontally.
        elastic: pixels: the largest displacement of any point along each axis.
        elastic_grid: control points of the elastic field along each axis, 3 to 32: the more, the
            finer the waves.
        distorted: the share of the images that shift, rotation, scale, squeeze, shear and elastic
            are for, drawn anew in each epoch; the others pass as they are.
        crop: pixels of border added on each side before a random crop of the old size (of the
            window, where there is one).
        crop_border: what that border holds: the fill, or the image mirrored at its edge.
        flip: mirror half of the images left to right, drawn anew in each epoch; `alternating`:
            drawn once, the other half in the next epoch, so that two epochs show each image both
            ways (K. Jordan 2024, arXiv:2404.00498, section 3.6).
        colour_noise: standard deviation of the multiplier of each colour axis, see
            `colour_axes`; 0.1 in Krizhevsky et al. 2012, section 4.1.
        cutout: pixels: side of a square set to the fill. Its centre is any pixel, so that a part
            of it may lie outside (T. DeVries, G. W. Taylor: Improved regularization of
            convolutional neural networks with cutout, 2017, section 3.2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: Annotated[float, Finite, Field(le=1000)] = 0.0
    rotation: Annotated[float, Finite, Field(le=180)] = 0.0
    scale: Annotated[float, Finite, Field(le=0.9)] = 0.0
    squeeze: Annotated[float, Finite, Field(le=0.9)] = 0.0
    shear: Annotated[float, Finite, Field(le=60)] = 0.0
    elastic: Annotated[float, Finite, Field(le=1000)] = 0.0
    elastic_grid: Annotated[int, Field(ge=3, le=32)] = 4
    distorted: Annotated[float, Field(ge=0, le=1)] = 1.0
    crop: Annotated[int, Field(ge=0, le=1000)] = 0
    crop_border: Literal["fill", "reflect"] = "fill"
    flip: bool | Literal["alternating"] = False
    colour_noise: Annotated[float, Finite, Field(le=10)] = 0.0
    cutout: Annotated[int, Field(ge=0, le=4096)] = 0

    @property
    def resamples(self) -> bool:
        """Whether pixels are interpolated, and not only moved as a whole."""
        distances = (self.shift, self.rotation, self.scale, self.squeeze, self.shear, self.elastic)
        return any(distances)


@dataclass(frozen=True)
class EpochTable:
    """What happens to each of the N images in one epoch.

    Attributes:
        matrix: float32, N × 2 × 2: from a position in the result, counted from the centre in
            pixels (x, y), to the position in the image it is taken from.
        shift: float32, N × 2 (x, y), pixels: how far the image moves.
        field: float32, N × 2 × grid × grid (x, y), pixels: control points; empty without elastic.
        corner: float32, N × 2 (x, y), 0 to 1: where the crop lies between the farthest left (top)
            and right (bottom).
        flip: bool, N.
        colour: float32, N × 3: how much of each colour axis is added; empty without colour noise.
        hole: float32, N × 2 (x, y), 0 to 1: where the centre of the cutout lies; empty without.
    """

    matrix: torch.Tensor
    shift: torch.Tensor
    field: torch.Tensor
    corner: torch.Tensor
    flip: torch.Tensor
    colour: torch.Tensor
    hole: torch.Tensor


def epoch_table(spec: Augmentation, n: int, seed: int, epoch: int) -> EpochTable:
    """Draw what happens to each of `n` images in an epoch, from nothing but the arguments.

    The first rows do not depend on `n`.
    """
    grid = spec.elastic_grid if spec.elastic else 0
    generator = torch.Generator().manual_seed(derive_seed(seed, "augment", epoch))
    chance = torch.rand(n, 8 + 2 * grid * grid, generator=generator)
    signed = chance * 2 - 1
    if spec.distorted < 1:
        signed *= _chance(n, 1, derive_seed(seed, "distorted", epoch)) < spec.distorted
    angle = signed[:, 2] * math.radians(spec.rotation)
    size = 1 + signed[:, 3] * spec.scale
    slope = torch.tan(signed[:, 4] * math.radians(spec.shear))
    wide = high = size
    if spec.squeeze:
        aside = _chance(n, 1, derive_seed(seed, "squeeze", epoch))[:, 0] * 2 - 1
        narrower = (1 + spec.squeeze) ** torch.where(signed.any(1), aside, 0.0)
        wide, high = size * narrower, size / narrower
    cos, sin = torch.cos(angle), torch.sin(angle)
    # The inverse of: shear along x, then scale, then rotate counter-clockwise (y points down).
    rows = [cos / wide - slope * (sin / high), -sin / wide - slope * (cos / high)]
    rows += [sin / high, cos / high]
    return EpochTable(
        matrix=torch.stack(rows, dim=1).view(n, 2, 2),
        shift=signed[:, 0:2] * spec.shift,
        field=(signed[:, 8:] * spec.elastic).view(n, 2, grid, grid),
        corner=chance[:, 5:7].clone(),
        flip=_mirrored(spec, chance[:, 7], n, seed, epoch),
        colour=_normal(n, derive_seed(seed, "colour", epoch)) * spec.colour_noise
        if spec.colour_noise
        else torch.zeros(n, 0),
        hole=_chance(n, 2, derive_seed(seed, "cutout", epoch))
        if spec.cutout
        else torch.zeros(n, 0),
    )


def _mirrored(
    spec: Augmentation, chance: torch.Tensor, n: int, seed: int, epoch: int
) -> torch.Tensor:
    if spec.flip == "alternating":
        first = _chance(n, 1, derive_seed(seed, "flip"))[:, 0] < 0.5
        return first ^ bool(epoch % 2)
    return (chance < 0.5) & spec.flip


def _chance(n: int, columns: int, seed: int) -> torch.Tensor:
    return torch.rand(n, columns, generator=torch.Generator().manual_seed(seed))


def _normal(n: int, seed: int) -> torch.Tensor:
    """Standard normal numbers, N × 3. torch.randn would give other rows for another `n`."""
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(n, 3, generator=generator, dtype=torch.float64)
    normal: torch.Tensor = torch.special.ndtri(chance.clamp_(min=2.0**-53)).float()
    return normal


def augment(
    images: torch.Tensor,
    table: EpochTable,
    rows: torch.Tensor,
    spec: Augmentation,
    fill: float = 0,
    *,
    window: tuple[int, int] | None = None,
    axes: torch.Tensor | None = None,
) -> torch.Tensor:
    """A batch of images, changed as the table says; of the same type.

    Args:
        images: uint8 or float32 (in grey levels, too), N × C × H × W, on the CPU.
        table: of `epoch_table`, made with the same `spec`.
        rows: int64, N: the index of each image in the data set.
        spec: which changes to make.
        fill: the value that comes in from outside the image.
        window: height and width of the result: each image's window lies anywhere in it, its
            border of `spec.crop` included. Default: the size of the images.
        axes: of `colour_axes`; needed for colour noise.

    Raises:
        InputError: a window larger than the image and its border; colour noise without axes.
    """
    given = images
    if spec.crop or spec.flip or window not in (None, tuple(images.shape[2:])):
        images = _place(images, table, rows, spec, fill, window)
    if spec.resamples:
        positions = _positions(table, rows, images.shape[2], images.shape[3])
        images = _resample(images, positions, fill)
    if spec.colour_noise:
        if axes is None or images.shape[1] != 3:
            raise InputError(
                f"colour noise on {images.shape[1]} channels "
                f"{'without' if axes is None else 'with'} axes; "
                "allowed: 3 channels, and axes=colour_axes(images of the training set)"
            )
        images = add_colour(images, table.colour[rows], axes)
    if spec.cutout:
        images = _cut_out(images.clone() if images is given else images, table, rows, spec, fill)
    return images


def _place(
    images: torch.Tensor,
    table: EpochTable,
    rows: torch.Tensor,
    spec: Augmentation,
    fill: float,
    window: tuple[int, int] | None,
) -> torch.Tensor:
    """Each image's window, mirrored or not. Image by image: slices beat any gather of pixels."""
    size, border = tuple(images.shape[2:]), spec.crop
    height, width = window or size
    free = torch.tensor([size[1] + 2 * border - width, size[0] + 2 * border - height])
    if (free < 0).any():
        raise InputError(
            f"the window is {height} × {width}; allowed: at most the {size[0]} × {size[1]} pixels "
            f"of the images and a border of {border} on each side"
        )
    corners = (table.corner[rows] * (free + 1)).long().minimum(free) - border
    source = images.numpy()
    if border and spec.crop_border == "reflect":
        source = _reflected(source, border)
        corners += border
    shape = (*images.shape[:2], height, width)
    # Zeros cost nothing until they are touched.
    result = np.full(shape, fill, source.dtype) if fill else np.zeros(shape, source.dtype)
    mirrored = table.flip[rows].tolist()
    for target, image, (x, y), flip in zip(result, source, corners.tolist(), mirrored, strict=True):
        if flip:
            target = target[:, :, ::-1]
        taken = image[:, max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
        top, left = max(-y, 0), max(-x, 0)
        target[:, top : top + taken.shape[1], left : left + taken.shape[2]] = taken
    return torch.from_numpy(result)


def _reflected(images: npt.NDArray[np.generic], border: int) -> npt.NDArray[np.generic]:
    if border >= min(images.shape[2:]):
        raise InputError(
            f"augmentation.crop is {border}; allowed with crop_border=reflect: less than the "
            f"{images.shape[2]} × {images.shape[3]} pixels of the images"
        )
    return np.pad(images, ((0, 0), (0, 0), (border, border), (border, border)), mode="reflect")


def _cut_out(
    images: torch.Tensor, table: EpochTable, rows: torch.Tensor, spec: Augmentation, fill: float
) -> torch.Tensor:
    """`images` themselves, each with its square set to the fill."""
    size = torch.tensor([images.shape[3], images.shape[2]])
    corners = (table.hole[rows] * size).long().minimum(size - 1) - spec.cutout // 2
    for image, (x, y) in zip(images.numpy(), corners.tolist(), strict=True):
        image[:, max(y, 0) : max(y + spec.cutout, 0), max(x, 0) : max(x + spec.cutout, 0)] = fill
    return images


def _positions(table: EpochTable, rows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Where each pixel of the result is taken from: N × H × W × 2 (x, y), pixels from the centre.

    Elementwise operations only: a matrix product may add in another order for another batch
    size, and an image must come out the same in any batch.
    """
    (a, b), (c, d) = table.matrix[rows].permute(1, 2, 0)[..., None, None]
    move_x, move_y = table.shift[rows].T[..., None, None]
    x = torch.arange(width) - (width - 1) / 2 - move_x
    y = (torch.arange(height) - (height - 1) / 2).view(-1, 1) - move_y
    taken_x, taken_y = a * x + b * y, c * x + d * y
    if table.field.shape[-1]:
        across, down = _field(table.field[rows], height, width)
        taken_x, taken_y = taken_x + across, taken_y + down
    return torch.stack((taken_x, taken_y), dim=3)


def _field(points: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The B-spline through the whole image: two of N × H × W. Never beyond the control points."""
    grid = points.shape[-1]
    vertical, horizontal = _weights(height, grid), _weights(width, grid)
    field = torch.zeros(*points.shape[:2], height, width)
    for column in range(grid):
        strip = torch.zeros(*points.shape[:2], height, 1)
        for row in range(grid):
            strip += vertical[row].view(-1, 1) * points[:, :, row, column, None, None]
        field += strip * horizontal[column]
    return field[:, 0], field[:, 1]


def _weights(length: int, grid: int) -> torch.Tensor:
    """Uniform quadratic B-splines, grid × length: not negative, and 1 in sum at each pixel."""
    position = (torch.arange(length) + 0.5) / length * (grid - 2) + 0.5
    distance = (position - torch.arange(grid).view(-1, 1)).abs()
    return torch.where(
        distance <= 0.5, 0.75 - distance**2, 0.5 * (1.5 - distance).clamp(min=0) ** 2
    )


def _resample(images: torch.Tensor, positions: torch.Tensor, fill: float) -> torch.Tensor:
    height, width = images.shape[2:]
    # grid_sample counts from −1 at the image's left edge to 1 at its right edge.
    normalised = positions * torch.tensor([2 / width, 2 / height])
    inside = images.float() - fill  # beyond the border grid_sample has 0, which is then the fill
    result = F.grid_sample(inside, normalised, mode="bilinear", align_corners=False).add_(fill)
    return result.round_().to(torch.uint8) if images.dtype == torch.uint8 else result
