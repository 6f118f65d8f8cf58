"""A gantry tilt taken out: slices that are stacked obliquely, moved in their planes onto an orthogonal grid."""

from __future__ import annotations

import math

import numpy as np

from medidiff.volume import Volume

_STRAIGHT = 1e-3  # of a pixel, over the whole stack: the geometry's own rounding


def straighten(volume: Volume, background: float) -> Volume:
    """Resample a sheared volume to an orthogonal grid: linear within each slice, nothing between slices.

    Each slice keeps its plane and its pixel spacing and is shifted by the in-plane part of the stacking direction. The
    grid grows so that no slice is cut off; the third axis becomes the slices' normal, its spacing the distance
    between planes. A ramp that is linear in space stays exact.

    Args:
        volume: Axes 0 and 1 in the planes of the slices and at right angles, axis 2 oblique to them.
        background: Value of voxels that no slice reaches.

    Returns:
        float32 volume on the new grid, without a header to write back. Voxels that no slice reaches, or that would be
        blended with unmeasured ones, hold the background and are unmeasured.
    """
    shifts_per_slice, step_mm = _shear(volume.affine_ras)
    slices = volume.shape[2]
    before, after = zip(*(_growth(shift * (slices - 1)) for shift in shifts_per_slice), strict=True)
    shape = tuple(n + b + a for n, b, a in zip(volume.shape[:2], before, after, strict=True))
    data = np.empty((slices, shape[1], shape[0]), dtype=np.float32).transpose(2, 1, 0)
    unmeasured = np.empty_like(data, dtype=bool)
    for k in range(slices):
        plane = volume.data[..., k].astype(np.float64)
        if volume.unmeasured is not None:
            plane[volume.unmeasured[..., k]] = np.nan
        for axis in (0, 1):
            plane = _shift(plane, axis, before[axis] + shifts_per_slice[axis] * k, shape[axis])
        unmeasured[..., k] = np.isnan(plane)
        data[..., k] = np.where(unmeasured[..., k], background, plane)
    affine = volume.affine_ras.copy()
    affine[:3, 2] = step_mm
    affine[:3, 3] -= affine[:3, 0] * before[0] + affine[:3, 1] * before[1]
    return Volume(data, affine, None, volume.name, volume.modality, unmeasured if unmeasured.any() else None)


def _shear(affine_ras: np.ndarray) -> tuple[tuple[float, float], np.ndarray]:
    """Pixels per slice that the stack moves along axes 0 and 1, and the part of the step along the normal, in mm."""
    first, second, step = affine_ras[:3, :3].T
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    straight = (step @ normal) * normal
    shifts, *_ = np.linalg.lstsq(np.stack([first, second], axis=1), step - straight, rcond=None)
    return (float(shifts[0]), float(shifts[1])), straight


def _growth(total: float) -> tuple[int, int]:
    """Voxels to add before and after an axis so that a shift of that many fits."""
    if abs(total) < _STRAIGHT:
        return 0, 0
    pixels = math.ceil(abs(total) - _STRAIGHT)
    return (pixels, 0) if total < 0 else (0, pixels)


def _shift(plane: np.ndarray, axis: int, offset: float, length: int) -> np.ndarray:
    """A plane whose pixel i lies at i + offset of a longer axis; NaN where that has no pixel on both sides."""
    pixels = plane.shape[axis]
    if abs(offset - round(offset)) < _STRAIGHT:
        offset = float(round(offset))
    position = np.arange(length) - offset
    inside = (position >= 0) & (position <= pixels - 1)
    lower = np.clip(np.floor(position).astype(int), 0, max(pixels - 2, 0))
    upper = np.minimum(lower + 1, pixels - 1)
    weight = np.expand_dims(np.clip(position - lower, 0.0, 1.0), 1 - axis)
    low, high = plane.take(lower, axis), plane.take(upper, axis)
    blend = np.where(weight == 0, low, np.where(weight == 1, high, low * (1 - weight) + high * weight))
    return np.where(np.expand_dims(inside, 1 - axis), blend, np.nan)
