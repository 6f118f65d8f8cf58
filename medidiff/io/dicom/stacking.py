"""Planes of one orientation, size and spacing onto one grid, or why they fit none.

Slices are sorted by their position along the normal (row direction x column direction); instance numbers, file names
and slice locations play no part. x runs along a row, y along a column, z along the normal; the first voxel is the first
one of the slice that lies lowest along it. The step between slices is that between the first and the last position,
divided by how many steps lie between: it keeps the direction that the positions have, so a stack that is tilted by
less than the tolerance keeps its tilt instead of losing a few micrometres slice by slice.

**Tolerances.** Every position must lie where the straight, even row of slices has its place, within 1% of the step
between slices: a slice that is displaced by more has another distance to its neighbours. Positions are often
rounded to 0.01 mm, so where steps are below 1 mm, 0.01 mm is allowed, as long as that is at most a tenth of a step.
A stack whose direction deviates from the normal by more than 1e-3 was tilted. Directions and pixel spacings that creep
from slice to slice, each step within the tolerance of `split`, add up: no corner may lie off the grid by more than a
tenth of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medidiff.geometry import lps_to_ras
from medidiff.io.dicom.model import Plane, Refusal, Stacking
from medidiff.io.dicom.plane_tags import PERPENDICULAR
from medidiff.volume import MAX_VOXELS

SPACING_TOLERANCE = 0.01
"""Of the step between slices (facts.md, rule 3)."""

_ROUNDING_MM = 0.01
_LARGEST_ROUNDING = 0.1  # of a step
_CORNERS = 0.1  # of a pixel
_LISTED = 8


def place_tolerance_mm(step_mm: float) -> float:
    """How far from its place on the grid a slice may lie."""
    return max(SPACING_TOLERANCE * step_mm, min(_ROUNDING_MM, _LARGEST_ROUNDING * step_mm))


def normal_of(planes: Sequence[Plane]) -> np.ndarray:
    """Unit vector at right angles to the planes, row direction x column direction, LPS.

    Args:
        planes: With orientations, all alike.
    """
    row, column = _directions(planes)
    normal = np.cross(row, column)
    return normal / np.linalg.norm(normal)


def sort_planes(planes: Sequence[Plane]) -> tuple[Plane, ...]:
    """By position along the normal; at one position by file and frame.

    Args:
        planes: With orientations, all alike, and positions.
    """
    along_mm = _positions(planes) @ normal_of(planes)
    order = sorted(range(len(planes)), key=lambda i: (along_mm[i], planes[i].file.label, planes[i].frame))
    return tuple(planes[i] for i in order)


def stack_planes(planes: Sequence[Plane]) -> tuple[Stacking | None, Refusal | None]:
    """Find the grid of planes that are sorted along their normal.

    Args:
        planes: Sorted (`sort_planes`), of one size, with one orientation and spacing, each with a position.

    Returns:
        The grid, and why it is not read without further ado. Both where the grid is known and an option helps: slices
        are missing, or the stack is tilted.
    """
    if len(planes) == 1:
        return None, Refusal("one-slice", "One image, not a volume.", "Give all images of the series.")
    normal = normal_of(planes)
    positions_mm = _positions(planes)
    along_mm = positions_mm @ normal
    distances_mm = np.diff(along_mm)
    if (same := _duplicates(planes, positions_mm, distances_mm)).size:
        return None, _duplicate_refusal(along_mm, same)
    if distances_mm.min() <= _same_place_mm(planes):
        return None, _shifted_refusal(along_mm)
    slots = _slots(along_mm)
    if slots is None:
        return None, _uneven_refusal(distances_mm)
    step = (positions_mm[-1] - positions_mm[0]) / slots[-1]
    step_mm = float(step @ normal)
    off_mm = np.linalg.norm(positions_mm - positions_mm[0] - slots[:, None] * step, axis=1)
    if off_mm.max() > place_tolerance_mm(step_mm):
        return None, _uneven_refusal(distances_mm, float(off_mm.max()))
    if (corner_mm := _corners_off_mm(planes)) > _CORNERS * min(planes[0].spacing_mm or (1.0,)):
        return None, _unlike_refusal(corner_mm)
    return _grid(planes, slots, step, normal, along_mm)


def _grid(
    planes: Sequence[Plane], slots: np.ndarray, step: np.ndarray, normal: np.ndarray, along_mm: np.ndarray
) -> tuple[Stacking, Refusal | None]:
    across = float(np.linalg.norm(np.cross(step, normal)))
    tilt_deg = math.degrees(math.atan2(across, float(step @ normal)))
    if math.sin(math.radians(tilt_deg)) <= PERPENDICULAR:
        tilt_deg = 0.0
    count = int(slots[-1]) + 1
    missing = tuple(sorted(set(range(count)) - set(slots.tolist())))
    shape = (planes[0].columns, planes[0].rows, count)
    stacking = Stacking(shape, _affine_ras(planes, step), tuple(slots.tolist()), tilt_deg, missing)
    if math.prod(shape) > MAX_VOXELS:
        size = " x ".join(map(str, shape))
        message = f"{size} voxels; at most {MAX_VOXELS} are read."
        return stacking, Refusal("too-large", message, "Crop it or reduce its resolution first.")
    if missing:
        return stacking, _gap_refusal(along_mm, stacking, float(step @ normal))
    if tilt_deg:
        message = f"The gantry was tilted: slices are stacked {tilt_deg:.2f} degrees off their normal."
        return stacking, Refusal("tilt", message, "--resample-tilt resamples to an orthogonal grid and records it.")
    return stacking, None


def _affine_ras(planes: Sequence[Plane], step: np.ndarray) -> np.ndarray:
    row, column = _directions(planes)
    between_rows_mm, between_columns_mm = np.mean([plane.spacing_mm or () for plane in planes], axis=0)
    affine_lps = np.eye(4)
    affine_lps[:3, 0] = row * between_columns_mm
    affine_lps[:3, 1] = column * between_rows_mm
    affine_lps[:3, 2] = step
    affine_lps[:3, 3] = planes[0].position_lps_mm
    return lps_to_ras(affine_lps)


def _corners_off_mm(planes: Sequence[Plane]) -> float:
    """How far any plane's corners lie from where the mean directions and spacings put them, from its first voxel."""
    cosines = np.array([plane.orientation_lps for plane in planes], dtype=np.float64).reshape(-1, 2, 3)
    spacings_mm = np.array([plane.spacing_mm for plane in planes], dtype=np.float64)[:, ::-1, None]
    counts = np.array([[planes[0].columns - 1], [planes[0].rows - 1]])
    edges_mm = cosines * spacings_mm * counts
    mean_mm = np.stack(_directions(planes)) * spacings_mm.mean(axis=0) * counts
    off_mm = edges_mm - mean_mm
    corners_mm = np.stack([off_mm[:, 0], off_mm[:, 1], off_mm.sum(axis=1)])
    return float(np.linalg.norm(corners_mm, axis=-1).max())


def _directions(planes: Sequence[Plane]) -> tuple[np.ndarray, np.ndarray]:
    """The mean directions of a row and of a column: they agree but for rounding."""
    cosines = np.mean([plane.orientation_lps or () for plane in planes], axis=0)
    row, column = cosines[:3], cosines[3:]
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _positions(planes: Sequence[Plane]) -> np.ndarray:
    return np.array([plane.position_lps_mm for plane in planes], dtype=np.float64)


def _same_place_mm(planes: Sequence[Plane]) -> float:
    """What is closer than this along the normal is one position: 1% of a pixel."""
    return SPACING_TOLERANCE * min(planes[0].spacing_mm or (1.0,))


def _duplicates(planes: Sequence[Plane], positions_mm: np.ndarray, distances_mm: np.ndarray) -> np.ndarray:
    """Indices of slices that lie where the one before them lies."""
    near = np.linalg.norm(np.diff(positions_mm, axis=0), axis=1) <= _same_place_mm(planes)
    return np.flatnonzero(near & (distances_mm <= _same_place_mm(planes))) + 1


def _slots(along_mm: np.ndarray) -> np.ndarray | None:
    """Whole numbers of steps from the first slice to each, or None where no step fits.

    Args:
        along_mm: Increasing positions.
    """
    distances_mm = np.diff(along_mm)
    step_mm = float(np.median(distances_mm[distances_mm < 1.5 * distances_mm.min()]))
    steps = np.rint(distances_mm / step_mm)
    if steps.max() > 2 * len(along_mm) + 1:
        return None
    slots = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    if slots[-1] + 1 > 2 * len(along_mm) + 1:
        return None
    step_mm = float(along_mm[-1] - along_mm[0]) / float(slots[-1])
    off_mm = np.abs(along_mm - along_mm[0] - slots * step_mm)
    return slots if off_mm.max() <= place_tolerance_mm(step_mm) else None


def _gap_refusal(along_mm: np.ndarray, stacking: Stacking, step_mm: float) -> Refusal:
    places = _listed([float(along_mm[0]) + slot * step_mm for slot in stacking.missing])
    count = len(stacking.missing)
    what = "slice is missing" if count == 1 else "slices are missing"
    message = (
        f"{count} {what} of {stacking.shape[2]}: at {places} mm along the normal, slices being {step_mm:.4g} mm apart."
    )
    options = "--fill-gaps generate"
    if stacking.tilt_deg:
        message += f" The gantry was also tilted, by {stacking.tilt_deg:.2f} degrees."
        options = "--fill-gaps --resample-tilt straighten the stack and generate"
    return Refusal("gap", message, f"Get the missing files, or let {options} these slices (flagged as such).")


def _duplicate_refusal(along_mm: np.ndarray, same: np.ndarray) -> Refusal:
    places = sorted({round(float(along_mm[i]), 3) for i in same})
    message = f"{len(same)} slices lie where another one lies: at {_listed(places)} mm along the normal."
    return Refusal("duplicate", message, "Nothing in the files tells them apart: keep one file of each position.")


def _shifted_refusal(along_mm: np.ndarray) -> Refusal:
    place_mm = along_mm[int(np.argmin(np.diff(along_mm)))]
    message = (
        f"Slices of one height ({place_mm:.2f} mm along the normal) are shifted against each other in their plane."
    )
    return Refusal("uneven", message, "They are several volumes in one series: give the files of one.")


def _uneven_refusal(distances_mm: np.ndarray, off_mm: float | None = None) -> Refusal:
    values, counts = np.unique(np.round(distances_mm, 3), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    found = _listed([f"{values[i]:g} ({counts[i]}x)" for i in order])
    message = f"The distance between slices varies and no grid fits: {found} mm."
    if off_mm is not None:
        message = (
            f"Slices lie up to {off_mm:.3f} mm off the straight line through the stack; their distances are {found} mm."
        )
    return Refusal("uneven", message, "Get the complete series, or give the files of one evenly spaced part.")


def _unlike_refusal(corner_mm: float) -> Refusal:
    message = f"Slices differ in direction or pixel spacing: their corners lie up to {corner_mm:.3f} mm off one grid."
    return Refusal("uneven", message, "Give the files of slices that are parallel and of one scale.")


def _listed(values: Sequence[float | str]) -> str:
    shown = ", ".join(v if isinstance(v, str) else f"{v:.2f}" for v in values[:_LISTED])
    return shown + (f" and {len(values) - _LISTED} more" if len(values) > _LISTED else "")
