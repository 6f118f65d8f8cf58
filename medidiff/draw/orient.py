"""Slices as a radiologist holds them: the patient's right on the left of the picture, front or head at the top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medidiff.errors import GeometryError
from medidiff.volume import Volume

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")

_WORLD = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
# plane -> world axis that is cut, axis along rows and along columns of the picture, and the letters at its edges.
# Rows run from A or S downwards; columns from R (axial, coronal) or A (sagittal, seen from the patient's left).
_VIEW: dict[Plane, tuple[int, int, int, tuple[str, str, str, str]]] = {
    "axial": (2, 1, 0, ("R", "L", "A", "P")),
    "coronal": (1, 2, 0, ("R", "L", "S", "I")),
    "sagittal": (0, 2, 1, ("A", "P", "S", "I")),
}


@dataclass(frozen=True, eq=False)
class Slice:
    """One plane of a volume, ready to be drawn.

    Args:
        pixels: (rows, columns); row 0 is the top of the picture.
        row_mm: Height of a pixel.
        column_mm: Width of a pixel.
        letters: Where the left, right, top and bottom edge of the picture lie in the patient.
        plane: Which of the three.
        index: Position along the cut axis, counted towards R, A or S.
    """

    pixels: np.ndarray
    row_mm: float
    column_mm: float
    letters: tuple[str, str, str, str]
    plane: Plane
    index: int


def canonical(volume: Volume) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The voxels with axes turned and flipped to point closest to R, A, S (a view, no resampling), and their spacing.

    Raises:
        GeometryError: The affine gives an axis no direction.
    """
    codes = volume.axcodes
    if any(code not in _WORLD for code in codes):
        raise GeometryError(f"{volume.name or 'volume'}: axes {codes}: every axis must have a direction in space.")
    axes = [_WORLD[code] for code in codes]
    order = [next(i for i, (world, _) in enumerate(axes) if world == wanted) for wanted in range(3)]
    data = np.transpose(volume.data, order)
    data = data[tuple(slice(None, None, axes[i][1]) for i in order)]
    x, y, z = (volume.spacing_mm[i] for i in order)
    return data, (x, y, z)


def take_slice(volume: Volume, plane: Plane, index: int | None = None) -> Slice:
    """One plane of a volume; `index` None takes the middle one.

    Raises:
        GeometryError: The affine gives an axis no direction.
    """
    data, spacing_mm = canonical(volume)
    cut, row, column, letters = _VIEW[plane]
    where = data.shape[cut] // 2 if index is None else index
    pixels = np.take(data, where, axis=cut)
    if row > column:  # the remaining axes stand in world order: put the picture's rows first
        pixels = pixels.T
    return Slice(pixels[::-1, ::-1], spacing_mm[row], spacing_mm[column], letters, plane, where)


def mid_slices(volume: Volume) -> tuple[Slice, Slice, Slice]:
    """The middle axial, coronal and sagittal slice.

    Raises:
        GeometryError: The affine gives an axis no direction.
    """
    axial, coronal, sagittal = (take_slice(volume, plane) for plane in PLANES)
    return axial, coronal, sagittal
