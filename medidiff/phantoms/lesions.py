"""Lesions of known kind, place and size, put into a volume with partial-volume edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from medidiff.errors import UsageError
from medidiff.phantoms.fields import Array

LesionKind = Literal["solid", "ring", "cyst"]


@dataclass(frozen=True)
class Lesion:
    """A round lesion: what it is, where it is, how large it is."""

    kind: LesionKind
    """`solid`: one plateau. `ring`: a bright rim, a third of the radius thick, round a core that differs by half as
    much the other way. `cyst`: a plateau with a thin wall of the opposite contrast."""
    centre_mm: tuple[float, float, float]
    """RAS millimetres, in the world of the volume's affine."""
    radius_mm: float
    contrast: float
    """Difference to the mean of the tissue it replaces, in the volume's own unit."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(LesionKind):
            raise UsageError(f"lesion kind {self.kind!r}: must be one of {', '.join(get_args(LesionKind))}.")
        if not (np.isfinite(self.radius_mm) and self.radius_mm > 0):
            raise UsageError(f"lesion radius_mm {self.radius_mm}: must be a positive number of millimetres.")
        if len(self.centre_mm) != 3 or not np.isfinite([*self.centre_mm, self.contrast]).all():
            raise UsageError(f"lesion at {self.centre_mm}, contrast {self.contrast}: both must be finite numbers.")


def insert_lesion(data: Array, affine_ras: NDArray[np.float64], lesion: Lesion) -> Array:
    """Put a lesion into `data`, in place.

    Args:
        data: Volume (x, y, z), changed where the lesion lies.
        affine_ras: Voxel index to RAS millimetres.
        lesion: What to put in.

    Returns:
        Share of each voxel that the lesion fills, 0 to 1; its sum is the lesion's volume in voxels.

    Raises:
        UsageError: no voxel's centre lies inside the lesion.
    """
    distance, ramp = _distance(data.shape, affine_ras, lesion.centre_mm)
    share = _ball(distance, lesion.radius_mm, ramp)
    if not (distance < lesion.radius_mm).any():
        raise UsageError(
            f"lesion at {lesion.centre_mm} mm, radius {lesion.radius_mm} mm: holds no voxel of this volume. "
            "Move it inside or make it larger than a voxel."
        )
    base = float(np.sum(data * share, dtype=np.float64) / np.sum(share, dtype=np.float64))
    paint = np.full(data.shape, base + lesion.contrast, np.float32)
    if lesion.kind == "ring":
        paint -= 1.5 * lesion.contrast * _ball(distance, lesion.radius_mm * 2 / 3, ramp)
    elif lesion.kind == "cyst":
        paint -= 1.5 * lesion.contrast * (1 - _ball(distance, lesion.radius_mm * 0.85, ramp))
    data += share * (paint - data)
    return share


def _ball(distance: Array, radius: float, ramp: Array) -> Array:
    return np.asarray(np.clip(0.5 + (radius - distance) / ramp, 0, 1), np.float32)


def _distance(
    shape: tuple[int, ...], affine_ras: NDArray[np.float64], centre_mm: tuple[float, float, float]
) -> tuple[Array, Array]:
    """Distance to the centre in mm, and how much it changes across each voxel."""
    centre = np.linalg.solve(affine_ras, np.array([*centre_mm, 1.0]))[:3]
    index = np.ogrid[: shape[0], : shape[1], : shape[2]]
    i, j, k = (a - c for a, c in zip(index, centre, strict=True))
    offset = [affine_ras[r, 0] * i + affine_ras[r, 1] * j + affine_ras[r, 2] * k for r in range(3)]
    distance = np.sqrt(offset[0] ** 2 + offset[1] ** 2 + offset[2] ** 2)
    safe = np.maximum(distance, 1e-9)
    across = [np.abs(sum(offset[r] / safe * affine_ras[r, c] for r in range(3))) for c in range(3)]
    ramp = np.maximum(across[0] + across[1] + across[2], np.abs(affine_ras[:3, :3]).max() * 0.5)
    return distance.astype(np.float32), ramp.astype(np.float32)
