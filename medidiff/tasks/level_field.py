"""A smooth correction of a noise level: cosine waves of ln(factor), as rough as the cells support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medidiff.noise.level_map import basis, terms, values, waves
from medidiff.tasks.blocks import Block

_RIDGES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Of the squared half waves, in variances of a cell over their number: from nearly flat to nearly free."""
_ROUNDS = 4
_WIDE = 2.5  # deviations from which a cell weighs less: sharp anatomy that the prior misjudges
_CELLS_PER_TERM = 1.5


@dataclass(frozen=True)
class LevelField:
    """ln(factor) at every voxel of a scan, kept between its least and largest where there was data.

    Args:
        shape: Of the scan.
        weights: Of the products of 0 to 3 half waves across the scan along x, y and z, (4, 4, 4).
        low: Smallest ln(factor) where there was data.
        high: Largest.
        gain: Cross-validated variance of the cells about one level over that about this field, minus 1.
        scatter: Standard deviation of the cells about it.
    """

    shape: tuple[int, ...]
    weights: Float[np.ndarray, "4 4 4"]
    low: float = 0.0
    high: float = 0.0
    gain: float = 0.0
    scatter: float = 0.0

    @classmethod
    def one(cls, shape: tuple[int, ...]) -> LevelField:
        """The factor 1 everywhere."""
        return cls(shape, np.zeros((4, 4, 4)))

    @property
    def flat(self) -> bool:
        """Whether it is the same everywhere."""
        return not self.weights.ravel()[1:].any()

    @property
    def span(self) -> float:
        """Largest factor over the smallest."""
        return float(np.exp(self.high - self.low))

    def logarithm(self, at: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """ln(factor) at places in voxels."""
        return np.clip(values(self.weights, _unit(at, self.shape)), self.low, self.high)

    def at(self, block: Block) -> Tensor:
        """Factor in a block: 0-dim where it is the same everywhere, else (x, y, z)."""
        if self.flat:
            return torch.tensor(float(np.exp(self.weights[0, 0, 0])))
        axes = [np.arange(a, a + n) for a, n in zip(block.start, block.shape, strict=True)]
        px, py, pz = (waves(2 * (a + 0.5) / n - 1).astype(np.float32) for a, n in zip(axes, self.shape, strict=True))
        planes = np.einsum("yj,zk,ijk->iyz", py, pz, self.weights.astype(np.float32))
        total = np.tensordot(px, planes, axes=1)
        np.clip(total, self.low, self.high, out=total)
        return torch.from_numpy(np.exp(total, out=total))

    def whole(self) -> Tensor:
        """Factor over the scan: 0-dim or (x, y, z)."""
        x, y, z = self.shape
        return self.at(Block((0, 0, 0), (x, y, z)))


def enough_cells(shape: tuple[int, ...], cells: int) -> bool:
    """Whether so many can tell a field in a scan of this shape."""
    return cells >= _CELLS_PER_TERM * len(terms(shape)[0])


def fit_field(
    shape: tuple[int, ...],
    centres: Float[np.ndarray, "cells 3"],
    logarithm: Float[np.ndarray, " cells"],
    weight: Float[np.ndarray, " cells"],
) -> LevelField:
    """The waves through what cells ask for, with the ridge of least generalised cross-validation.

    Args:
        shape: Of the scan.
        centres: Of the cells that were measured, in voxels.
        logarithm: ln(factor) that each of them asks for.
        weight: Inverse of the variance of each, up to a factor.

    Returns:
        The field; one level, gain 0, where cross-validation prefers that.

    Source: Golub, Heath and Wahba 1979 (generalised cross-validation).
    """
    waves_used = terms(shape)
    design = basis(_unit(centres, shape))[:, *waves_used]
    roughness = np.square(waves_used).sum(axis=0).astype(float)
    w = weight / weight.mean()
    one = _fit(design[:, :1], logarithm, w, np.zeros(1))
    best, least = one, _validated(one, len(w))
    for ridge in _RIDGES:
        found = _fit(design, logarithm, w, ridge * roughness * len(w) / 10)
        score = _validated(found, len(w))
        if score < least:
            best, least = found, score
    weights = np.zeros((4, 4, 4))
    weights[tuple(t[: len(best.terms)] for t in waves_used)] = best.terms
    fitted = design[:, : len(best.terms)] @ best.terms
    low, high = np.quantile(fitted, [0.01, 0.99])
    gain = _validated(one, len(w)) / least - 1
    return LevelField(shape, weights, float(low), float(high), gain, float(np.sqrt(best.variance)))


@dataclass(frozen=True)
class _Fit:
    terms: np.ndarray
    variance: float
    freedom: float


def _fit(design: np.ndarray, y: np.ndarray, w: np.ndarray, penalty: np.ndarray) -> _Fit:
    """Ridge regression; cells far off weigh less, on either side."""
    robust, c, freedom, variance = np.ones(len(y)), np.zeros(design.shape[1]), 0.0, 0.0
    for _ in range(_ROUNDS):
        weighted = design * (w * robust)[:, None]
        normal = weighted.T @ design
        inverse = np.linalg.inv(normal + np.diag(penalty + 1e-9 * len(y)))
        c, freedom = inverse @ (weighted.T @ y), float(np.trace(inverse @ normal))
        residual = (y - design @ c) * np.sqrt(w)
        scale = max(float(np.median(np.abs(residual))) / 0.6745, 1e-6)
        robust = 1 / (1 + np.square(residual / (_WIDE * scale)))
        variance = float(np.minimum(np.square(residual), (3 * scale) ** 2).mean())
    return _Fit(c, variance, freedom)


def _validated(fit: _Fit, cells: int) -> float:
    return max(fit.variance, 1e-12) / max(1 - fit.freedom / cells, 0.05) ** 2


def _unit(at: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Places in voxels as -1 to 1 across the scan."""
    return 2 * (at + 0.5) / np.array(shape) - 1


__all__ = ["LevelField", "enough_cells", "fit_field"]
