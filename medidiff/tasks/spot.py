"""A place in a scan as a mask: a ball around a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medidiff.errors import UsageError
from medidiff.volume import Volume


def ball_at(
    volume: Volume, size_mm: float, at_mm: Sequence[float] | None = None, at_voxel: Sequence[float] | None = None
) -> Volume:
    """The voxels whose centre lies within half of `size_mm` of a point.

    Args:
        volume: Gives the grid.
        size_mm: Diameter.
        at_mm: The point in world coordinates, R, A, S in mm; or
        at_voxel: as voxel indices along x, y and z, counted from 0.

    Raises:
        UsageError: Not one point, a size that is not positive, a point outside the scan, or no voxel within reach.
    """
    if (at_mm is None) == (at_voxel is None):
        raise UsageError("--at, --at-voxel: give one of them.")
    option, given = ("--at", at_mm) if at_mm is not None else ("--at-voxel", at_voxel)
    point = np.asarray(given, dtype=np.float64)
    said = f"{option} {','.join(f'{v:g}' for v in point.reshape(-1))}"
    if point.shape != (3,) or not np.isfinite(point).all():
        raise UsageError(f"{said}: must be three numbers x,y,z.")
    if not (np.isfinite(size_mm) and size_mm > 0):
        raise UsageError(f"--size-mm {size_mm:g}: must be a positive diameter in mm.")
    voxel = point if at_mm is None else np.linalg.solve(volume.affine_ras, [*point, 1.0])[:3]
    last = np.array(volume.shape) - 1
    if (voxel < -0.5).any() or (voxel > last + 0.5).any():
        corners = [volume.affine_ras[:3, :3] @ end + volume.affine_ras[:3, 3] for end in (np.zeros(3), last)]
        low, high = ("(" + ", ".join(f"{v:.4g}" for v in f(corners, axis=0)) + ")" for f in (np.min, np.max))
        where = f"voxels 0 to {last.tolist()}" if at_mm is None else f"about {low} to {high} mm (R, A, S)"
        raise UsageError(f"{said}: lies outside the scan, which covers {where}.")
    axes = [np.arange(n, dtype=np.float64) - v for n, v in zip(volume.shape, voxel, strict=True)]
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    x, y, z = (row[0] * i + row[1] * j + row[2] * k for row in volume.affine_ras[:3, :3])
    inside = x**2 + y**2 + z**2 <= (size_mm / 2) ** 2
    if not inside.any():
        size = " x ".join(f"{s:.3g}" for s in volume.spacing_mm)
        raise UsageError(f"--size-mm {size_mm:g}: holds no voxel of {size} mm. Give a larger one.")
    return volume.with_data(inside, name=said)


__all__ = ["ball_at"]
