"""What is known of a scan's noise: told by a person, or found out from the scan."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from medidiff.errors import InputError, NoiseError, UsageError
from medidiff.noise import NoiseEstimate, estimate_noise, find_background
from medidiff.tasks.grids import check_noise_map, check_same_grid
from medidiff.volume import Volume

NoiseKind = Literal["auto", "gaussian", "rician", "chi"]
Correlated = Literal["auto", "yes", "no"]
Correlation = tuple[float, float, float, float, float, float]
WHITE: Correlation = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
_FEWEST_BLOCKS = 200  # of 2 x 2 x 2 voxels; with fewer the estimate has an error of 8% or more


@dataclass(frozen=True, eq=False)
class Told:
    """What a person says about the noise.

    Args:
        kind: gaussian, rician (magnitude MR of one coil), chi (of several coils), or auto.
        std: Level in the scan's unit (rician, chi: of each of the real and imaginary parts), a number or a map on the
            scan's grid; None estimates it.
        coils: Coils whose squares were added up; None: as estimated, of a given level 1.
        correlated: Whether it is correlated from voxel to voxel: auto finds out, yes takes the measured correlation
            even when in doubt, no takes it as white.

    Raises:
        UsageError: A value that none of them has, or coils of noise that has none.
    """

    kind: NoiseKind | str = "auto"
    std: float | Volume | None = None
    coils: int | None = None
    correlated: Correlated | str = "auto"

    def __post_init__(self) -> None:
        if self.kind not in get_args(NoiseKind):
            raise UsageError(f"--noise {self.kind}: must be {', '.join(get_args(NoiseKind))}.")
        if self.correlated not in get_args(Correlated):
            raise UsageError(f"--correlated {self.correlated}: must be {', '.join(get_args(Correlated))}.")
        if self.coils is None:
            return
        if not 1 <= self.coils <= 128:
            raise UsageError(f"--coils {self.coils}: must be from 1 to 128.")
        if self.kind == "gaussian" or (self.kind == "rician" and self.coils != 1):
            raise UsageError(f"--coils {self.coils}: --noise {self.kind} has no coils to count. Use --noise chi.")


@dataclass(frozen=True, eq=False)
class KnownNoise:
    """The noise as a task works with it.

    Args:
        kind: gaussian, rician or chi.
        level: Standard deviation in the scan's unit, one number or a map (x, y, z), float32.
        correlation: One and two voxels apart along each axis (x1, x2, y1, y2, z1, z2); zeros: white.
        coils: Coils whose squares were added up.
        source: Where the level comes from: estimate, given, map, or shared (of the frames of a 4D scan).
        interval: Of the level, meant to hold it in 95% of scans; nan where it is not known. Checked for estimates
            (`noise.estimate`), not for those that the prior improved.
        warnings: What to know before trusting it.
        figures: What was found out.
    """

    kind: str
    level: float | np.ndarray
    correlation: Correlation = WHITE
    coils: int = 1
    source: str = "given"
    interval: tuple[float, float] = (math.nan, math.nan)
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def magnitude(self) -> bool:
        """Whether the scan is a magnitude, whose noise depends on the signal."""
        return self.kind in ("rician", "chi")

    @property
    def typical(self) -> float:
        """The level, of a map its median."""
        return float(np.median(self.level))

    @property
    def estimated(self) -> bool:
        """Whether nobody told the level."""
        return self.source in ("estimate", "shared")

    @property
    def coloured(self) -> bool:
        """Whether neighbouring noise values are alike."""
        return any(self.correlation)

    def told(self) -> dict[str, Any]:
        """As it stands in the record."""
        known: dict[str, Any] = {
            "noise_std": self.typical,
            "noise_kind": self.kind,
            "noise_level_from": self.source,
            "noise_correlation": list(self.correlation),
        }
        if self.kind == "chi":
            known["noise_coils"] = self.coils
        if np.isfinite(self.interval).all():
            known["noise_std_interval"] = list(self.interval)
        if isinstance(self.level, np.ndarray):
            known["noise_std_range"] = [float(self.level.min()), float(self.level.max())]
        return {**known, **self.figures}


def on_measured(told: Told | KnownNoise, volume: Volume, without: Callable[[Volume], Volume]) -> Told | KnownNoise:
    """What is known, for the measured slices of a scan alone.

    Args:
        told: What is known.
        volume: The whole scan.
        without: Takes the slices that were not measured out of a volume.

    Raises:
        GeometryError: The noise map lies on another grid than the whole scan.
    """
    if isinstance(told, Told) and isinstance(told.std, Volume):
        check_same_grid(told.std, volume, f"--noise-std {told.std.name or 'map'}")
        return replace(told, std=without(told.std))
    return told


def find_noise(volume: Volume, data: np.ndarray, told: Told, where: np.ndarray | None = None) -> KnownNoise:
    """The noise of a scan: as it was told, and the rest estimated.

    Args:
        volume: The scan, for messages and its grid.
        data: Its values, float32, finite.
        told: What a person said.
        where: Voxels to judge by; None: all.

    Raises:
        NoNoiseError: There is none that can be measured.
        NoiseError: The level is not positive and finite, it cannot be estimated, or the scan cannot be a magnitude.
        GeometryError: The map lies on another grid.
        InputError: The scan is too small to estimate its noise.
    """
    if told.kind in ("rician", "chi") and data.min() < 0:
        raise NoiseError(
            f"--noise {told.kind}: this scan has negative values, so it is no magnitude. Use gaussian or auto."
        )
    return _estimated(volume, data, told, where) if told.std is None else _given(volume, data, told, where)


def _estimated(volume: Volume, data: np.ndarray, told: Told, where: np.ndarray | None) -> KnownNoise:
    if where is None and not _is_large_enough(data):
        size = " x ".join(map(str, data.shape))
        raise InputError(
            f"{volume.name or 'volume'}: {size} voxels are too few to estimate the noise. Give --noise-std, or a "
            "larger part of the scan."
        )
    kind, reason = _kind_by(volume, told)
    estimate = estimate_noise(data, kind, where, told.coils)  # type: ignore[arg-type]
    return KnownNoise(
        estimate.kind,
        estimate.level if estimate.level_map is None else estimate.level_map,
        _correlation(estimate, told),
        told.coils or estimate.coils,
        "estimate",
        estimate.interval,
        list(estimate.warnings),
        {"noise_kind_because": reason or estimate.reason, "noise_trusted": estimate.trusted, **_figures_of(estimate)},
    )


def _given(volume: Volume, data: np.ndarray, told: Told, where: np.ndarray | None) -> KnownNoise:
    level = _given_level(volume, data, told.std)
    kind, reason = _kind_by(volume, told)
    if kind == "auto":
        found = find_background(data, float(np.median(level)), where)
        kind, reason = "rician" if found.rayleigh else "gaussian", found.reason
    figures: dict[str, Any] = {"noise_kind_because": reason or "asked for"}
    correlation = WHITE
    if told.correlated != "no" and _is_large_enough(data):
        try:
            estimate = estimate_noise(data, kind, where, told.coils, told=True)  # type: ignore[arg-type]
        except NoiseError:  # too little noise to measure how it is correlated: it is taken as white
            pass
        else:
            correlation, figures = _correlation(estimate, told), {**_figures_of(estimate), **figures}
    source = "map" if isinstance(told.std, Volume) else "given"
    return KnownNoise(kind, level, correlation, told.coils or 1, source, figures=figures)


def _kind_by(volume: Volume, told: Told) -> tuple[str, str]:
    """The kind, and why, as far as it follows without a look at the noise."""
    if told.kind == "auto" and (told.coils or 1) > 1:
        return "chi", "magnitudes of several coils"
    if told.kind == "auto" and volume.modality == "CT":
        return "gaussian", "CT: its values are no magnitudes, so nothing is Rician"
    return told.kind, ""


def _correlation(estimate: NoiseEstimate, told: Told) -> Correlation:
    if told.correlated == "no" or (told.correlated == "auto" and estimate.white):
        return WHITE
    return estimate.correlation


def _is_large_enough(data: np.ndarray) -> bool:
    return min(data.shape) >= 4 and math.prod(n // 2 for n in data.shape) >= _FEWEST_BLOCKS


def _figures_of(estimate: NoiseEstimate) -> dict[str, Any]:
    """The estimate's figures by names that explain themselves."""
    return {
        "noise_white": estimate.white,
        "noise_neighbour_correlation_beyond_white_xyz": list(estimate.correlation[::2]),
        **{f"noise_{k}": v for k, v in estimate.figures.items()},
    }


def _given_level(volume: Volume, data: np.ndarray, std: float | Volume | None) -> float | np.ndarray:
    if isinstance(std, Volume):
        check_noise_map(std, volume)
        return std.data.astype(np.float32)
    level = math.nan if std is None else float(std)
    if not (math.isfinite(level) and level > 0):
        low, high = float(data.min()), float(data.max())
        raise NoiseError(
            f"--noise-std {level:g}: must be a positive number in the scan's unit (this scan runs from {low:.4g} to "
            f"{high:.4g}). Leave it out to estimate it."
        )
    return level


__all__ = ["WHITE", "Correlation", "KnownNoise", "NoiseKind", "Told", "find_noise", "on_measured"]
