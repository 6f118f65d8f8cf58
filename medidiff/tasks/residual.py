"""Whether what was removed looks like noise and nothing else."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

_EDGE_SHARE = 0.1  # of the region: the voxels where the output changes most
_FEWEST = 5000  # voxels: of fewer the energy has a standard error of 2% and more
_WHOLE, _BLOCK, _BLOCKS = 96, 32, 3
"""An axis is looked at whole up to the first number of voxels; of a longer one so many blocks, evenly spread."""


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
    y: np.ndarray,
    clean: np.ndarray,
    std: np.ndarray,
    sigma: float | np.ndarray,
    correlation: tuple[float, ...],
    region: np.ndarray,
) -> ResidualCheck:
    """Look at a residual where there is something to see; of a large scan at 27 blocks, a million voxels at most.

    Args:
        y: Scan (x, y, z), normalised and stabilised.
        clean: The output.
        std: Of the output's error, as the prior has it.
        sigma: Noise level, a number or a map.
        correlation: Of the noise one and two voxels apart along each axis.
        region: Voxels to look at.
    """
    parts = []
    for box in itertools.product(*[_spread(n) for n in y.shape]):
        level = sigma[box] if isinstance(sigma, np.ndarray) else np.float32(sigma)
        parts.append(_look(y[box] - clean[box], std[box], clean[box], level, region[box]))
    energy, steep = (np.concatenate([part[i] for part in parts]) for i in range(2))
    if energy.size < _FEWEST:
        return ResidualCheck(np.nan, np.nan, np.nan)
    edges = steep > np.quantile(steep, 1 - _EDGE_SHARE)
    at_edges = float(energy[edges].mean() / energy[~edges].mean()) if edges.any() else np.nan
    products, powers = np.sum([part[2] for part in parts], axis=0).T
    alike = max(
        float(product / power) - correlation[2 * axis] if power else -1.0
        for axis, (product, power) in enumerate(zip(products, powers, strict=True))
    )
    return ResidualCheck(float(energy.mean(dtype=np.float64)), at_edges, alike)


def _spread(n: int) -> list[slice]:
    """The parts of an axis that are looked at."""
    if n <= _WHOLE:
        return [slice(0, n)]
    return [slice(int(first), int(first) + _BLOCK) for first in np.linspace(0, n - _BLOCK, _BLOCKS)]


def _look(
    residual: np.ndarray, std: np.ndarray, clean: np.ndarray, level: np.ndarray | np.float32, region: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy and steepness in a region; (3, 2) sums of the products of neighbours along each axis, and of squares."""
    unit = residual / level
    energy = np.square(unit[region])
    energy += np.square((std / level)[region])
    return energy, _steepness(clean)[region], np.array([_lag_one(unit, region, axis) for axis in range(3)])


def _steepness(clean: np.ndarray) -> np.ndarray:
    """Squared length of the gradient."""
    total = np.zeros_like(clean)
    for axis in range(3):
        if clean.shape[axis] > 1:
            total += np.square(np.gradient(clean, axis=axis))
    return total


def _lag_one(unit: np.ndarray, region: np.ndarray, axis: int) -> tuple[float, float]:
    first, second = _but(axis, -1), _but(axis, 0)
    both = region[first] & region[second]
    a, b = unit[first][both], unit[second][both]
    return float(a @ b), float(a @ a + b @ b) / 2


def _but(axis: int, which: int) -> tuple[slice, ...]:
    """All voxels but the first (0) or last (-1) along an axis."""
    part = slice(1, None) if which == 0 else slice(None, -1)
    return tuple(part if i == axis else slice(None) for i in range(3))


__all__ = ["ResidualCheck", "check_residual"]
