"""Where the noise of a scan is stronger and where weaker: a smooth field through the levels of its flattest cubes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from medidiff.noise.level import FlatLimit
from medidiff.noise.patches import HIGH, LOW, Patches

_MOST_WAVES = 3  # half waves across the scan along an axis
_RADIUS = 9  # of i^2 + j^2 + k^2 half waves
_SMALLEST = 0.05  # relative power below which a coefficient says more of the model than of the noise
_SHARE = 0.12  # of the cubes of each part of the scan: the flattest
_PART = 10  # voxels: the scan is cut into parts of about this many, at most _PARTS along an axis
_PARTS = 6
_ROUNDS = 8
_WIDE = 0.5  # residuals of ln(power) above it weigh less; those of pure noise are 0.2
_RIDGE = 2.0
_STRUCTURED, _FEWEST = 4.0, 30  # low-order power over noise from which anatomy shows its spectrum; cubes for it
# A map is believed above a range of levels and a gain, and below a range that only anatomy reaches; where noise is
# correlated also below an unevenness. Measured on ten phantoms of seeds 5000 on, 56^3, at 2 to 15%, each six times.
# One level, white (Gaussian or Rician): 102 estimates, the widest range with a gain over 0.4 is 1.41. One level,
# correlated: 60, ranges up to 7, but an unevenness of 0.25 and more between 1.5 and 3.2. Levels of 1x to 3x: found in
# 57 of 60 where white, in 30 of 60 where correlated (of the others, 6 have ranges over 3.2, and 22 are uneven).
_RANGE, _WIDEST_RANGE, _GAIN, _UNEVEN = 1.5, 3.2, 0.4, 0.2


class Field(NamedTuple):
    """ln of the relative level, a sum of cosine waves; its median over the cubes is 0.

    Attributes:
        weights: (4, 4, 4), of products of cosines of 0 to 3 half waves across the scan along x, y and z.
        limits: Lowest and highest value, from the cubes it was fitted to.
        span: Its 95th percentile over its 5th, as a ratio of levels.
        gain: By how much it lowers the residual variance of ln(power) of the cubes, over what is left.
        uneven: How differently the coefficients grow from where it is low to where it is high, relative to how much
            they grow: 0 for noise, whose spectrum is the same everywhere.
    """

    weights: np.ndarray
    limits: tuple[float, float]
    span: float
    gain: float
    uneven: float

    def significant(self, white: bool) -> bool:
        """Whether one level would not do."""
        differs = _RANGE < self.span < _WIDEST_RANGE and self.gain > _GAIN
        return differs and (white or self.uneven < _UNEVEN)

    def at(self, centre: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Relative level at places from -1 to 1."""
        return np.exp(np.clip(values(self.weights, centre), *self.limits))

    def on_grid(self, shape: tuple[int, ...]) -> Float[np.ndarray, "x y z"]:
        """Relative level of every voxel, float32."""
        px, py, pz = (waves(np.linspace(-1, 1, n)).astype(np.float32) for n in shape)
        result = np.empty(shape, dtype=np.float32)
        in_plane = np.einsum("yj,zk,ijk->iyz", py, pz, self.weights.astype(np.float32))
        for x in range(shape[0]):
            result[x] = np.einsum("i,iyz->yz", px[x], in_plane)
        np.clip(result, *self.limits, out=result)
        return np.exp(result, out=result)


def fit_field(
    patches: Patches, power: Float[np.ndarray, "n 64"], limit: FlatLimit, shape: tuple[int, ...]
) -> Field | None:
    """The relative level across a scan, from the high-order power of the flattest cubes of each of its parts.

    What their low orders have beyond noise is taken off along the slope of anatomy, and lowers their weight. Cubes that
    lie above the field weigh less than those below it: anatomy only adds.

    Args:
        patches: Cubes; their place is used.
        power: Their spectra, of one variance at every signal.
        limit: Noise of the scan as a whole.
        shape: Of the scan.

    Returns:
        None where there are too few cubes.
    """
    relative = limit.noise.shape()
    used = HIGH & (relative > _SMALLEST)
    low = power[:, LOW].mean(axis=1) / relative[LOW].mean()
    # A ratio of sums: coefficients without noise to speak of add none of their anatomy.
    high = np.maximum(power[:, used].sum(axis=1) / relative[used].sum(), 1e-12 * limit.noise.level**2)
    freedom = float(relative[used].sum() ** 2 / np.square(relative[used]).sum())
    chosen = _flattest(low, patches.centre, shape)
    if len(chosen) < 20 * patches.overlap:
        return None
    low, high, centre = low[chosen], high[chosen], patches.centre[chosen]
    waves_used = terms(shape)
    design = basis(centre)[:, *waves_used]
    penalty = _RIDGE * np.square(waves_used).sum(axis=0) * patches.overlap
    level2, found, y = np.full(len(low), limit.noise.level**2), np.zeros(len(penalty)), np.log(high)
    weight, robust, residual = np.ones(len(low)), np.ones(len(low)), y
    for _ in range(_ROUNDS):
        steep = _steepness(low, high, level2)
        clean = np.maximum((high - steep * low) / (1 - steep), 0.2 * high)
        doubt = steep / (1 - steep) * np.maximum(low - level2, 0)
        y = np.log(clean)
        weight = np.square(clean) / (2 / freedom * np.square(high / (1 - steep)) + np.square(doubt))
        w = weight * robust
        found = np.linalg.solve(design.T @ (w[:, None] * design) + np.diag(penalty * w.mean()), design.T @ (w * y))
        residual = y - design @ found
        level2 = np.exp(design @ found)
        robust = 1 / (1 + np.square(residual / np.where(residual > 0, _WIDE, 2 * _WIDE)))
    before, after = _spread(y, weight), _spread(residual, weight)
    weights = np.zeros((_MOST_WAVES + 1,) * 3)
    weights[waves_used] = found / 2
    fitted = design @ found / 2
    everywhere = values(weights, patches.centre[:: max(1, len(patches.centre) // 3000)])
    lowest, highest = np.quantile(fitted, [0.005, 0.995])
    middle = float(np.median(np.clip(everywhere, lowest, highest)))
    weights[0, 0, 0] -= middle
    five, ninety_five = np.quantile(fitted, [0.05, 0.95])
    limits = (float(lowest) - middle, float(highest) - middle)
    return Field(weights, limits, float(np.exp(ninety_five - five)), before / after - 1,
                 _unevenness(power[chosen][:, used], fitted))  # fmt: skip


def _steepness(low: np.ndarray, high: np.ndarray, level2: np.ndarray) -> float:
    """High-order power that comes with a power of 1 at low orders, in the anatomy of these cubes."""
    structured = low > _STRUCTURED * level2
    if np.count_nonzero(structured) < _FEWEST:
        return 0.0
    return float(np.clip(np.median((high - level2)[structured] / (low - level2)[structured]), 0.0, 0.6))


def _unevenness(power: np.ndarray, log_level: np.ndarray) -> float:
    """Spread over the coefficients of how much they grow from the lowest third of the field to its highest."""
    first, second = np.quantile(log_level, [1 / 3, 2 / 3])
    low, high = (np.median(power[part], axis=0) for part in (log_level <= first, log_level >= second))
    growth = np.log(np.maximum(high, 1e-30) / np.maximum(low, 1e-30))
    return float(growth.std() / max(abs(float(growth.mean())), 1e-6))


def _flattest(low: np.ndarray, centre: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Indices of the cubes with the least low-order power among those of their part of the scan."""
    parts = np.array([min(_PARTS, max(1, n // _PART)) for n in shape])
    cell = np.minimum(((centre + 1) / 2 * parts).astype(int), parts - 1) @ np.array([1, _PARTS, _PARTS**2])
    order = np.lexsort((low, cell))
    first = np.searchsorted(cell[order], cell[order])
    count = np.bincount(cell, minlength=_PARTS**3)[cell[order]]
    return order[np.arange(len(order)) - first < np.maximum(_SHARE * count, 4)]


def terms(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half waves along x, y and z of the terms in use: none shorter than 16 voxels."""
    i, j, k = np.indices((_MOST_WAVES + 1,) * 3).reshape(3, -1)
    good = i**2 + j**2 + k**2 <= _RADIUS
    for waves, n in zip((i, j, k), shape, strict=True):
        good &= waves <= n // 8
    return i[good], j[good], k[good]


def values(weights: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(n,): the sum of waves at places from -1 to 1; one axis after the other."""
    x, y, z = (waves(centre[:, axis]) for axis in range(3))
    planes = (x @ weights.reshape(len(weights), -1)).reshape(-1, *weights.shape[1:])
    return np.einsum("nk,nk->n", np.einsum("nj,njk->nk", y, planes), z)


def basis(centre: np.ndarray) -> np.ndarray:
    """(n, 4, 4, 4): products of waves at places from -1 to 1."""
    x, y, z = (waves(centre[:, axis].astype(np.float64)) for axis in range(3))
    return np.einsum("ni,nj,nk->nijk", x, y, z)


def waves(at: np.ndarray) -> np.ndarray:
    """(n, 4): cosines of 0 to 3 half waves from -1 to 1."""
    return np.cos(np.pi / 2 * (at[:, None] + 1) * np.arange(_MOST_WAVES + 1))


def _spread(values: np.ndarray, weight: np.ndarray) -> float:
    """Robust variance: from the median absolute deviation of the values that weigh at least half of the most."""
    good = values[weight >= 0.5 * weight.max()]
    return max(float(np.median(np.abs(good - np.median(good))) / 0.6745) ** 2, 1e-12)


__all__ = ["Field", "basis", "fit_field", "terms", "values", "waves"]
