"""The level of noise as the flat limit of a scan: the power that stays as cubes lose their anatomy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from medidiff.noise.correlation import Coloured, fit_coloured
from medidiff.noise.patches import HIGH, LOW

_MEDIAN_SQUARE = 0.454936423119572  # the median of n^2
# Cubes from the flattest to the most structured, by their power in the low orders; the rest is not looked at.
_EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
_FEWEST_IN_BIN = 50
_ROUNDS = 5
_TRUST_IN_SLOPE = 0.5  # relative error of what the anatomy is taken to add
_VISIBLE = 0.3  # anatomy of this share of the noise's power in the last bin is enough to learn its spectrum


class FlatLimit(NamedTuple):
    """What was found.

    Attributes:
        noise: Level and kernel.
        anatomy: Power of anatomy over that of noise in the flattest cubes, at the orders that were measured.
        flatness: Low-order power of the flattest cubes over that of noise alone: 1 where they are flat.
        slope: Mean power at high orders that comes with a power of 1 at low ones, in anatomy.
    """

    noise: Coloured
    anatomy: float
    flatness: float
    slope: float


def flat_limit(power: Float[np.ndarray, "n 64"], overlap: float, start: Coloured | None = None) -> FlatLimit | None:
    """Noise of cubes in which anatomy reaches everywhere but weakly somewhere.

    For white or blurred Gaussian noise the cosine coefficients are nearly independent, so choosing cubes by their low
    orders does not touch the high ones. The high orders' power is measured in bins of low-order power u, and
    continued along its slope in u to where u is that of noise alone, by the model fitted to it (fixed point).

    Args:
        power: Squared cosine coefficients of cubes (`spectra`), of one noise level.
        overlap: How many cubes share a voxel.
        start: Noise to start from.

    Returns:
        None where no power is left (a scan free of noise, or rounded).

    Source: derived here; the choice of flat patches by independent features is that of Liu et al. 2013.
    """
    low = power[:, LOW].mean(axis=1)
    order = np.argsort(low)
    bins = _bins(order)
    v = np.array([np.median(power[b], axis=0) for b in bins]) / _MEDIAN_SQUARE
    u = np.array([low[b].mean() for b in bins])
    if not v[-1][HIGH].min() > 0 or not np.median(v[0][HIGH]) > 0:
        return None
    v = np.maximum(v, 1e-6 * v[-1])
    count = np.array([max(4.0, len(b) / max(1.0, overlap / 2)) for b in bins])
    sampling = 2.72 / count[:, None]  # variance of ln of a median of n squares
    noise_power, error = v[0], np.full(v.shape[1], 0.1)
    noise = start or Coloured(float(np.sqrt(np.median(v[0][HIGH]))), (0.25, 0.25, 0.25), 1.0)
    above, slope = np.zeros(len(bins)), np.zeros(v.shape[1])
    for _ in range(_ROUNDS):
        noise = fit_coloured(noise_power, error, noise.widths)
        alone = noise.level**2 * float(noise.shape()[LOW].mean())
        above = np.maximum(u - alone, 0.0)
        slope = np.zeros(v.shape[1])
        if above.max() > _VISIBLE * alone:
            weight = np.sqrt(above)[:, None]
            slope = np.maximum((weight * (v - noise_power)).sum(axis=0) / (weight[:, 0] * above).sum(), 0.0)
        added = slope * above[:, None]
        variance = v**2 * sampling + (_TRUST_IN_SLOPE * added) ** 2
        noise_power = np.maximum(((v - added) / variance).sum(axis=0) / (1 / variance).sum(axis=0), 0.1 * v[0])
        error = np.sqrt(1 / (1 / variance).sum(axis=0)) / noise_power
    here = noise.level**2 * float(noise.shape()[HIGH].mean())
    alone = noise.level**2 * float(noise.shape()[LOW].mean())
    return FlatLimit(
        noise, float((slope * above[0])[HIGH].mean() / here), float(u[0] / alone), float(slope[HIGH].mean())
    )


def _bins(order: np.ndarray) -> list[np.ndarray]:
    """Cubes in order of flatness, cut at _EDGES, with enough in each."""
    bins: list[np.ndarray] = []
    start = 0
    for edge in _EDGES[1:]:
        end = min(len(order), max(round(edge * len(order)), start + _FEWEST_IN_BIN))
        if end - start >= _FEWEST_IN_BIN or not bins:
            bins.append(order[start:end])
        start = end
    return bins


__all__ = ["FlatLimit", "flat_limit"]
