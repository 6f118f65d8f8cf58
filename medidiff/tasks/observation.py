"""A scan as the prior sees it: noise known, variance stabilised, intensities normalised; and the way back."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from medidiff.errors import GeometryError, InputError, NoiseError, UsageError
from medidiff.geometry import same_grid
from medidiff.intensity import Normalisation
from medidiff.noise import NoiseEstimate, estimate_noise, find_background, stabilise, unstabilise
from medidiff.prior import Prior
from medidiff.volume import Volume

NoiseKind = Literal["auto", "gaussian", "rician"]
_FEWEST_BLOCKS = 200  # of 2 x 2 x 2 voxels; with fewer the estimate has an error of 8% or more


@dataclass(frozen=True, eq=False)
class Observation:
    """A noisy scan and what is known of its noise.

    Args:
        y: Scan, stabilised when Rician, normalised.
        sigma: Its noise level in the same units, one number or a map.
        level: The noise level in the scan's unit, one number or a map.
        rician: Whether the noise is Rician.
        normalisation: From the (stabilised) scan's unit to the prior's.
        warnings: What to know about the noise level.
        figures: What was found out about the noise.
    """

    y: np.ndarray
    sigma: float | np.ndarray
    level: float | np.ndarray
    rician: bool
    normalisation: Normalisation
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def to_scan(self, clean: np.ndarray) -> np.ndarray:
        """A clean scan from the prior's units to the scan's, float32."""
        values = self.normalisation.inverse(clean.astype(np.float32)).astype(np.float32)
        return unstabilise(values, self._level32()) if self.rician else values

    def std_to_scan(self, clean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """The standard deviation of an estimate from the prior's units to the scan's, float32.

        Through the Rician inverse by half the difference between one deviation above and one below.
        """
        if not self.rician:
            return self.normalisation.noise_inverse(std).astype(np.float32)
        return np.abs(self.to_scan(clean + std) - self.to_scan(clean - std)) / 2

    def level_map(self) -> np.ndarray:
        """The noise level in the scan's unit, voxel by voxel, float32."""
        return np.broadcast_to(np.asarray(self.level, dtype=np.float32), self.y.shape).copy()

    def _level32(self) -> float | np.ndarray:
        return self.level.astype(np.float32) if isinstance(self.level, np.ndarray) else self.level


def observe(
    volume: Volume,
    prior: Prior,
    noise: NoiseKind | str = "auto",
    noise_std: float | Volume | None = None,
    where: np.ndarray | None = None,
) -> Observation:
    """Find out a scan's noise and put it into the prior's units.

    Args:
        volume: Scan, checked.
        prior: Gives the normalisation.
        noise: auto, gaussian or rician.
        noise_std: Level in the scan's unit, a number or a map on its grid; None estimates it.
        where: Voxels that were observed; None: all. The scan's unmeasured voxels never are: they take the smallest
            measured value.

    Raises:
        UsageError: `noise` is none of these.
        NoiseError: The level is not positive and finite, it cannot be estimated, or the scan cannot be Rician.
        GeometryError: The map lies on another grid.
        InputError: The scan is too small to estimate its noise.
    """
    if noise not in get_args(NoiseKind):
        raise UsageError(f"--noise {noise}: must be {', '.join(get_args(NoiseKind))}.")
    data = volume.data.astype(np.float32)
    if volume.unmeasured is not None:
        where = ~volume.unmeasured if where is None else where & ~volume.unmeasured
        if not where.any():
            raise InputError(f"{volume.name or 'volume'}: every voxel is padding: nothing was measured.")
        data[volume.unmeasured] = data[where].min()
    if noise == "rician" and data.min() < 0:
        raise NoiseError("--noise rician: this scan has negative values, so it is no magnitude. Use gaussian or auto.")
    warnings: list[str] = []
    figures: dict[str, Any]
    if noise_std is None:
        blocks = math.prod(n // 2 for n in data.shape)
        if where is None and (min(data.shape) < 4 or blocks < _FEWEST_BLOCKS):
            size = " x ".join(map(str, data.shape))
            raise InputError(
                f"{volume.name or 'volume'}: {size} voxels are too few to estimate the noise. Give --noise-std, or a "
                "larger part of the scan."
            )
        estimate = estimate_noise(data, noise, where)  # type: ignore[arg-type]
        level: float | np.ndarray = estimate.level
        rician, reason, warnings = estimate.kind == "rician", estimate.reason, list(estimate.warnings)
        figures = _figures_of(estimate)
    else:
        level, figures = _given_level(volume, data, noise_std), {}
        typical = float(np.median(level))
        found = find_background(data, typical)
        rician, reason = (found.rayleigh, found.reason) if noise == "auto" else (noise == "rician", "asked for")
    even = stabilise(data, level) if rician else data
    normalisation = prior.card.normalisation.fit(even if where is None else even[where])
    known = {
        "noise_std": float(np.median(level)),
        "noise_kind": "rician" if rician else "gaussian",
        "noise_kind_because": reason,
        "noise_level_from": "estimate" if noise_std is None else "map" if isinstance(noise_std, Volume) else "given",
    }
    y = normalisation.forward(even).astype(np.float32)
    return Observation(
        y, normalisation.noise_forward(level), level, rician, normalisation, warnings, {**known, **figures}
    )


def keep_unmeasured(volume: Volume, data: np.ndarray) -> Volume:
    """A task's output on the scan's grid: what was not measured stays as it is in the scan."""
    if volume.unmeasured is not None:
        data = np.where(volume.unmeasured, volume.data.astype(data.dtype), data)
    return volume.with_data(data)


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


def _figures_of(estimate: NoiseEstimate) -> dict[str, Any]:
    """The estimate's figures by names that explain themselves."""
    figures = dict(estimate.figures)
    lags = figures.pop("lag_one_correlation", [])
    # Neighbouring differences of white noise correlate by -1/2; told is what is above that.
    above = [lag + 0.5 for lag in lags] if isinstance(lags, list) else []
    return {
        "noise_white": estimate.white,
        "noise_neighbour_correlation_beyond_white_xyz": above,
        **{f"noise_{k}": v for k, v in figures.items()},
    }


def _given_level(volume: Volume, data: np.ndarray, noise_std: float | Volume) -> float | np.ndarray:
    if isinstance(noise_std, Volume):
        check_noise_map(noise_std, volume)
        return noise_std.data.astype(np.float32)
    level = float(noise_std)
    if not (np.isfinite(level) and level > 0):
        low, high = float(data.min()), float(data.max())
        raise NoiseError(
            f"--noise-std {level:g}: must be a positive number in the scan's unit (this scan runs from {low:.4g} to "
            f"{high:.4g}). Leave it out to estimate it."
        )
    return level


__all__ = ["NoiseKind", "Observation", "check_noise_map", "check_same_grid", "keep_unmeasured", "observe"]
