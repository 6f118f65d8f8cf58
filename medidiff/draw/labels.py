"""Words on pictures: a line of text above one, in a bar of its own."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medidiff.draw.canvas import BLACK, Colour

_PADDING = 4


def captioned(
    rgb: np.ndarray, text: str, size: int = 15, colour: Colour = (235, 235, 235), back: Colour = BLACK
) -> np.ndarray:
    """The picture with a line of text above it; what does not fit its width is cut off.

    Args:
        rgb: (rows, columns, 3), uint8.
        text: The line.
        size: Height of the letters in pixels.
        colour: Of the letters.
        back: Of the bar.
    """
    bar = text_picture([text], rgb.shape[1], size, colour, back)
    return np.concatenate([bar, rgb])


def text_picture(
    lines: list[str], width: int, size: int = 15, colour: Colour = (235, 235, 235), back: Colour = BLACK
) -> np.ndarray:
    """Lines of text under each other, as a picture of its own."""
    step = size + 2 * _PADDING
    image = Image.new("RGB", (width, step * len(lines)), back)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size)
    for place, line in enumerate(lines):
        draw.text((_PADDING, place * step + step // 2), line, fill=colour, font=font, anchor="lm")
    return np.asarray(image)


def wrapped(lines: list[str], width: int, size: int = 15) -> list[str]:
    """Lines broken between words so that `text_picture` of this width shows all of them; what follows is indented."""
    font, room = ImageFont.load_default(size), width - 2 * _PADDING
    broken = []
    for line in lines:
        now = ""
        for word in line.split(" "):
            longer = f"{now} {word}" if now else word
            if now.strip() and font.getlength(longer) > room:
                broken.append(now)
                longer = f"    {word}"
            now = longer
        broken.append(now)
    return broken


__all__ = ["captioned", "text_picture", "wrapped"]
