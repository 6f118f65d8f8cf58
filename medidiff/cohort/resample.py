"""A scan on another grid: axes turned to RAS, voxels averaged or interpolated; and what becomes of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from medidiff.volume import Volume

SAME_SPACING = 0.01
"""An axis within 1% of the wanted spacing keeps its own: interpolating would only blur it."""


@dataclass(frozen=True)
class Resampling:
    """Weights of the voxels of a grid in those of another one, axis by axis.

    Attributes:
        matrices: For x, y and z a sparse (new voxels, old voxels) whose rows add up to 1; None: the axis stays.
        affine_ras: 4x4 of the new grid.
        noise_gain: Standard deviation of white noise on the new grid, root mean square over its voxels, over that on
            the old one. Exact, from the weights.
    """

    matrices: tuple[sparse.csr_array | None, sparse.csr_array | None, sparse.csr_array | None]
    affine_ras: np.ndarray
    noise_gain: float

    def apply(self, data: np.ndarray) -> np.ndarray:
        """Values on the new grid, float32; linear in `data` (x, y, z)."""
        data = np.asarray(data, dtype=np.float32)
        for axis, matrix in enumerate(self.matrices):
            if matrix is not None:
                first = np.moveaxis(data, axis, 0)
                flat = matrix.astype(np.float32) @ np.ascontiguousarray(first).reshape(first.shape[0], -1)
                data = np.moveaxis(flat.reshape(-1, *first.shape[1:]), 0, axis)
        return np.ascontiguousarray(data)

    def nearest(self, labels: np.ndarray) -> np.ndarray:
        """Labels on the new grid: those of the old voxel with the largest weight; nothing in between is made up."""
        for axis, matrix in enumerate(self.matrices):
            if matrix is not None:
                labels = np.take(labels, np.asarray(matrix.argmax(axis=1)).ravel(), axis=axis)
        return np.ascontiguousarray(labels)


def to_ras(volume: Volume) -> Volume:
    """The same voxels with the axes swapped and flipped until they run closest to R, A and S; nothing is interpolated.

    Args:
        volume: Scan (x, y, z), its axes however they run.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    turn = io_orientation(volume.affine_ras)
    data = np.ascontiguousarray(apply_orientation(volume.data, turn))
    unmeasured = volume.unmeasured
    if unmeasured is not None:
        unmeasured = np.ascontiguousarray(apply_orientation(unmeasured, turn))
    affine = volume.affine_ras @ inv_ornt_aff(turn, volume.shape)
    return Volume(data, affine, None, volume.name, volume.modality, unmeasured)


def plan_resampling(volume: Volume, spacing_mm: tuple[float, float, float] | Literal["native"]) -> Resampling | None:
    """How to bring a scan to a spacing; None where it has it already.

    Coarser voxels are the mean over what they cover (exact overlaps: the anti-aliasing; with whole factors a mean over
    blocks, and white noise stays white). Finer ones are interpolated linearly. The new grid has the wanted spacing
    exactly, is centred on the old one, and no voxel of it reaches beyond the old field of view.

    Args:
        volume: The scan.
        spacing_mm: Wanted spacing along its x, y, z.

    Source: as scikit-image's `resize_local_mean`, but to a spacing rather than a shape.
    """
    if spacing_mm == "native":
        return None
    matrices: list[sparse.csr_array | None] = []
    affine, gain = volume.affine_ras.copy(), 1.0
    for axis, (n, old, new) in enumerate(zip(volume.shape, volume.spacing_mm, spacing_mm, strict=True)):
        factor = new / old
        if abs(factor - 1) <= SAME_SPACING:
            matrices.append(None)
            continue
        count = max(1, int(np.floor(n / factor + 1e-4)))
        start = (n - count * factor) / 2  # edge of the first new voxel, in old voxels from the edge of the first
        matrix = _mean_weights(n, count, factor, start) if factor > 1 else _linear_weights(n, count, factor, start)
        matrices.append(matrix)
        affine[:3, 3] += affine[:3, axis] * (start + factor / 2 - 0.5)  # centre of the first new voxel
        affine[:3, axis] *= factor
        gain *= float(np.sqrt(matrix.power(2).sum() / count))
    if all(matrix is None for matrix in matrices):
        return None
    return Resampling((matrices[0], matrices[1], matrices[2]), affine, gain)


def _mean_weights(n: int, count: int, factor: float, start: float) -> sparse.csr_array:
    """Row i: the share of new voxel i that each old voxel covers."""
    low = np.clip(start + factor * np.arange(count), 0, n)
    high = np.clip(low + factor, 0, n)
    reach = int(np.ceil(factor)) + 1
    columns = np.floor(low).astype(int)[:, None] + np.arange(reach)
    overlap = np.minimum(high[:, None], columns + 1) - np.maximum(low[:, None], columns)
    return _matrix(columns, np.maximum(overlap, 0), n)


def _linear_weights(n: int, count: int, factor: float, start: float) -> sparse.csr_array:
    """Row i: the two old voxels whose centres lie around that of new voxel i; beyond the last centre, the last."""
    centre = np.clip(start + factor * (np.arange(count) + 0.5) - 0.5, 0, n - 1)
    left = np.minimum(np.floor(centre).astype(int), n - 2) if n > 1 else np.zeros(count, dtype=int)
    share = centre - left
    return _matrix(left[:, None] + np.arange(2), np.stack([1 - share, share], axis=1), n)


def _matrix(columns: np.ndarray, weights: np.ndarray, n: int) -> sparse.csr_array:
    keep = (weights > 1e-12) & (columns < n)
    weights = np.where(keep, weights, 0)
    weights = weights / weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
    return sparse.csr_array((weights[keep], (rows[keep], columns[keep])), shape=(len(columns), n))
