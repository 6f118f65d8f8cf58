"""Maps and masks on the scan's own grid: those that do not fit are refused, what is outside them stays as it is."""

from __future__ import annotations

import itertools

import numpy as np

from medidiff.errors import GeometryError, InputError, NoiseError
from medidiff.geometry import same_grid
from medidiff.volume import Volume


def check_same_grid(other: Volume, scan: Volume, what: str) -> None:
    """Refuse a map or mask that does not lie on the scan's grid, saying what differs.

    Args:
        other: The map or mask.
        scan: The scan.
        what: What the message calls the first, such as "--mask hole.nii.gz".

    Raises:
        GeometryError: Another shape, or voxels in other places.
    """
    if same_grid(other, scan):
        return
    if other.shape != scan.shape:
        differs = f"its shape is {other.shape}, the scan's {scan.shape}"
    else:
        corners = np.array(list(itertools.product(*[(0, n - 1) for n in scan.shape], [1])))
        apart = np.linalg.norm(corners @ (other.affine_ras - scan.affine_ras).T, axis=1).max()
        differs = f"same shape, but by their affines the voxels lie up to {apart:.3g} mm apart"
    raise GeometryError(f"{what}: lies on another grid than the scan: {differs}. Resample it to the scan first.")


def check_noise_map(noise_map: Volume, scan: Volume) -> None:
    """Refuse a noise map that does not fit the scan or is no noise level; the message has the map's name.

    Raises:
        GeometryError: It lies on another grid.
        NoiseError: It is not positive and finite everywhere.
    """
    what = f"--noise-std {noise_map.name or 'map'}"
    check_same_grid(noise_map, scan, what)
    values = noise_map.data
    if np.isinf(values).any():
        raise NoiseError(f"{what}: infinite in places, which means not observed. Use `medidiff inpaint` for that.")
    bad = ~(values > 0)
    if bad.any():
        kind = "NaN" if np.isnan(values).any() else "not positive"
        raise NoiseError(
            f"{what}: must be positive and finite at every voxel; {np.count_nonzero(bad)} of {bad.size} are {kind}."
        )


def region_of(mask: Volume, scan: Volume) -> np.ndarray:
    """The voxels to denoise, True where the mask is not 0.

    Raises:
        GeometryError: The mask lies on another grid.
        InputError: It holds NaN, or is 0 everywhere.
    """
    what = f"--mask {mask.name or 'mask'}"
    check_same_grid(mask, scan, what)
    if not np.isfinite(mask.data).all():
        raise InputError(f"{what}: holds NaN or infinite values. Mark the part to denoise with 1, the rest with 0.")
    region: np.ndarray = np.asarray(mask.data != 0)
    if not region.any():
        raise InputError(f"{what}: is 0 everywhere: nothing to denoise. Mark the part to denoise with 1.")
    return region


def keep_unmeasured(volume: Volume, data: np.ndarray) -> Volume:
    """A task's output on the scan's grid: what was not measured stays as it is in the scan."""
    return keep_outside(volume, data, None if volume.unmeasured is None else ~volume.unmeasured)


def keep_outside(volume: Volume, data: np.ndarray, region: np.ndarray | None) -> Volume:
    """A task's output inside a region, the scan as it was outside of it; None: everywhere."""
    if region is not None:
        data = np.where(region, data, volume.data.astype(data.dtype, copy=False))
    return volume.with_data(data)


__all__ = ["check_noise_map", "check_same_grid", "keep_outside", "keep_unmeasured", "region_of"]
