"""Thick slices on a finer grid: room for the slices that nobody measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medidiff.errors import GeometryError, UsageError
from medidiff.tasks.gaps import Gaps
from medidiff.volume import Volume

TOLERANCE = 0.01
"""How far the spacing reached may be from the one asked for, relative to it."""
PROFILE_WARNING = (
    "a thick slice is the mean over its thickness: the slices put in between interpolate such means, they do not "
    "sharpen them (no deconvolution of the slice profile). Without noise they are no better than interpolation."
)
"""For the Result of a scan whose slices were thick."""


def insert_slices(volume: Volume, spacing_mm: float) -> tuple[Volume, tuple[int, ...]]:
    """A scan on a grid finer along z (the third axis), and which of its slices are new: give both to `denoise`.

    Every measured slice stays as it was and where it was, so the old spacing must be a multiple of the new one. The new
    slices hold linear interpolations until the prior fills them (`denoise(..., missing=...)` ignores what they hold). A
    thick slice is a mean over its thickness, not a sample at its centre; that blur along z stays (`PROFILE_WARNING`).

    Args:
        volume: Scan of shape (x, y, n), thickest along z.
        spacing_mm: Spacing along z to reach, within 1%.

    Returns:
        Scan of shape (x, y, (n - 1) k + 1), float32, k being the old spacing over the new, and the indices of its new
        slices along z.

    Raises:
        UsageError: The spacing is not positive, cannot be reached, is no finer than the scan's, or finer than the
            spacing within the slices.
        GeometryError: The scan is thickest along another axis than z.
        InputError: The scan is not one finite 3D volume.
    """
    volume.check()
    x_mm, y_mm, z_mm = volume.spacing_mm
    label = volume.name or "volume"
    if z_mm < (1 - TOLERANCE) * max(x_mm, y_mm):
        raise GeometryError(
            f"{label}: voxels of {x_mm:.4g} x {y_mm:.4g} x {z_mm:.4g} mm: slices are put in along z, the third axis, "
            "which must be the thickest. Reorder the axes first."
        )
    k = _steps(z_mm, min(x_mm, y_mm), spacing_mm)
    grid = Gaps((volume.shape[2] - 1) * k + 1, _between(volume.shape[2], k))
    affine_ras = volume.affine_ras.copy()
    affine_ras[:3, 2] /= k
    unmeasured = None if volume.unmeasured is None else grid.expand(volume.unmeasured.astype(np.float32)) > 0
    data = grid.expand(volume.data.astype(np.float32))
    finer = replace(volume, data=data, affine_ras=affine_ras, unmeasured=unmeasured)
    return finer, grid.missing


def _between(n_slices: int, k: int) -> tuple[int, ...]:
    return tuple(i for i in range((n_slices - 1) * k + 1) if i % k)


def _steps(z_mm: float, in_plane_mm: float, spacing_mm: float) -> int:
    """How many steps of the wanted spacing make one of the scan's."""
    if not (np.isfinite(spacing_mm) and spacing_mm > 0):
        raise UsageError(f"target spacing {spacing_mm:g}: must be a positive number of mm.")
    finest = int(z_mm / in_plane_mm * (1 + TOLERANCE))
    possible = [z_mm / k for k in range(2, finest + 1)]
    listed = ", ".join(f"{mm:.4g}" for mm in sorted(possible[:8]))
    what = f"target spacing {spacing_mm:g} mm: the slices are {z_mm:.4g} mm apart, the voxels {in_plane_mm:.4g} mm wide"
    if not possible:
        raise UsageError(f"{what}: there is no room for slices in between.")
    k = round(z_mm / spacing_mm)
    if k < 2:
        raise UsageError(f"{what}: must be finer than the slices are. Possible: {listed} mm.")
    if k > finest:
        raise UsageError(f"{what}: must not be finer than the voxels are wide. Possible: {listed} mm.")
    if abs(z_mm / k - spacing_mm) > TOLERANCE * spacing_mm:
        steps = int(z_mm / spacing_mm)
        near = ", ".join(f"{z_mm / j:.4g}" for j in (steps + 1, steps) if 2 <= j <= finest)
        raise UsageError(
            f"{what}: the measured slices must lie on the new grid. The nearest possible spacings are {near} mm."
        )
    return k


__all__ = ["PROFILE_WARNING", "TOLERANCE", "insert_slices"]
