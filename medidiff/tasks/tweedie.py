"""What the prior leaves of a scan, and what it expects to leave: alike where it was told the right noise.

With y = x0 + n, noise of covariance S, E[n | y] = y - D (Tweedie) and the Jacobian J of D at y,

    E[(y - D)(y - D)'] = S - J S

The left side is measured on the residual. The right one needs one more evaluation, with a little more noise of the
assumed kind: for a probe v with covariance S, E[v (v - J v)'] = S - J S.

Source: Efron 2011 (Tweedie); Stein 1981; Ramani, Blu and Unser 2008 (the probe).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from medidiff.diffusion.noise_shape import NoiseShape
from medidiff.diffusion.preconditioning import Denoised
from medidiff.nets.embedding import NOISE_CORRELATION
from medidiff.tasks.blocks import CELL, Block

PROBE = 0.1
"""Of the level. With 0.3 the level comes out 1% high; with less, bfloat16 would be heard."""


class Denoise(Protocol):
    """A `Denoiser`; a `TiledDenoiser` works too, but counts every block as a whole scan."""

    def __call__(
        self, x: Tensor, sigma: Tensor, spacing_mm: Sequence[float] | None = None, cond: dict[str, Tensor] | None = None
    ) -> Denoised:
        """Mean and log variance of one part of a scan."""
        ...


class Moments(NamedTuple):
    """What one block says, in units of the level.

    Attributes:
        cells: Residual squared, what is expected of it, and voxels, summed over each cell, (cells, 3).
        centres: Centre of each cell in the scan, voxels, (cells, 3).
        lags: Residual and expected autocovariance times voxels, (7, 2): lag 0, then 1 and 2 along each axis.
    """

    cells: np.ndarray
    centres: np.ndarray
    lags: np.ndarray

    @property
    def ratio(self) -> float:
        """ln of the residual's deviation over the expected one."""
        return half_log(self.lags[0, 0], self.lags[0, 1])


def half_log(observed: float, expected: float) -> float:
    """ln of the ratio of two deviations from their squares; an expected one near or below 0 counts as small."""
    return 0.5 * math.log(max(observed, 1e-12) / max(expected, 0.02 * observed, 1e-12))


def measure(
    denoise: Denoise,
    y: Tensor,
    sigma: Tensor,
    mask: Tensor,
    told: NoiseShape | None,
    spacing_mm: Sequence[float] | None,
    block: Block,
    generator: torch.Generator,
) -> Moments:
    """Both sides of the identity on one block, in units of the level."""
    x, inside = y[(..., *block.place)], mask[block.place]
    cond = None if told is None else {NOISE_CORRELATION: torch.tensor([told.wanted], dtype=torch.float32)}
    white = torch.randn(block.shape, generator=generator)
    v = (white if told is None else told(white)).to(y) * inside
    mean = denoise(x, sigma, spacing_mm, cond).mean.to(y)
    moved = denoise(x + PROBE * sigma * v, sigma, spacing_mm, cond).mean.to(y)
    r = ((x - mean) / sigma)[0, 0] * inside
    kept = v - ((moved - mean) / (PROBE * sigma))[0, 0] * inside
    known = np.array([0.0, *(told.correlation if told else (0.0,) * 6)])
    share = float((v * kept).sum() / (v * v).sum())
    lags = []
    for index, (axis, lag) in enumerate([(0, 0)] + [(a, k) for a in range(3) for k in (1, 2)]):
        observed, expected, probe = _product(r, r, axis, lag), _product(v, kept, axis, lag), _product(v, v, axis, lag)
        count = _product(inside, inside, axis, lag)
        # What the probe has by chance is taken out: its exact moment is known.
        exact = count * (1.0 if index == 0 else known[index])
        lags.append((observed / max(count, 1.0), (expected - share * (probe - exact)) / max(count, 1.0)))
    weight = float(inside.sum())
    cells, starts = _cells(r * r, v * kept - share * (v * v - inside), inside, block)
    return Moments(cells, starts, weight * np.array(lags))


def _product(a: Tensor, b: Tensor, axis: int, lag: int) -> float:
    """Sum of a_i b_(i + lag), symmetric in the two."""
    n = a.shape[axis] - lag
    if n <= 0:
        return 0.0
    first = (a.narrow(axis, 0, n) * b.narrow(axis, lag, n)).sum()
    return float(first + (b.narrow(axis, 0, n) * a.narrow(axis, lag, n)).sum()) / 2


def _cells(observed: Tensor, expected: Tensor, inside: Tensor, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the three over cells of `CELL` voxels, (cells, 3), and each cell's centre in the scan, (cells, 3)."""
    sums, centres = [], []
    for x in range(0, block.shape[0], CELL):
        for y in range(0, block.shape[1], CELL):
            for z in range(0, block.shape[2], CELL):
                part = (slice(x, x + CELL), slice(y, y + CELL), slice(z, z + CELL))
                total = [float(t[part].sum()) for t in (observed, expected, inside)]
                ends = [min(a + CELL, n) for a, n in zip((x, y, z), block.shape, strict=True)]
                sums.append(total)
                centres.append([s + (a + e - 1) / 2 for s, a, e in zip(block.start, (x, y, z), ends, strict=True)])
    return np.array(sums), np.array(centres)


__all__ = ["PROBE", "Denoise", "Moments", "half_log", "measure"]
