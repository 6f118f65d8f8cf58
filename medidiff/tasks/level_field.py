"""A smooth correction of a noise level: a polynomial of ln(factor) of the degree that the data support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medidiff.tasks.blocks import Block

# Monomials of u = (u_x, u_y, u_z), each from -1 to 1 across the scan, by degree: constant, 3 linear, 6 quadratic.
_TERMS = ((), (0,), (1,), (2,), (0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_UP_TO_DEGREE = (1, 4, 10)
_CELLS_PER_TERM = 4
_FEWEST_VOXELS = 1000
"""Of a cell: the standard error of its ln(level) is then about 5%."""


@dataclass(frozen=True)
class LevelField:
    """ln(factor) at every voxel of a scan, kept between its least and largest where there was data.

    Args:
        shape: Of the scan.
        coefficients: Of the ten monomials up to degree two.
        low: Smallest ln(factor) where there was data.
        high: Largest.
        mean: Over the data.
    """

    shape: tuple[int, ...]
    coefficients: Float[np.ndarray, " 10"]
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0

    @classmethod
    def one(cls, shape: tuple[int, ...]) -> LevelField:
        """The factor 1 everywhere."""
        return cls(shape, np.zeros(len(_TERMS)))

    def at(self, block: Block) -> Tensor:
        """Factor in a block: 0-dim where it is the same everywhere, else (x, y, z)."""
        if not self.coefficients[1:].any():
            return torch.tensor(float(np.exp(self.coefficients[0])))
        axes = [np.arange(a, a + n, dtype=np.float32) for a, n in zip(block.start, block.shape, strict=True)]
        x, y, z = (2 * (a + 0.5) / n - 1 for a, n in zip(axes, self.shape, strict=True))
        u = (x[:, None, None], y[:, None], z)
        total = np.zeros(block.shape, dtype=np.float32)
        for c, term in zip(self.coefficients, _TERMS, strict=True):
            total += np.float32(c) * np.prod(np.broadcast_arrays(np.float32(1), *[u[k] for k in term]), axis=0)
        return torch.from_numpy(np.exp(np.clip(total, self.low, self.high)))

    def whole(self) -> Tensor:
        """Factor over the scan: 0-dim or (x, y, z)."""
        x, y, z = self.shape
        return self.at(Block((0, 0, 0), (x, y, z)))


def fit_field(
    now: LevelField,
    centres: Float[np.ndarray, "cells 3"],
    logarithm: Float[np.ndarray, " cells"],
    voxels: Float[np.ndarray, " cells"],
    is_map: bool,
) -> LevelField:
    """`now` with a polynomial added, of the degree with the least Bayesian information criterion.

    Args:
        now: The correction so far.
        centres: Of the cells that were measured, in voxels.
        logarithm: ln(factor) that each of them asks for.
        voxels: Voxels that each speaks for.
        is_map: Whether the level may be corrected differently from place to place; else one factor is found.

    Source: Schwarz 1978.
    """
    use = voxels >= min(_FEWEST_VOXELS, float(voxels.max()))
    u = 2 * (centres[use] + 0.5) / np.array(now.shape) - 1
    design = np.stack([np.prod(u[:, list(term)], axis=1) for term in _TERMS], axis=1)
    weight, target = voxels[use] / voxels[use].sum(), logarithm[use]
    best, least = np.array([float(weight @ target)]), np.inf
    for count in _UP_TO_DEGREE if is_map else ():
        if len(target) < _CELLS_PER_TERM * count:
            break
        root = np.sqrt(weight)
        c = np.linalg.lstsq(design[:, :count] * root[:, None], target * root, rcond=None)[0]
        misfit = float(weight @ (target - design[:, :count] @ c) ** 2)
        criterion = len(target) * np.log(max(misfit, 1e-12)) + count * np.log(len(target))
        if criterion < least:
            best, least = c, criterion
    coefficients = now.coefficients.copy()
    coefficients[: len(best)] += best
    values = design @ coefficients
    return LevelField(now.shape, coefficients, float(values.min()), float(values.max()), float(weight @ values))


__all__ = ["LevelField", "fit_field"]
