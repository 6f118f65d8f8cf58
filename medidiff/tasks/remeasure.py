"""A clean part of a scan as its scanner would have measured it: with noise that goes on from what is around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage

from medidiff.diffusion.noise_shape import noise_shape
from medidiff.tasks.known_noise import Correlation, KnownNoise

SHELL = 6
"""Voxels around a region whose noise is looked at and continued."""
_PAD = 4  # voxels that keep opposite faces of the periodic grid apart
_NUGGET = 0.02  # of the variance: what is not explained by the correlations; keeps the equations well conditioned
_ROUNDS = 40
_OUTLYING = 3.0  # deviations: beyond them lies anatomy that the estimate missed, which is not continued
_STRONGEST = 0.9


def remeasured(clean: np.ndarray, noise: KnownNoise, level: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a magnitude's noise, white or correlated as it was measured, in the two parts of every coil; or Gaussian.

    Args:
        clean: (x, y, z), float32, the scan's unit.
        noise: What is known of the scan's noise.
        level: Its level there, one number or a map on the grid of `clean`.
        rng: Source of randomness.
    """
    shape = noise_shape(noise.correlation) if noise.coloured else None

    def draw() -> np.ndarray:
        white = rng.standard_normal(clean.shape, dtype=np.float32)
        grain = white if shape is None else shape(torch.from_numpy(white)).numpy()
        return (grain * level).astype(np.float32, copy=False)

    if not noise.magnitude:
        return clean + draw()
    squares = (np.maximum(clean, 0) + draw()) ** 2
    for _ in range(2 * noise.coils - 1):
        squares += draw() ** 2
    return np.sqrt(squares)


def continued(residual: np.ndarray, inside: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise in a region that goes on from the noise around it: of its level and grain, and without a seam.

    Level and correlations are those of the shell around the region. The noise is a conditional draw: an unconditional
    one, moved by what it misses in the shell, C[all, shell] C[shell, shell]^-1 (residual - draw).

    Args:
        residual: Scan minus clean estimate (x, y, z), any unit; ignored inside.
        inside: The region.
        rng: Source of randomness.

    Returns:
        (x, y, z), 0 outside the region.

    Source: conditioning by kriging, Matheron; Hoffman and Ribak 1991, Eq. 3.
    """
    shell = ndimage.binary_dilation(inside, iterations=SHELL) & np.logical_not(inside)
    box = ndimage.find_objects((shell | inside).astype(np.uint8))[0]
    known, values = shell[box], residual[box].astype(np.float64)
    level = 1.4826 * float(np.median(np.abs(values[known]))) if known.any() else 0.0
    if level == 0:
        return np.zeros(residual.shape, dtype=np.float32)
    unit = np.where(known, np.clip(values / level, -_OUTLYING, _OUTLYING), 0.0)
    known, unit = (np.pad(array, _PAD) for array in (known, unit))
    shape = noise_shape(_correlation(unit, known))
    power = shape.power(known.shape).double().numpy()

    def spread(v: np.ndarray) -> np.ndarray:
        return np.fft.irfftn(np.fft.rfftn(v) * power, s=v.shape, axes=(0, 1, 2))

    free = shape(torch.from_numpy(rng.standard_normal(known.shape))).numpy()
    weights = _solved(lambda v: np.where(known, spread(v) + _NUGGET * v, 0.0), np.where(known, unit - free, 0.0))
    drawn = level * (free + spread(weights))
    out = np.zeros(residual.shape, dtype=np.float32)
    inner = tuple(slice(_PAD, n - _PAD) for n in drawn.shape)
    out[box] = np.where(inside[box], drawn[inner], 0)
    return out


def _correlation(unit: np.ndarray, known: np.ndarray) -> Correlation:
    """One and two voxels apart along x, y and z, of pairs that are both known."""
    variance, found = float((unit[known] ** 2).mean()), []
    for axis in range(3):
        u, k = np.moveaxis(unit, axis, 0), np.moveaxis(known, axis, 0)
        for lag in (1, 2):
            both = k[lag:] & k[:-lag]
            value = float((u[lag:] * u[:-lag])[both].mean()) / variance if both.any() else 0.0
            found.append(float(np.clip(value, -_STRONGEST, _STRONGEST)))
    x1, x2, y1, y2, z1, z2 = found
    return x1, x2, y1, y2, z1, z2


def _solved(apply: Callable[[np.ndarray], np.ndarray], b: np.ndarray) -> np.ndarray:
    """Conjugate gradients, a fixed number of rounds or until nothing is left."""
    x, r = np.zeros_like(b), b.copy()
    p, left = r.copy(), float((r * r).sum())
    enough = 1e-6 * left
    for _ in range(_ROUNDS):
        if left <= enough:
            break
        q = apply(p)
        step = left / float((p * q).sum())
        x += step * p
        r -= step * q
        before, left = left, float((r * r).sum())
        p = r + left / before * p
    return x


__all__ = ["SHELL", "continued", "remeasured"]
