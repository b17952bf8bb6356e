"""Several views of one image at test time: mirror images, and crops.

The network's probabilities for the views are averaged. A single view is what a user's picture
gets; more views are more work for a better answer, and are reported apart.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError, unknown_name

if TYPE_CHECKING:  # the report needs the words of this module, and no torch
    from torch import Tensor

VIEWS = {"single": 1, "mirrored": 2, "ten-crop": 10}
"""The named sets of views, and how many views each has.

`single`: the image itself, or its centre where the preprocessing crops.
`mirrored`: that, and its mirror image.
`ten-crop`: crops at the four corners and the centre, each mirrored, too (Krizhevsky et al. 2012,
section 4.1).
"""

DESCRIPTIONS = {
    "single": "one view",
    "mirrored": "itself and its mirror image",
    "ten-crop": "crops at its corners and its centre, each mirrored, too",
}


def views_of(images: "Tensor", preprocessing: Preprocessing, name: str) -> "Iterator[Tensor]":
    """The views of a batch, one after the other, each ready for `to_input`.

    Args:
        images: uint8, N × C × H × W, of the preprocessing's size.
        preprocessing: its `crop` is the size of a crop.
        name: one of VIEWS.

    Raises:
        InputError: an unknown name, or `ten-crop` where the preprocessing does not crop.
    """
    check_views(name, preprocessing)
    if name == "ten-crop":
        for crop in _five(images, preprocessing.crop or preprocessing.size):
            yield crop
            yield crop.flip(3)
        return
    yield images
    if name == "mirrored":
        yield images.flip(3)


def check_views(name: str, preprocessing: Preprocessing) -> None:
    """Refuse a set of views that does not exist, or that the preprocessing has no room for.

    Raises:
        InputError: with what to do.
    """
    if name not in VIEWS:
        raise unknown_name("set of views", name, VIEWS)
    if name == "ten-crop" and preprocessing.crop is None:
        raise InputError(
            "ten-crop views need a preprocessing that crops, and this one shows the network the "
            "whole picture; take the views 'mirrored'"
        )


def _five(images: "Tensor", size: tuple[int, int]) -> "Iterator[Tensor]":
    height, width = size
    bottom, right = images.shape[2] - height, images.shape[3] - width
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    for top, left in corners:
        yield images[:, :, top : top + height, left : left + width]
