"""Small plots as RGB arrays: a colour bar beside a map, and lines over whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medidiff.draw.canvas import BLACK, beside
from medidiff.draw.colour import heat

_INK, _GRID = (235, 235, 235), (70, 70, 70)
_LINES = ((90, 170, 255), (255, 150, 60), (120, 220, 120), (230, 120, 220))
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 16, 40


def with_bar(rgb: np.ndarray, low: float, high: float) -> np.ndarray:
    """A picture in heat colours with its colour bar on the right, `low` at the bottom and `high` at the top.

    Args:
        rgb: (rows, columns, 3), drawn by `heat` with the same limits.
        low: Value drawn darkest.
        high: Value drawn palest.
    """
    height = rgb.shape[0]
    ramp = np.linspace(high, low, height)[:, None].repeat(16, axis=1)
    bar = heat(ramp, low, high)
    words = Image.new("RGB", (64, height), BLACK)
    draw, font = ImageDraw.Draw(words), ImageFont.load_default(13)
    for share, anchor in ((0.0, "la"), (0.5, "lm"), (1.0, "ld")):
        value = high + (low - high) * share
        draw.text((4, share * (height - 1)), f"{value:.3g}", fill=_INK, font=font, anchor=anchor)
    return beside([rgb, bar, np.asarray(words)], gap=6)


def line_plot(
    lines: Mapping[str, Sequence[float]], limits: tuple[float, float], across: str, width: int = 360, height: int = 220
) -> np.ndarray:
    """Lines over 0, 1, 2, ..., with their names in their colours.

    Args:
        lines: Values by name, all of one length, two or more; what lies outside the limits is drawn at them.
        limits: Lowest and highest value of the plot.
        across: What the numbers along the horizontal axis are.
        width: Of the picture in pixels.
        height: Of the picture in pixels.
    """
    low, high = limits
    count = max(len(values) for values in lines.values())
    image = Image.new("RGB", (width, height), BLACK)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(13)

    def place(index: float, value: float) -> tuple[float, float]:
        share = (min(max(value, low), high) - low) / (high - low)
        x = _LEFT + index / (count - 1) * (width - _LEFT - _RIGHT)
        return x, height - _BOTTOM - share * (height - _TOP - _BOTTOM)

    for value in np.linspace(low, high, 5):
        draw.line([place(0, value), place(count - 1, value)], fill=_GRID)
        draw.text((_LEFT - 6, place(0, value)[1]), f"{value:.2g}", fill=_INK, font=font, anchor="rm")
    for index in range(count):
        draw.text((place(index, low)[0], height - _BOTTOM + 4), str(index), fill=_INK, font=font, anchor="ma")
    draw.text(((width + _LEFT - _RIGHT) / 2, height - 4), across, fill=_INK, font=font, anchor="md")
    for order, (name, values) in enumerate(lines.items()):
        colour = _LINES[order % len(_LINES)]
        points = [place(index, value) for index, value in enumerate(values)]
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        draw.text((width - _RIGHT - 4, _TOP + 16 * order), name, fill=colour, font=font, anchor="ra")
    return np.asarray(image)


__all__ = ["line_plot", "with_bar"]
