"""Views at test time: which pixels each one shows, and the mean of their probabilities."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from convscope.data.preprocess import Preprocessing
from convscope.errors import InputError
from convscope.evaluation.inference import log_probabilities
from convscope.evaluation.views import DESCRIPTIONS, VIEWS, check_views, views_of

WHOLE = Preprocessing(channels=1, size=(4, 6), mean=(0.0,), std=(1.0,))
CROPPED = Preprocessing(channels=1, size=(4, 6), crop=(3, 3), mean=(0.0,), std=(1.0,))
PICTURE = torch.arange(24, dtype=torch.uint8).view(1, 1, 4, 6)


class FirstPixel(nn.Module):
    """Scores 0 and the grey level of the upper left pixel it sees, 0 to 255."""

    def forward(self, x: Tensor) -> Tensor:
        level = x[:, 0, 0, 0] * 255
        return torch.stack([torch.zeros_like(level), level], dim=1)


def test_ten_crops_by_hand() -> None:
    """Of 4 × 6 pixels, crops of 3 × 3 begin at rows 0, 1 and columns 0, 3; the centre at 0, 1."""
    views = [view[0, 0].tolist() for view in views_of(PICTURE, CROPPED, "ten-crop")]
    assert len(views) == VIEWS["ten-crop"]
    picture = PICTURE[0, 0].numpy()
    expected = []
    for top, left in ((0, 0), (0, 3), (1, 0), (1, 3), (0, 1)):
        crop = picture[top : top + 3, left : left + 3]
        expected += [crop.tolist(), crop[:, ::-1].tolist()]
    assert views == expected


def test_mirrored_by_hand() -> None:
    views = [view[0, 0].tolist() for view in views_of(PICTURE, WHOLE, "mirrored")]
    assert views == [PICTURE[0, 0].tolist(), PICTURE[0, 0].flip(1).tolist()]


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    rows=st.integers(0, 5),
    columns=st.integers(0, 5),
)
def test_the_centre_is_the_single_view(height: int, width: int, rows: int, columns: int) -> None:
    """The ninth view is what the preprocessing itself makes of the picture, odd borders or not."""
    how = Preprocessing(
        channels=1,
        size=(height + rows, width + columns),
        crop=(height, width),
        mean=(0.0,),
        std=(1.0,),
    )
    generator = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (2, 1, *how.size), generator=generator, dtype=torch.uint8)
    model = FirstPixel()
    centre = list(views_of(images, how, "ten-crop"))[8]
    assert centre.shape[2:] == (height, width)
    np.testing.assert_array_equal(
        log_probabilities(model, centre.numpy(), how),
        log_probabilities(model, images.numpy(), how),
    )


def test_probabilities_are_averaged_before_the_logarithm() -> None:
    """The two views show 0 and ln 3 at the upper left: (1/2 + 3/4) / 2 = 5/8."""
    model = FirstPixel()
    images = np.array([[[[0, 1]]]], dtype=np.uint8)
    how = Preprocessing(channels=1, size=(1, 2), mean=(0.0,), std=(1 / np.log(3),))
    result = np.exp(log_probabilities(model, images, how, views="mirrored"))
    np.testing.assert_allclose(result, [[3 / 8, 5 / 8]], rtol=1e-6)
    single = np.exp(log_probabilities(model, images, how))
    np.testing.assert_allclose(single, [[1 / 2, 1 / 2]], rtol=1e-6)


@pytest.mark.parametrize("views", sorted(VIEWS))
def test_batches_do_not_matter(views: str) -> None:
    model = FirstPixel()
    images = np.random.default_rng(0).integers(0, 9, (7, 1, 4, 6), dtype=np.uint8)
    whole = log_probabilities(model, images, CROPPED, views=views, batch_size=7)
    parts = log_probabilities(model, images, CROPPED, views=views, batch_size=2)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    np.testing.assert_allclose(np.exp(whole).sum(axis=1), 1, rtol=1e-12)


def test_ten_crops_need_room() -> None:
    with pytest.raises(InputError, match="ten-crop views need a preprocessing that crops"):
        check_views("ten-crop", WHOLE)
    check_views("mirrored", WHOLE)


def test_every_set_of_views_is_described() -> None:
    assert set(DESCRIPTIONS) == set(VIEWS)
