"""A picture to try the server with, drawn here: it shows the form of an answer, no more."""

import io

from PIL import Image, ImageDraw

from convscope.data.preprocess import Preprocessing

SIDE, FINER = 112, 4


def example_picture(preprocessing: Preprocessing) -> bytes:
    """A PNG: for grey networks a seven, light on dark as MNIST's digits; else a coloured scene."""
    side = SIDE * FINER
    if preprocessing.channels == 1:
        image = Image.new("L", (side, side), 0)
        draw = ImageDraw.Draw(image)
        points = [(0.28, 0.24), (0.71, 0.24), (0.60, 0.46), (0.50, 0.80)]
        line = [(x * side, y * side) for x, y in points]
        draw.line(line, fill=255, width=side // 11, joint="curve")
        for x, y in line:
            r = side // 22
            draw.ellipse((x - r, y - r, x + r, y + r), fill=255)
    else:
        image = Image.linear_gradient("L").resize((side, side))
        image = Image.merge("RGB", (image.point(lambda v: 90 + v // 3), image, image)).copy()
        draw = ImageDraw.Draw(image)
        draw.ellipse((0.3 * side, 0.25 * side, 0.7 * side, 0.65 * side), fill=(232, 160, 56))
        draw.rectangle((0, 0.8 * side, side, side), fill=(70, 110, 60))
    file = io.BytesIO()
    image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(file, "PNG")
    return file.getvalue()
