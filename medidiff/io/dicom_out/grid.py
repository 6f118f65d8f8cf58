"""Where the slices of a volume lie, and which planes of the source each of them comes from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from medidiff.errors import GeometryError
from medidiff.geometry import check_affine, ras_to_lps, same_grid, spacing_from_affine
from medidiff.io.dicom.model import Candidate, Stacking
from medidiff.volume import Volume

_SAME_MM = 0.01
"""Through NIfTI's float32 quaternion a grid moves by some micrometres; the source's own numbers are then the truth."""
_SKEW_IN_PLANE = 1e-4
"""Largest cosine between rows and columns: DICOM has them orthogonal, and readers give up above this."""
_SKEW_STEP = 1e-3
"""Largest cosine between the plane and the step between slices, as in the reader."""
_ON_SLICE = 1e-3
"""Closer to a source slice than this part of the step: it is that slice."""

_SHOWN = {"S": "LPS", "I": "LPS", "A": "LIP", "P": "LIP", "R": "PIR", "L": "PIR"}
"""By where the slices are stacked, the axes as a radiologist sees them: row, column, slice (right-handed)."""


@dataclass(frozen=True, eq=False)
class Layout:
    """A volume as DICOM will hold it: x = column index, y = row index, z = slice.

    Args:
        data: Values (x, y, z), reoriented.
        affine_lps: Voxel index to mm.
        generated: True where a voxel was generated, (x, y, z), or None.
        on_source: Whether it is the source's own grid.
        sources: For each slice, the indices of the source's planes it comes from.
        nearest: For each slice, the index of the plane closest to it.
    """

    data: np.ndarray
    affine_lps: np.ndarray
    generated: np.ndarray | None
    on_source: bool = False
    sources: tuple[tuple[int, ...], ...] = ()
    nearest: tuple[int, ...] = ()

    @property
    def slices(self) -> int:
        """How many there are."""
        return self.data.shape[2]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Between columns, between rows, between slices."""
        return spacing_from_affine(self.affine_lps)

    def orientation(self) -> list[float]:
        """Direction cosines of a row, then of a column (ImageOrientationPatient)."""
        directions = self.affine_lps[:3, :2] / np.linalg.norm(self.affine_lps[:3, :2], axis=0)
        return [float(v) for v in directions.T.reshape(-1)]

    def position_mm(self, k: int) -> list[float]:
        """Centre of the first voxel of a slice (ImagePositionPatient)."""
        return [float(v) for v in self.affine_lps[:3, 3] + k * self.affine_lps[:3, 2]]

    def is_generated(self, k: int) -> tuple[bool, bool]:
        """Whether some of a slice was generated, and whether all of it was."""
        if self.generated is None:
            return False, False
        plane = self.generated[:, :, k]
        return bool(plane.any()), bool(plane.all())


def lay_out_as_source(volume: Volume, source: Candidate, generated: np.ndarray | None) -> Layout:
    """Turn a volume the way its source lies, and find for each slice the planes it comes from.

    Flipped or permuted axes (after a way through NIfTI) are undone exactly; another grid keeps its own places.

    Args:
        volume: On the source's grid, or on another one in the same space.
        source: Candidate with a stacking.
        generated: Mask on the volume's grid, or one value a slice (z,).

    Raises:
        GeometryError: A sheared grid; or the volume lies nowhere near the source.
    """
    stacking = source.stacking
    if stacking is None:
        raise GeometryError(f"{source.id}: has no grid: a series without places cannot take a volume. Use NIfTI.")
    check_affine(volume.affine_ras, volume.name or "volume")
    layout = _turned_to(volume, stacking, generated)
    check_orthogonal(layout.affine_lps, volume.name)
    slots = np.asarray(stacking.slots)
    if _is_on(layout, stacking):
        sources = tuple(tuple(int(i) for i in np.flatnonzero(slots == k)) for k in range(layout.slices))
        nearest = tuple(int(np.abs(slots - k).argmin()) for k in range(layout.slices))
        return Layout(layout.data, ras_to_lps(stacking.affine_ras), layout.generated, True, sources, nearest)
    first, last = _source_range(layout, stacking.affine_ras)
    sources = tuple(
        tuple(int(i) for i in np.flatnonzero((slots >= np.floor(a + _ON_SLICE)) & (slots <= np.ceil(b - _ON_SLICE))))
        for a, b in zip(first, last, strict=True)
    )
    if not any(sources):
        raise GeometryError(
            f"{volume.name or 'volume'}: lies outside the series {source.id} that it is said to come from. "
            "Is it the right series?"
        )
    nearest = tuple(int(np.abs(slots - (a + b) / 2).argmin()) for a, b in zip(first, last, strict=True))
    return Layout(layout.data, layout.affine_lps, layout.generated, False, sources, nearest)


def lies_on(volume: Volume, source: Candidate) -> bool:
    """Whether a volume is on its source's grid, flips and permutations of axes aside.

    Raises:
        GeometryError: The volume's affine is none.
    """
    if source.stacking is None:
        return False
    check_affine(volume.affine_ras, volume.name or "volume")
    return _is_on(_turned_to(volume, source.stacking, None), source.stacking)


def lay_out_for_display(volume: Volume, generated: np.ndarray | None = None) -> Layout:
    """Turn a volume that has no DICOM source: its third axis stays the slices, the others as radiologists see them.

    Raises:
        GeometryError: The grid is sheared.
    """
    check_affine(volume.affine_ras, volume.name or "volume")
    codes = np.array([["R", "L"], ["A", "P"], ["S", "I"]])
    orientation = io_orientation(volume.affine_ras)
    stacked = codes[int(orientation[2, 0]), 0]
    wanted = np.array([[int(np.argwhere(codes == c)[0, 0]), 1 if c in "RAS" else -1] for c in _SHOWN[str(stacked)]])
    layout = _reorient(volume, ornt_transform(orientation, wanted), generated)
    check_orthogonal(layout.affine_lps, volume.name)
    return layout


def check_orthogonal(affine_lps: np.ndarray, name: str) -> None:
    """Refuse a grid that stacked rectangular images cannot show.

    Raises:
        GeometryError: It is sheared.
    """
    x, y, z = (affine_lps[:3, :3] / np.linalg.norm(affine_lps[:3, :3], axis=0)).T
    if abs(x @ y) > _SKEW_IN_PLANE or max(abs(x @ z), abs(y @ z)) > _SKEW_STEP:
        raise GeometryError(
            f"{name or 'volume'}: the grid is sheared, its axes are not at right angles: DICOM images cannot hold it. "
            "Resample it to an orthogonal grid first."
        )


@dataclass(frozen=True, eq=False)
class _Grid:
    shape: tuple[int, ...]
    affine_ras: np.ndarray


def _turned_to(volume: Volume, stacking: Stacking, generated: np.ndarray | None) -> Layout:
    """A volume with its axes in the order and direction that is closest to the source's."""
    directions = np.eye(4)
    directions[:3, :3] = stacking.affine_ras[:3, :3] / spacing_from_affine(stacking.affine_ras)
    return _reorient(volume, io_orientation(np.linalg.inv(directions) @ volume.affine_ras), generated)


def _is_on(layout: Layout, stacking: Stacking) -> bool:
    affine_ras = ras_to_lps(layout.affine_lps)  # the same change of signs back
    return same_grid(Volume(layout.data, affine_ras), _Grid(stacking.shape, stacking.affine_ras), _SAME_MM)


def _reorient(volume: Volume, orientation: np.ndarray, generated: np.ndarray | None) -> Layout:
    affine_ras = volume.affine_ras @ inv_ornt_aff(orientation, volume.shape)
    if generated is not None:
        generated = apply_orientation(np.broadcast_to(np.asarray(generated, dtype=bool), volume.shape), orientation)
    return Layout(apply_orientation(volume.data, orientation), ras_to_lps(affine_ras), generated)


def _source_range(layout: Layout, source_affine_ras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each slice, the lowest and highest slice index of the source that its corners reach."""
    to_source = np.linalg.inv(ras_to_lps(source_affine_ras)) @ layout.affine_lps
    columns, rows, slices = layout.data.shape
    corners = np.array([(x, y) for x, y in itertools.product((0, columns - 1), (0, rows - 1))], dtype=np.float64)
    reached = corners @ to_source[2, :2] + to_source[2, 3] + np.arange(slices)[:, None] * to_source[2, 2]
    return reached.min(axis=1), reached.max(axis=1)
