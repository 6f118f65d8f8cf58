"""The pictures that reports and training logs show: three planes in a row, residuals, masks, strips, sheets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from medidiff.draw.canvas import beside, enlarge, stack, write_on
from medidiff.draw.colour import diverging, grey, overlay, symmetric_limit, window_limits
from medidiff.draw.orient import PLANES, Plane, Slice, canonical, take_slice
from medidiff.volume import Volume

Paint = Callable[[np.ndarray], np.ndarray]
HEIGHT = 220
"""Height in pixels of a row of three planes, about."""


def draw_slice(cut: Slice, paint: Paint, pixels_per_mm: float, letters: bool = True) -> np.ndarray:
    """One slice as RGB in true proportions, with the letters of its orientation."""
    rgb = enlarge(paint(cut.pixels), cut.row_mm, cut.column_mm, pixels_per_mm)
    return write_on(rgb, cut.letters) if letters else rgb


def plane_picture(
    volume: Volume,
    limits: tuple[float, float] | None = None,
    *,
    paint: Paint | None = None,
    at: tuple[int, int, int] | None = None,
    height: int = HEIGHT,
    letters: bool = True,
) -> np.ndarray:
    """Axial, coronal and sagittal slice in a row, at one scale.

    Args:
        volume: What to draw.
        limits: Intensities drawn black and white; None takes two percentiles of this volume.
        paint: Pixels to RGB instead of grey.
        at: Index of the axial, coronal and sagittal slice, towards S, A and R; None takes the middle ones.
        height: Height in pixels of the tallest of the three.
        letters: Write the orientation at the edges.
    """
    if paint is None:
        low, high = window_limits(volume.data) if limits is None else limits
        paint = partial(grey, low=low, high=high)
    cuts = [take_slice(volume, plane, None if at is None else at[i]) for i, plane in enumerate(PLANES)]
    pixels_per_mm = height / max(cut.pixels.shape[0] * cut.row_mm for cut in cuts)
    return beside([draw_slice(cut, paint, pixels_per_mm, letters) for cut in cuts])


def residual_picture(
    residual: Volume, limit: float | None = None, *, at: tuple[int, int, int] | None = None, height: int = HEIGHT
) -> np.ndarray:
    """Three planes of a difference: blue below zero, red above, limits symmetric about zero; not finite is mid grey."""
    limit = symmetric_limit(residual.data) if limit is None else limit
    return plane_picture(residual, paint=lambda pixels: diverging(pixels, limit), at=at, height=height)


def mask_picture(
    volume: Volume, mask: np.ndarray, limits: tuple[float, float] | None = None, *, height: int = HEIGHT
) -> np.ndarray:
    """Three planes through the middle of a mask, which is tinted."""
    low, high = window_limits(volume.data) if limits is None else limits
    masks = volume.with_data(np.asarray(mask, dtype=bool))
    cuts = []
    for plane, index in zip(PLANES, middle_of(masks), strict=True):
        cut, over = take_slice(volume, plane, index), take_slice(masks, plane, index)
        cuts.append((cut, overlay(grey(cut.pixels, low, high), over.pixels)))
    pixels_per_mm = height / max(cut.pixels.shape[0] * cut.row_mm for cut, _ in cuts)
    return beside([draw_slice(cut, lambda _, rgb=rgb: rgb, pixels_per_mm) for cut, rgb in cuts])


def middle_of(mask: Volume) -> tuple[int, int, int]:
    """Index of the axial, coronal and sagittal slice through the middle of a mask; the volume's middle if empty."""
    data, _ = canonical(mask)
    where = np.argwhere(data)
    x, y, z = np.rint(where.mean(axis=0)).astype(int) if len(where) else np.array(data.shape) // 2
    return int(z), int(y), int(x)


def strip(
    volumes: Sequence[Volume], limits: Sequence[tuple[float, float]] | None = None, *, plane: Plane = "axial",
    height: int = 150,
) -> np.ndarray:  # fmt: skip
    """The middle slice of several volumes in a row: from noise to scan.

    Args:
        volumes: In the order to be drawn.
        limits: Intensities drawn black and white, a pair a volume; None takes percentiles of each.
        plane: Which middle slice.
        height: Height in pixels.
    """
    pairs = [window_limits(v.data) for v in volumes] if limits is None else list(limits)
    pictures = []
    for volume, (low, high) in zip(volumes, pairs, strict=True):
        cut = take_slice(volume, plane)
        rgb = enlarge(grey(cut.pixels, low, high), cut.row_mm, cut.column_mm, height / (len(cut.pixels) * cut.row_mm))
        pictures.append(rgb)
    return beside(pictures)


def sheet(arrays: Sequence[np.ndarray], columns: int = 4, *, height: int = 128) -> np.ndarray:
    """Middle slices of plain 3D arrays, three planes each, on a grid: for looking at many samples at once."""
    pictures = [plane_picture(Volume.from_array(a), height=height, letters=False) for a in arrays]
    rows = [beside(pictures[i : i + columns], gap=6) for i in range(0, len(pictures), columns)]
    return stack(rows, gap=6)
