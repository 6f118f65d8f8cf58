"""Whether what was removed looks like noise and nothing else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_EDGE_SHARE = 0.1  # of the region: the voxels where the output changes most
_FEWEST = 1000  # voxels; the statistics of fewer say little


class ResidualCheck(NamedTuple):
    """Statistics of a residual; all that is not looked at is nan.

    Attributes:
        energy: Mean of (residual^2 + error variance) over level^2: 1 where the level is right and the prior knows such
            scans, since a posterior mean has E (y - D)^2 = sigma^2 - E var(x0 | y).
        at_edges: The same at the edges of the output over that elsewhere: more than 1 where anatomy was removed.
        alike: Largest correlation of neighbouring residuals beyond that of the noise, over the axes.
    """

    energy: float
    at_edges: float
    alike: float


def check_residual(
    residual: np.ndarray,
    variance: np.ndarray,
    clean: np.ndarray,
    sigma: float | np.ndarray,
    correlation: tuple[float, ...],
    region: np.ndarray,
) -> ResidualCheck:
    """Look at a residual where there is something to see.

    Args:
        residual: Scan minus output (x, y, z), normalised and stabilised.
        variance: Of the output's error, as the prior has it.
        clean: The output.
        sigma: Noise level, a number or a map.
        correlation: Of the noise one and two voxels apart along each axis.
        region: Voxels to look at.
    """
    if np.count_nonzero(region) < _FEWEST:
        return ResidualCheck(np.nan, np.nan, np.nan)
    level = np.asarray(sigma, dtype=np.float32)
    unit = residual / level
    energy = unit * unit
    energy += variance / (level * level)
    steep = _steepness(clean)
    border = np.quantile(steep[region][:: max(1, np.count_nonzero(region) // 200_000)], 1 - _EDGE_SHARE)
    edges = region & (steep > border)
    rest = region & ~edges
    at_edges = float(energy[edges].mean() / energy[rest].mean()) if edges.any() and rest.any() else np.nan
    alike = max(_lag_one(unit, region, axis) - correlation[2 * axis] for axis in range(3))
    return ResidualCheck(float(energy[region].mean(dtype=np.float64)), at_edges, alike)


def _steepness(clean: np.ndarray) -> np.ndarray:
    """Squared length of the gradient."""
    total = np.zeros_like(clean)
    for axis in range(3):
        slope = np.gradient(clean, axis=axis)
        total += slope * slope
    return total


def _lag_one(unit: np.ndarray, region: np.ndarray, axis: int) -> float:
    first, second = _but(axis, -1), _but(axis, 0)
    both = region[first] & region[second]
    if not both.any():
        return -1.0
    a, b = unit[first][both], unit[second][both]
    power = float((a * a).mean(dtype=np.float64) + (b * b).mean(dtype=np.float64)) / 2
    return float((a * b).mean(dtype=np.float64)) / max(power, 1e-30)


def _but(axis: int, which: int) -> tuple[slice, ...]:
    """All voxels but the first (0) or last (-1) along an axis."""
    part = slice(1, None) if which == 0 else slice(None, -1)
    return tuple(part if i == axis else slice(None) for i in range(3))


__all__ = ["ResidualCheck", "check_residual"]
