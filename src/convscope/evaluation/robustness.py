"""How accuracy falls when the pictures are shifted, rotated, noisy or pale.

Perturbations change uint8 pixels before preprocessing, as a user's picture would be changed.
Azulay & Weiss 2019 showed how much small shifts matter; noise and contrast are as in Hendrycks
& Dietterich 2019 (ImageNet-C), in strengths of our own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from convscope.data.dataset import Images
from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.evaluation.inference import Progress, largest_batch, log_probabilities
from convscope.evaluation.metrics import wilson_interval
from convscope.evaluation.results import CurvePoint, RobustnessCurve
from convscope.seeds import derive_seed

IntArray = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

_DIRECTIONS = ((0, 1), (0, -1), (-1, 0), (1, 0))  # right, left, up, down as (rows, columns)
_VALUES_AT_A_TIME = 2**22  # pixel values perturbed together, so that memory stays bounded

MOST_IMAGES, LEAST_IMAGES = 1000, 200
MOST_MULTIPLY_ADDS = 10**13
"""What the curves of a heavy network may cost: about a minute or two on two cores."""


def shift(images: Pixels, rows: int, columns: int, fill: int) -> Pixels:
    """Images (N × C × H × W) moved down by `rows` and right by `columns`; what opens is `fill`.

    >>> shift(np.array([[[[1, 2, 3]]]], dtype=np.uint8), 0, 1, fill=9)
    array([[[[9, 1, 2]]]], dtype=uint8)
    """
    height, width = images.shape[2:]
    moved = np.full_like(images, fill)
    if abs(rows) < height and abs(columns) < width:
        target = _overlap(rows, height), _overlap(columns, width)
        source = _overlap(-rows, height), _overlap(-columns, width)
        moved[:, :, *target] = images[:, :, *source]
    return moved


def _overlap(offset: int, length: int) -> slice:
    return slice(max(offset, 0), length + min(offset, 0))


def rotate(images: Pixels, degrees: float, fill: int) -> Pixels:
    """Images (N × C × H × W) turned counter-clockwise about their centre, on a ground of `fill`.

    Bilinear, by one `grid_sample` for all images; the size stays, corners are cut.
    """
    height, width = images.shape[2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Grid coordinates run from −1 to 1 on both axes, so a turn must undo the aspect ratio.
    turn = torch.tensor([[[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]])
    grid = F.affine_grid(turn, [1, 1, height, width], align_corners=False)
    # Outside the picture is 0, hence the detour by the difference from `fill`.
    pixels = torch.from_numpy(images.astype(np.float32) - fill)
    turned = F.grid_sample(pixels, grid.expand(len(images), -1, -1, -1), align_corners=False)
    return _to_uint8(turned.numpy() + np.float32(fill))


def standard_noise(indices: IntArray, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Standard normal noise for images of `shape` (C, H, W): N × C × H × W.

    An image's noise depends on the seed and on its own index alone, not on its neighbours.
    """
    return np.stack(
        [
            np.random.default_rng(derive_seed(seed, "noise", index)).standard_normal(
                shape, dtype=np.float32
            )
            for index in indices.tolist()
        ]
    )


def add_noise(images: Pixels, noise: npt.NDArray[np.float32], deviation: float) -> Pixels:
    """Images plus noise of this standard deviation, a fraction of the full range, then clipped."""
    return _to_uint8(images + np.float32(255 * deviation) * noise)


def lower_contrast(images: Pixels, contrast: float) -> Pixels:
    """Pixels drawn towards the mean of their channel in their own image.

    `contrast` is the share of each pixel's distance from that mean which remains (the
    definition of ImageNet-C, Hendrycks & Dietterich 2019): 1 changes nothing, at 0 nothing
    is left to see.
    """
    mean = images.mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    return _to_uint8(mean + np.float32(contrast) * (images - mean))


def _to_uint8(pixels: npt.NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Some images, N × C × H × W, and what the perturbations need besides."""

    images: Pixels
    noise: npt.NDArray[np.float32]
    fill: int


@dataclass(frozen=True, kw_only=True)
class _Perturbation:
    """One curve: `apply(batch, strength)` gives one or more changed versions of the images."""

    name: str
    label: str
    unit: str
    strengths: tuple[float, ...]
    unchanged: float  # the strength that changes nothing
    versions: int = 1  # changed images that `apply` gives for each
    apply: Callable[[_Batch, float], list[Pixels]]


def _shifted(batch: _Batch, pixels: float) -> list[Pixels]:
    step = int(pixels)
    return [shift(batch.images, step * row, step * col, batch.fill) for row, col in _DIRECTIONS]


PERTURBATIONS = (
    _Perturbation(
        name="shift",
        label="Shift",
        unit="pixels, mean of right, left, up and down",
        strengths=(0, 1, 2, 3, 4, 5, 6, 8),
        unchanged=0,
        versions=len(_DIRECTIONS),
        apply=_shifted,
    ),
    _Perturbation(
        name="rotation",
        label="Rotation",
        unit="degrees counter-clockwise",
        strengths=(-60, -45, -30, -15, 0, 15, 30, 45, 60),
        unchanged=0,
        apply=lambda batch, degrees: [rotate(batch.images, degrees, batch.fill)],
    ),
    _Perturbation(
        name="noise",
        label="Gaussian noise",
        unit="standard deviation as a share of the full range",
        strengths=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        unchanged=0.0,
        apply=lambda batch, deviation: [add_noise(batch.images, batch.noise, deviation)],
    ),
    _Perturbation(
        name="contrast",
        label="Contrast",
        unit="share of the contrast left",
        strengths=(0.1, 0.2, 0.4, 0.6, 0.8, 1.0),
        unchanged=1.0,
        apply=lambda batch, contrast: [lower_contrast(batch.images, contrast)],
    ),
)


_POINTS = tuple((curve, x) for curve in PERTURBATIONS for x in curve.strengths)

PASSES = 1 + sum(curve.versions for curve, x in _POINTS if x != curve.unchanged)
"""How often the network sees each image for all curves: once unchanged, and each version."""


def affordable_images(multiply_adds: int) -> int:
    """How many images the curves of a network are measured on: 1,000, of heavy ones fewer.

    So many that all passes together stay within 10¹³ multiply-adds, but never fewer than 200,
    where the 95 % interval is up to ± 7 points wide.

    >>> affordable_images(416_000), affordable_images(720_000_000), affordable_images(10**10)
    (1000, 295, 200)

    Args:
        multiply_adds: of the network for one image; 0 where they are not known.
    """
    within = MOST_MULTIPLY_ADDS // (PASSES * max(multiply_adds, 1))
    return max(LEAST_IMAGES, min(MOST_IMAGES, within))


def stratified_indices(labels: IntArray, limit: int) -> IntArray:
    """At most `limit` positions, ascending, each class in proportion to its size (± 1)."""
    n = len(labels)
    if n <= limit:
        return np.arange(n)
    by_class = np.argsort(labels, kind="stable")
    return np.sort(by_class[np.arange(limit) * n // limit])


def robustness(
    model: nn.Module,
    images: Images,
    labels: IntArray,
    preprocessing: Preprocessing,
    *,
    seed: int = 0,
    limit: int = MOST_IMAGES,
    progress: Progress | None = None,
) -> tuple[RobustnessCurve, ...]:
    """Accuracy and agreement against shift, rotation, Gaussian noise and contrast.

    Shift fills with the preprocessing's background, and each point is the mean over the four
    directions; its interval counts images, not image × direction, and so errs on the wide
    side. The unchanged end of each curve is the accuracy on the same images, unperturbed.

    Args:
        model: as for `log_probabilities`.
        images: uint8, N × C × H × W, N at least 1, of the preprocessing's channels and size.
        labels: N, the right answers.
        preprocessing: from the changed pixels to the model's input.
        seed: of the noise; the same seed gives the same curves.
        limit: at most so many images are used, evenly over the classes; each curve's `n`
            says how many were.
        progress: called with (images done, images used) after each batch.

    Raises:
        InputError: as `log_probabilities` does, or labels or a limit that do not fit.
    """
    if len(images) == 0 or len(labels) != len(images):
        raise InputError(
            f"there are {len(images)} images and {len(labels)} labels; allowed: at least one "
            "image, and a label for each"
        )
    if limit < 1:
        raise InputError(f"the limit is {limit} images; allowed: at least 1")
    chosen = stratified_indices(labels, limit)
    at_a_time = max(1, min(250, _VALUES_AT_A_TIME // math.prod(images.shape[1:])))
    at_a_time = min(at_a_time, largest_batch(model, preprocessing))
    totals = np.zeros((len(_POINTS), 2))
    for start in range(0, len(chosen), at_a_time):
        part = chosen[start : start + at_a_time]
        noise = standard_noise(part, images.shape[1:], seed)
        batch = _Batch(images=images[part], noise=noise, fill=preprocessing.fill)
        totals += _count(model, batch, labels[part], preprocessing)
        if progress is not None:
            progress(start + len(part), len(chosen))
    points = [
        CurvePoint(
            x=x,
            accuracy=right / len(chosen),
            interval=wilson_interval(right, len(chosen)),
            agreement=agreeing / len(chosen),
        )
        for (_, x), (right, agreeing) in zip(_POINTS, totals.tolist(), strict=True)
    ]
    return tuple(
        RobustnessCurve(
            name=curve.name,
            label=curve.label,
            unit=curve.unit,
            points=tuple(
                point for point, (of, _) in zip(points, _POINTS, strict=True) if of is curve
            ),
            n=len(chosen),
        )
        for curve in PERTURBATIONS
    )


def _count(
    model: nn.Module,
    batch: _Batch,
    labels: IntArray,
    preprocessing: Preprocessing,
) -> npt.NDArray[np.float64]:
    """For each point, how many images are right and how many agree with the clean prediction.

    Where a point has several versions of an image, each counts for its share.
    """

    def predict(images: Pixels) -> IntArray:
        scores = log_probabilities(model, images, preprocessing, batch_size=len(images))
        winners: IntArray = scores.argmax(axis=1)
        return winners

    clean = predict(batch.images)
    counts = np.empty((len(_POINTS), 2))
    for row, (curve, x) in enumerate(_POINTS):
        if x == curve.unchanged:
            versions = clean[None]
        else:
            versions = np.stack([predict(images) for images in curve.apply(batch, x)])
        counts[row] = (versions == labels).sum(), (versions == clean).sum()
        counts[row] /= len(versions)
    return counts
