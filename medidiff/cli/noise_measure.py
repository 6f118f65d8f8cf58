"""What noise is in one scan: the same estimate that `medidiff denoise` works with, as words and figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medidiff.cli.choices import Machine
from medidiff.volume import Volume

if TYPE_CHECKING:
    from medidiff.prior import Prior
    from medidiff.tasks.known_noise import KnownNoise, Told

ALREADY_CLEAN = "already clean"
_ALIKE = 0.05
"""Smaller correlations of neighbours are not told: with the usual number of voxels they are not known better."""
_AXES = "xyz"


@dataclass(frozen=True, eq=False)
class Measured:
    """The noise of a scan.

    Args:
        name: What messages call the scan.
        volume: The scan.
        known: Its noise; None where none can be measured.
        clean: Whether it is too little to be removed.
        data_range: 99.5th minus 0.5th percentile of the scan's values.
        warnings: What to know before trusting it.
        where: Voxels that were judged; None: all.
    """

    name: str
    volume: Volume
    known: KnownNoise | None
    clean: bool
    data_range: float
    warnings: list[str] = field(default_factory=list)
    where: np.ndarray | None = None

    @property
    def status(self) -> str:
        """measured, or already clean."""
        return ALREADY_CLEAN if self.clean else "measured"

    @property
    def level(self) -> float:
        """In the scan's unit, 0 where there is none."""
        return 0.0 if self.known is None else self.known.typical

    @property
    def percent(self) -> float:
        """The level in percent of the range."""
        return 100 * self.level / self.data_range if self.data_range > 0 else 0.0

    @property
    def across(self) -> tuple[float, float] | None:
        """1st and 99th percentile of the level over the judged voxels; None where it is the same everywhere."""
        if self.known is None or not isinstance(self.known.level, np.ndarray):
            return None
        values = self.known.level if self.where is None else self.known.level[self.where]
        low, high = np.percentile(values, [1, 99])
        return float(low), float(high)

    @property
    def trusted(self) -> bool:
        """Whether the level may be used without a second look: the scan itself is clear, and the prior agrees."""
        if self.known is None:
            return True
        figures = self.known.figures
        return bool(figures.get("noise_refined", True) and figures.get("noise_trusted", True))

    @property
    def alike(self) -> dict[str, float]:
        """Correlation of neighbours by axis, where it is worth telling; empty for white noise."""
        if self.known is None:
            return {}
        nearest = self.known.correlation[::2]
        return {axis: value for axis, value in zip(_AXES, nearest, strict=True) if abs(value) > _ALIKE}

    def level_map(self) -> Volume:
        """The level voxel by voxel, in the scan's unit, on its grid."""
        level = self.known.level if self.known is not None else 0.0
        data = np.broadcast_to(np.asarray(level, dtype=np.float32), self.volume.shape).copy()
        return self.volume.with_data(data)

    def to_dict(self) -> dict[str, Any]:
        """For --json; a figure that is not known is null."""
        told: dict[str, Any] = {
            "input": self.name,
            "status": self.status,
            "shape": list(self.volume.shape),
            "spacing_mm": list(self.volume.spacing_mm),
            "noise_std": self.level,
            "noise_std_interval": None,
            "percent_of_range": self.percent,
            "range": self.data_range,
        }
        if self.known is not None:
            known, x = self.known, self.known.correlation
            if np.isfinite(known.interval).all():
                told["noise_std_interval"] = list(known.interval)
            told |= {
                "kind": known.kind,
                "kind_because": known.figures.get("noise_kind_because", ""),
                "coils": known.coils if known.kind == "chi" else None,
                "varies": self.across is not None,
                "noise_std_across_scan": None if self.across is None else list(self.across),
                "white": not self.alike,
                "correlation": {axis: list(x[2 * i : 2 * i + 2]) for i, axis in enumerate(_AXES)},
            }
        return {**told, "trusted": self.trusted, "warnings": self.warnings}


def measure(
    name: str, volume: Volume, prior: Prior, told: Told, mask: Volume | None = None, machine: Machine | None = None
) -> Measured:
    """Find out a scan's noise as `medidiff denoise` does.

    Args:
        name: What messages call the scan.
        volume: The scan, checked.
        prior: The one that would denoise it.
        told: What was said about its noise.
        mask: On its grid; where it is not 0 the noise is judged.
        machine: Where and how the prior runs.

    Raises:
        NoiseError: The level could not be estimated.
        GeometryError: The mask lies on another grid.
        InputError: The scan is too small, or the mask is empty.
    """
    from medidiff.tasks.grids import region_of
    from medidiff.tasks.look import look
    from medidiff.tasks.safeguards import is_clean
    from medidiff.tasks.session import Session

    where = None if mask is None else region_of(mask, volume)
    if volume.unmeasured is not None:
        where = ~volume.unmeasured if where is None else where & ~volume.unmeasured
    values = volume.data if where is None else volume.data[where]
    low, high = np.percentile(values, [0.5, 99.5])
    span = float(high - low)
    with Session(prior, volume.spacing_mm, **(machine or Machine()).arguments(), seed=0) as session:
        seen = look(session, volume, told, where)
    if seen is None:
        return Measured(name, volume, None, True, span, where=where)
    return Measured(name, volume, seen.noise, is_clean(seen), span, list(seen.warnings), where)


def interval_of(measured: Measured) -> tuple[float, float] | None:
    """An interval of the level, meant to hold it in 95% of scans; None where it is not known."""
    if measured.known is None or not all(map(math.isfinite, measured.known.interval)):
        return None
    return measured.known.interval


__all__ = ["ALREADY_CLEAN", "Measured", "interval_of", "measure"]
