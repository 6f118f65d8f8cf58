"""RGB arrays put together: enlarged to true proportions, beside each other, written on, turned into PNG."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)
_MARGIN = 3


def enlarge(rgb: np.ndarray, row_mm: float, column_mm: float, pixels_per_mm: float) -> np.ndarray:
    """Resize to physical proportions. A box filter: enlarging repeats pixels, shrinking averages them.

    Args:
        rgb: (rows, columns, 3), uint8.
        row_mm: Height of a pixel.
        column_mm: Width of a pixel.
        pixels_per_mm: Scale of the picture.
    """
    height = max(1, round(rgb.shape[0] * row_mm * pixels_per_mm))
    width = max(1, round(rgb.shape[1] * column_mm * pixels_per_mm))
    if (height, width) == rgb.shape[:2]:
        return rgb
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize((width, height), Image.Resampling.BOX))


def beside(pictures: Sequence[np.ndarray], gap: int = 2, colour: Colour = BLACK) -> np.ndarray:
    """Pictures in a row, centred, with a gap between them."""
    height = max(p.shape[0] for p in pictures)
    width = sum(p.shape[1] for p in pictures) + gap * (len(pictures) - 1)
    canvas = np.full((height, width, 3), colour, dtype=np.uint8)
    left = 0
    for picture in pictures:
        top = (height - picture.shape[0]) // 2
        canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap
    return canvas


def stack(pictures: Sequence[np.ndarray], gap: int = 2, colour: Colour = BLACK) -> np.ndarray:
    """Pictures under each other, centred, with a gap between them."""
    turned = [np.swapaxes(p, 0, 1) for p in pictures]
    return np.swapaxes(beside(turned, gap, colour), 0, 1)


def write_on(rgb: np.ndarray, letters: tuple[str, str, str, str], colour: Colour = (255, 210, 80)) -> np.ndarray:
    """Letters at the middle of the left, right, top and bottom edge."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default()
    width, height = image.size
    left, right, top, bottom = letters
    places = (
        (left, (_MARGIN, height // 2), "lm"),
        (right, (width - _MARGIN, height // 2), "rm"),
        (top, (width // 2, _MARGIN), "ma"),
        (bottom, (width // 2, height - _MARGIN), "md"),
    )
    for text, place, anchor in places:
        draw.text(place, text, fill=colour, font=font, anchor=anchor, stroke_width=1, stroke_fill=BLACK)
    return np.asarray(image)


def png_bytes(rgb: np.ndarray) -> bytes:
    """The picture as a PNG file; the same pixels give the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def data_uri(rgb: np.ndarray) -> str:
    """The picture as a `data:` address, to stand inside an HTML page."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(rgb)).decode("ascii")
