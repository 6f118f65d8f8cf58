"""A scan on another grid: axes turned to RAS, voxels averaged or interpolated; and what becomes of noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from medidiff.volume import Volume

SAME_SPACING = 0.01
"""An axis within 1% of the wanted spacing keeps its own: interpolating would only blur it."""

_WHOLE = 1e-3
"""A factor this close to a whole number is one."""


_SAME_WEIGHT = 1e-5


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
        """Labels on the new grid, in place where the scan is: in each new voxel the label with the largest weight.

        Of labels with the same weight the largest number is taken, so that thin structures do not vanish in label 0.

        Args:
            labels: Whole numbers from 0 (x, y, z).
        """
        from scipy import ndimage

        sizes = [None if matrix is None else np.diff(matrix.indptr).size for matrix in self.matrices]
        shape = tuple(size or n for n, size in zip(labels.shape, sizes, strict=True))
        out, best = np.zeros(shape, labels.dtype), np.zeros(shape, np.float32)
        rest = np.ones(shape, np.float32)  # of label 0
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            if box is None:
                continue
            near = [_part(matrix, old) for matrix, old in zip(self.matrices, box, strict=True)]
            new = tuple(rows for rows, _ in near)
            if any(rows.start == rows.stop for rows in new):
                continue
            parts = (near[0][1], near[1][1], near[2][1])
            weight = Resampling(parts, self.affine_ras, self.noise_gain).apply(labels[box] == label)
            rest[new] -= weight
            wins = (weight > 0) & (weight >= best[new] - _SAME_WEIGHT)
            out[new][wins] = label
            best[new][wins] = weight[wins]
        out[rest > best + _SAME_WEIGHT] = 0
        return out


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

    By a whole factor, coarser voxels are the mean over blocks, and white noise stays white. Else a new voxel is the
    linear interpolation, averaged over a length that gives the whole kernel the variance of the voxel it fills (no
    averaging below a factor of the square root of 2): anti-aliased and rightly placed, but blurrier than the scan.
    The new grid has the wanted spacing exactly, lies in the middle of the old field of view and nowhere outside of it.

    Args:
        volume: The scan.
        spacing_mm: Wanted spacing along its x, y, z.
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
        whole = abs(factor - round(factor)) < _WHOLE and round(factor) > 1
        factor = float(round(factor)) if whole else factor
        count = max(1, int(np.floor(n / factor + _WHOLE)))
        start = (n - count * factor) / 2  # edge of the first new voxel, in old voxels from the edge of the first
        start = float(np.floor(max(0.0, start))) if whole else start
        matrix = _block_weights(n, count, round(factor), start) if whole else _weights(n, count, factor, start)
        matrices.append(matrix)
        affine[:3, 3] += affine[:3, axis] * (start + factor / 2 - 0.5)  # centre of the first new voxel
        affine[:3, axis] *= factor
        gain *= float(np.sqrt(matrix.power(2).sum() / count))
    if all(matrix is None for matrix in matrices):
        return None
    return Resampling((matrices[0], matrices[1], matrices[2]), affine, gain)


def _part(matrix: sparse.csr_array | None, old: slice) -> tuple[slice, sparse.csr_array | None]:
    """The new voxels that a range of old ones reaches, and its weights in them."""
    if matrix is None:
        return old, None
    columns = matrix[:, old]
    reached = np.flatnonzero(np.diff(columns.indptr))
    rows = slice(int(reached[0]), int(reached[-1]) + 1) if len(reached) else slice(0, 0)
    return rows, columns[rows]


def _block_weights(n: int, count: int, factor: int, start: float) -> sparse.csr_array:
    """Row i: the old voxels of block i, alike."""
    columns = int(start) + factor * np.arange(count)[:, None] + np.arange(factor)
    return _matrix(columns, np.ones(columns.shape), n)


def _weights(n: int, count: int, factor: float, start: float) -> sparse.csr_array:
    """Row i: the mean of the linear interpolation over a window around the centre of new voxel i.

    Window w and hat function have the variance of a voxel of `factor` together: w^2/12 + 1/6 = factor^2/12. Beyond the
    outermost centres the scan goes on with its outermost values.
    """
    window = float(np.sqrt(max(0.0, factor**2 - 2)))
    centre = start + factor * (np.arange(count)[:, None] + 0.5) - 0.5  # in old voxels from the centre of the first
    columns = np.floor(centre - window / 2).astype(int) + np.arange(int(np.ceil(window)) + 2)
    if window > 0:
        weights = (_hat_integral(centre + window / 2 - columns) - _hat_integral(centre - window / 2 - columns)) / window
    else:
        weights = np.maximum(0, 1 - np.abs(centre - columns))
    return _matrix(np.clip(columns, 0, n - 1), weights, n)


def _hat_integral(u: np.ndarray) -> np.ndarray:
    """Integral of max(0, 1 - |t|) from -infinity to u."""
    u = np.clip(u, -1, 1)
    return 0.5 + u - np.sign(u) * u**2 / 2


def _matrix(columns: np.ndarray, weights: np.ndarray, n: int) -> sparse.csr_array:
    weights = weights / weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(len(columns))[:, None], columns.shape)
    entries = (weights.reshape(-1), (rows.reshape(-1), columns.reshape(-1)))
    matrix = sparse.csr_array(entries, shape=(len(columns), n))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix
