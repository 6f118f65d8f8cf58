"""Several sets of scans brought to one window, so that they can be compared voxel by voxel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from medidiff.cohort.checks import label_values
from medidiff.cohort.scan_set_find import FoundScan, FoundSet, find_scan_set
from medidiff.errors import GeometryError, InputError

SAME_SPACING = 0.02
"""Spacings that differ by this share are the same: a header's rounding."""
FITS = 0.05
"""Share of scans that may be smaller than the window and are filled up by mirroring."""
MOST_MISSING = 0.25
"""A scan that lacks more of the window along an axis shows something else."""
_FLAT = 1e-6
Triple = tuple[int, int, int]
Spacing = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class ScanSet:
    """Scans on one window.

    Attributes:
        where: What was given.
        images: float32 (n, x, y, z), axes along R, A, S; each scan has mean 0 and standard deviation 1 in the window.
        masks: Label maps on the same window, uint8, 0 where a scan has none; None where no scan has one.
        patients: Whose each is; a synthetic scan is its own.
        names: What messages and reports call each.
        spacing_mm: Voxel spacing of all.
        attributes: What is known of each, None where missing.
        warnings: What is not as sure as it should be.
    """

    where: str
    images: np.ndarray
    masks: np.ndarray | None
    patients: tuple[str, ...]
    names: tuple[str, ...]
    spacing_mm: Spacing
    attributes: tuple[Mapping[str, float | str | None], ...]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Sequence[int] | np.ndarray) -> ScanSet:
        """Some of them."""
        chosen = np.arange(len(self))[np.asarray(index) if len(index) else slice(0)]
        return ScanSet(
            self.where,
            self.images[chosen],
            None if self.masks is None else self.masks[chosen],
            tuple(self.patients[i] for i in chosen),
            tuple(self.names[i] for i in chosen),
            self.spacing_mm,
            tuple(self.attributes[i] for i in chosen),
            self.warnings,
        )


def read_scan_set(
    where: str | Path,
    split: str | None = None,
    table: Path | None = None,
    shape: Triple | None = None,
    spacing_mm: Spacing | None = None,
) -> ScanSet:
    """Find and read one set, see `find_scan_set` and `read_scan_sets`."""
    return read_scan_sets([find_scan_set(where, split, table)], shape, spacing_mm)[0]


def read_scan_sets(
    sets: Sequence[FoundSet],
    shape: Triple | None = None,
    spacing_mm: Spacing | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[ScanSet]:
    """Read several sets on one window round the middle of every scan.

    Args:
        sets: What `find_scan_set` found.
        shape: Voxels of the window; None: the largest that 95% of the scans of EVERY set fill along each axis, so that
            little of it is made up by mirroring.
        spacing_mm: What all must have, along R, A, S; None: that of the first scan.
        progress: Told how many scans are read, of how many.

    Returns:
        The sets, in the order given.

    Raises:
        GeometryError: Spacings differ by more than 2%, or a scan fills less than three quarters of the window.
        InputError: A scan cannot be read, is not finite or constant.
    """
    grids = [[scan.grid() for scan in found.scans] for found in sets]
    spacing = spacing_mm or grids[0][0][1]
    for found, of_set in zip(sets, grids, strict=True):
        _check_spacing(found, [mm for _, mm in of_set], spacing, f"{sets[0].where} ({sets[0].scans[0].name})")
    window = shape or _window_of(grids)
    total, done, read = sum(map(len, sets)), 0, []
    for found in sets:
        images, masks = [], []
        for scan in found.scans:
            image, mask = scan.read()
            cut = to_window(scan.name, image, window)
            mean, std = _moments(scan, found, cut)
            images.append(((cut - mean) / std).astype(np.float32))
            masks.append(None if mask is None else to_window(scan.name, mask, window, mirrored=False))
            done += 1
            if progress is not None:
                progress(done, total)
        read.append(_as_set(found, images, masks, spacing))
    return read


def to_window(
    name: str, data: np.ndarray, shape: Triple, mirrored: bool = True, most_missing: float = MOST_MISSING
) -> np.ndarray:
    """The middle of a scan; what is missing is its mirror image, or 0.

    Args:
        name: What messages call it.
        data: (x, y, z).
        shape: Voxels of the window.
        mirrored: Else 0.
        most_missing: Share of the window along an axis that may be made up.

    Raises:
        GeometryError: More would be.
    """
    pads, cuts = [], []
    for have, want in zip(data.shape, shape, strict=True):
        missing = max(0, want - have)
        if missing > most_missing * want:
            raise GeometryError(
                f"{name}: {_times(data.shape)} voxels, the window of the comparison has {_times(shape)}. Leave it "
                "out, or prepare all sets on one grid with `medidiff prepare`."
            )
        pads.append((missing // 2, missing - missing // 2))
        start = max(0, (have - want) // 2)
        cuts.append(slice(start, start + want))
    cut = data[tuple(cuts)]
    return np.pad(cut, pads, mode="symmetric" if mirrored else "constant")


def common_window(sets: Sequence[FoundSet]) -> Triple:
    """The largest window of even sides that 95% of the scans of every set fill along each axis."""
    return _window_of([[scan.grid() for scan in found.scans] for found in sets])


def _window_of(grids: Sequence[Sequence[tuple[Triple, Spacing]]]) -> Triple:
    sizes = [np.array([size for size, _ in of_set]) for of_set in grids]
    smallest = np.min([np.percentile(of_set, 100 * FITS, axis=0, method="lower") for of_set in sizes], axis=0)
    return cast(Triple, tuple(int(n) - int(n) % 2 for n in smallest))  # even: a mirror image lies voxel on voxel


def _check_spacing(found: FoundSet, spacings: Sequence[Spacing], wanted: Spacing, first: str) -> None:
    for scan, spacing in zip(found.scans, spacings, strict=True):
        if not np.allclose(spacing, wanted, rtol=SAME_SPACING, atol=0):
            raise GeometryError(
                f"{found.where}: {scan.name} has voxels of {_times(spacing)} mm, {first} of {_times(wanted)} mm: scans "
                "on different grids cannot be compared voxel by voxel. Bring them to one spacing with "
                "`medidiff prepare --spacing-mm`."
            )


def _moments(scan: FoundScan, found: FoundSet, image: np.ndarray) -> tuple[float, float]:
    if not np.isfinite(image).all():
        bad = int((~np.isfinite(image)).sum())
        raise InputError(f"{found.where}: {scan.name} has {bad} voxels that are not finite. Repair it or leave it out.")
    mean, std = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    if std <= _FLAT * max(1.0, abs(mean)):
        raise InputError(f"{found.where}: {scan.name} is constant in the window. Leave it out.")
    values = label_values(image)
    if values is not None:
        raise InputError(
            f"{found.where}: {scan.name} holds {len(values)} values alone: a label map, not a scan. Call label maps "
            "NAME_mask.nii.gz beside their scans, or leave them out."
        )
    return mean, std


def _as_set(
    found: FoundSet,
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray | None],
    spacing_mm: Spacing,
) -> ScanSet:
    none = np.zeros(images[0].shape, np.uint8)
    known = any(mask is not None for mask in masks)
    return ScanSet(
        found.where,
        np.stack(images),
        np.stack([none if mask is None else mask for mask in masks]) if known else None,
        tuple(scan.patient for scan in found.scans),
        tuple(scan.name for scan in found.scans),
        cast(Spacing, tuple(map(float, spacing_mm))),
        tuple(scan.attributes for scan in found.scans),
        found.warnings,
    )


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


__all__ = ["FoundSet", "ScanSet", "common_window", "find_scan_set", "read_scan_set", "read_scan_sets", "to_window"]
