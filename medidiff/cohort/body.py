"""Where a voxel lies in the body: mm from the centre of the body's bounding box, and how cutting and turning change it.

A frame is an affine (3, 4), float64, from voxel index to body coordinates: along R, A, S, in units of 100 mm, so that
they are numbers of order 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNIT_MM = 100.0
"""Length of one unit of the body coordinates."""


def body_frame(affine_ras: np.ndarray, low: Sequence[int], high: Sequence[int]) -> np.ndarray:
    """The frame of a scan.

    Args:
        affine_ras: Voxel index to mm, (4, 4).
        low: First voxel of the body's bounding box.
        high: One past its last voxel.
    """
    linear = np.asarray(affine_ras, dtype=np.float64)[:3, :3] / UNIT_MM
    centre = (np.asarray(low, dtype=np.float64) + np.asarray(high) - 1) / 2
    return np.concatenate([linear, -(linear @ centre)[:, None]], axis=1)


def turned(frame: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The frame after `data.transpose(order)`."""
    return frame[:, [*order, 3]]


def cut(frame: np.ndarray, start: Sequence[float]) -> np.ndarray:
    """The frame of a box that begins at voxel `start` (negative: of a padded one)."""
    moved = frame.copy()
    moved[:, 3] += frame[:, :3] @ np.asarray(start, dtype=np.float64)
    return moved


def averaged(frame: np.ndarray, factors: Sequence[int]) -> np.ndarray:
    """The frame after the mean over blocks of `factors` voxels: a block lies at its centre."""
    by = np.asarray(factors, dtype=np.float64)
    moved = cut(frame, ((by - 1) / 2).tolist())
    moved[:, :3] *= by
    return moved


def flipped(frame: np.ndarray, axes: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """The frame after `np.flip(data, axes)` of an array of that shape."""
    moved = cut(frame, [shape[axis] - 1 if axis in axes else 0 for axis in range(3)])
    moved[:, list(axes)] *= -1
    return moved


__all__ = ["UNIT_MM", "averaged", "body_frame", "cut", "flipped", "turned"]
