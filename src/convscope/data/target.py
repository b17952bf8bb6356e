"""What decoded images are to become."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from convscope.data.geometry import Aspect, conform_image


@dataclass(frozen=True)
class Target:
    """Size, channels and aspect as in `conform`, and whether small images keep their own size.

    Attributes:
        size: height and width; None keeps each image's own.
        channels: 1 or 3; None keeps each image's own.
        aspect: how other proportions become `size`.
        keep_size: leave an image alone that is no larger than `size` in either side.
    """

    size: tuple[int, int] | None = None
    channels: int | None = None
    aspect: Aspect = "stretch"
    keep_size: bool = False

    def conform(self, image: Image.Image, *, native: bool) -> npt.NDArray[np.uint8]:
        """uint8 C × H × W; at the image's own size if it is small and `native` is still on."""
        size = self.size
        if native and size and image.height <= size[0] and image.width <= size[1]:
            size = None
        return conform_image(image, self.channels, size, self.aspect)
