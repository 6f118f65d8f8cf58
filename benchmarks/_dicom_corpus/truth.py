"""What a reader must find: planes in space by DICOM's own formula, and the check of a Volume against them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medidiff.volume import Volume

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PROBES = 4000
"""Voxels held against the truth; all of them where the volume has no more than this."""


@dataclass(frozen=True, eq=False)
class PlaneTruth:
    """One slice: where it lies and what it holds.

    Args:
        position_lps_mm: Centre of its first voxel.
        row_direction: Direction in which the column index grows.
        column_direction: Direction in which the row index grows.
        row_spacing_mm: Between rows (PixelSpacing's first value).
        column_spacing_mm: Between columns (PixelSpacing's second value).
        values: Rows x columns, slope and intercept applied, float64; NaN where any value is right.
    """

    position_lps_mm: np.ndarray
    row_direction: np.ndarray
    column_direction: np.ndarray
    row_spacing_mm: float
    column_spacing_mm: float
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class VolumeTruth:
    """One volume: its planes, in any order.

    Args:
        planes: All of them.
        tolerance_mm: How far a voxel may lie from where the plane has it.
        what: Name for messages of the tests.
    """

    planes: tuple[PlaneTruth, ...]
    tolerance_mm: float = 1e-3
    what: str = ""

    @property
    def voxels(self) -> int:
        return sum(plane.values.size for plane in self.planes)

    def problems(self, volume: Volume, seed: int = 0) -> list[str]:
        """What is wrong with a volume as a reading of these planes: nothing, if every probed voxel is right.

        A probe goes from a voxel of the volume through its affine to the world, there to the one plane whose formula
        (PS3.3, Equation C.7.6.2.1-1) has a voxel at this place, and compares the values. No affine is computed here.
        """
        if volume.data.size != self.voxels:
            return [f"{volume.data.size} voxels of shape {volume.shape}, should be {self.voxels}"]
        index = self._probes(volume.shape, seed)
        lps = (LPS_FROM_RAS @ volume.affine_ras @ np.c_[index, np.ones(len(index))].T).T[:, :3]
        expected, distance_mm = self._look_up(lps)
        found = volume.data[tuple(index.T)].astype(np.float64)
        out = []
        if (distance_mm > self.tolerance_mm).any():
            far = distance_mm > self.tolerance_mm
            out.append(f"{far.mean():.1%} of voxels not where a voxel is, by up to {distance_mm.max():.3g} mm")
        known = np.isfinite(expected) & (distance_mm <= self.tolerance_mm)
        # Slope times stored plus intercept in float32: at most some roundings of the largest term.
        limit = 4 * np.finfo(np.float32).eps * max(1e-30, float(np.nanmax(np.abs(expected), initial=0.0)) * 4)
        wrong = known & ~(np.abs(found - expected) <= limit)
        if wrong.any():
            first = tuple(index[int(np.argmax(wrong))])
            k = int(np.argmax(wrong))
            out.append(f"{wrong.mean():.1%} of values wrong, the first at {first}: {found[k]:g}, not {expected[k]:g}")
        if not np.isfinite(found).all():
            out.append("values that are not finite")
        return out

    def _probes(self, shape: tuple[int, ...], seed: int) -> np.ndarray:
        total = int(np.prod(shape))
        rng = np.random.default_rng(seed)
        flat = np.arange(total) if total <= PROBES else rng.choice(total, PROBES, replace=False)
        return np.stack(np.unravel_index(flat, shape), axis=1)

    def _look_up(self, lps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each place the value of the nearest voxel of any plane, and how far it is."""
        values = np.full(len(lps), np.nan)
        nearest_mm = np.full(len(lps), np.inf)
        for plane in self.planes:
            away = lps - plane.position_lps_mm
            rows, columns = plane.values.shape
            c = np.clip(np.rint(away @ plane.row_direction / plane.column_spacing_mm), 0, columns - 1).astype(int)
            r = np.clip(np.rint(away @ plane.column_direction / plane.row_spacing_mm), 0, rows - 1).astype(int)
            at = (
                plane.position_lps_mm
                + plane.row_direction * (plane.column_spacing_mm * c)[:, None]
                + plane.column_direction * (plane.row_spacing_mm * r)[:, None]
            )
            distance = np.linalg.norm(lps - at, axis=1)
            closer = distance < nearest_mm
            nearest_mm[closer] = distance[closer]
            values[closer] = plane.values[r[closer], c[closer]]
        return values, nearest_mm


def match(volumes: list[Volume], truths: tuple[VolumeTruth, ...]) -> list[str]:
    """Problems of several volumes as readings of several truths, each used once; none if all are right."""
    if len(volumes) != len(truths):
        return [f"{len(volumes)} volumes, should be {len(truths)}"]
    left = list(truths)
    out: list[str] = []
    for number, volume in enumerate(volumes):
        found = [truth.problems(volume) for truth in left]
        fitting = [i for i, problems in enumerate(found) if not problems]
        if fitting:
            left.pop(fitting[0])
        else:
            best = min(found, key=lambda problems: " ".join(problems).count("wrong"), default=["no truth left"])
            out.append(f"volume {number} of shape {volume.shape}: {'; '.join(best)}")
    return out
