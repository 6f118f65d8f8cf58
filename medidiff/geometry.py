"""Grids in space: affines map voxel indices (x, y, z) to mm, in RAS unless the name says LPS."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from medidiff.errors import GeometryError

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Volume of the voxel over the product of its edges: 1 for a rectangular grid, cos(tilt) for a tilted gantry. Below 1e-3
# (89.9 degrees) the axes lie in a plane for every practical purpose, and the inverse affine amplifies rounding 1000
# times.
_MIN_RELATIVE_DETERMINANT = 1e-3


class Grid(Protocol):
    """Anything that lies on a voxel grid."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along x, y and z."""
        ...

    @property
    def affine_ras(self) -> np.ndarray:
        """4x4, voxel index to mm."""
        ...


def spacing_from_affine(affine: np.ndarray) -> tuple[float, float, float]:
    """Distance in mm between neighbouring voxels along x, y and z: the lengths of the affine's columns."""
    x, y, z = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    return float(x), float(y), float(z)


def ras_to_lps(affine_ras: np.ndarray) -> np.ndarray:
    """Affine to LPS (DICOM, ITK) from RAS (NIfTI): the first two world axes change sign."""
    return _LPS @ np.asarray(affine_ras, dtype=np.float64)


def lps_to_ras(affine_lps: np.ndarray) -> np.ndarray:
    """Affine to RAS (NIfTI) from LPS (DICOM, ITK)."""
    return _LPS @ np.asarray(affine_lps, dtype=np.float64)


def check_affine(affine: np.ndarray, name: str = "volume") -> None:
    """Refuse an affine that does not place voxels in space.

    Raises:
        GeometryError: Not 4x4, not finite, last row not (0, 0, 0, 1), a spacing of zero, or axes that lie in one plane.
    """
    affine = np.asarray(affine, dtype=np.float64)
    advice = "Correct the orientation in the file's header first."
    if affine.shape != (4, 4):
        raise GeometryError(f"{name}: the affine has shape {affine.shape}, it must be (4, 4). {advice}")
    if not np.isfinite(affine).all():
        raise GeometryError(f"{name}: the affine holds values that are not finite. {advice}")
    if not np.array_equal(affine[3], [0.0, 0.0, 0.0, 1.0]):
        raise GeometryError(f"{name}: the affine's last row is {affine[3].tolist()}, it must be [0, 0, 0, 1]. {advice}")
    spacing_mm = spacing_from_affine(affine)
    if min(spacing_mm) <= 0:
        raise GeometryError(f"{name}: voxel spacing {spacing_mm} mm: every axis must be positive. {advice}")
    determinant = np.linalg.det(affine[:3, :3] / np.asarray(spacing_mm))
    if abs(determinant) < _MIN_RELATIVE_DETERMINANT:
        raise GeometryError(f"{name}: the affine's axes lie in one plane, so voxels have no volume. {advice}")


def same_grid(a: Grid, b: Grid, tol_mm: float = 1e-3) -> bool:
    """Whether two volumes have the same shape and no voxel of one lies further than `tol_mm` from the other's."""
    if tuple(a.shape) != tuple(b.shape):
        return False
    # The distance is a convex function of the index, so its maximum is at one of the eight corners.
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in a.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    difference = np.asarray(a.affine_ras, dtype=np.float64) - np.asarray(b.affine_ras, dtype=np.float64)
    distances_mm = np.linalg.norm(corners @ difference[:3, :3].T + difference[:3, 3], axis=1)
    return bool(distances_mm.max() <= tol_mm)
