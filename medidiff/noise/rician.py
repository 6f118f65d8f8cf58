"""Rician noise of magnitude scans: simulate it, make its variance constant, and undo that without bias.

With z the magnitude and v the noise-free signal, both in units of the noise level s:

    p(z | v) = z exp(-(z^2 + v^2) / 2) I0(z v)                    (Rice 1944)
    f(z) with std(f(z) | v) = 1 for every v                       the variance-stabilising transform
    v such that E[f(z) | v] = D                                   its exact unbiased inverse

The idea of such a transform with an exact unbiased inverse is Foi's (2011); the tables here are derived in this file.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import i0e

from medidiff.noise.gaussian import check_level

# Beyond this signal-to-noise ratio the series in 1/z is used; its next term is of the order of 1/z^3 < 1e-3.
_LARGE = 12.0
_STEP = 0.01


class _Tables(NamedTuple):
    """f on a grid of z, E[f | v] and std(f | v) on a grid of v; f = sqrt(z^2 - 1/2) for large z, about v itself."""

    z: np.ndarray
    f: np.ndarray
    v: np.ndarray
    mean: np.ndarray
    std: np.ndarray


def add_rician(
    clean: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], rng: np.random.Generator
) -> Float[np.ndarray, "x y z"]:
    """The magnitude of a complex scan with Gaussian noise in both parts, sqrt((v + s n1)^2 + (s n2)^2).

    Args:
        clean: Noise-free scan, not negative.
        noise_std: Standard deviation of each part in the scan's unit, one number or a map.
        rng: Source of randomness.

    Raises:
        NoiseError: The level is negative or not finite.
    """
    check_level(noise_std)
    real = clean + noise_std * rng.standard_normal(clean.shape, dtype=np.float32)
    imaginary = noise_std * rng.standard_normal(clean.shape, dtype=np.float32)
    return np.hypot(real, imaginary).astype(clean.dtype)


def stabilise(
    z: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"]
) -> Float[np.ndarray, "x y z"]:
    """w = s f(z / s): a scan in its own unit whose noise has the standard deviation s at every signal.

    Args:
        z: Magnitude scan, float; the result has its type.
        noise_std: s, one number or a map, positive.
    """
    t = _tables()
    ratio = np.asarray(z, dtype=np.float64) / noise_std
    large = np.sqrt(np.maximum(ratio**2 - 0.5, 0.0))
    return (noise_std * np.where(ratio < _LARGE, np.interp(ratio, t.z, t.f), large)).astype(z.dtype)


def unstabilise(
    w: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"]
) -> Float[np.ndarray, "x y z"]:
    """The signal v whose stabilised scans have the mean w: the exact unbiased inverse of `stabilise`.

    Below the mean of pure noise, which no signal can reach, it is 0.

    Args:
        w: Denoised, stabilised scan, float; the result has its type.
        noise_std: The level it was stabilised with.
    """
    t = _tables()
    ratio = np.asarray(w, dtype=np.float64) / noise_std
    d = np.maximum(ratio, 1.0)
    large = d**2 / np.sqrt(d**2 + 0.5)  # E[f | v] = v + 1/(4v), inverted to the same order
    small = np.interp(ratio, t.mean, t.v)  # np.interp stays at v = 0 below E[f | 0]
    return (noise_std * np.where(ratio < t.mean[-1], small, large)).astype(w.dtype)


def stabilised_std(v: np.ndarray) -> np.ndarray:
    """Standard deviation of f(z) given the signal v (in units of s): how well `stabilise` does, 1 being perfect."""
    t = _tables()
    return np.asarray(np.interp(v, t.v, t.std))


@functools.cache
def _tables() -> _Tables:
    """Solve for f: from slope 1 / std(z | v) at z = E[z | v], dividing the slope by what std(f | v) it leaves."""
    v = np.arange(0.0, _LARGE + _STEP / 2, 0.02)
    nodes, density = _quadrature(v)
    z = np.arange(0.0, _LARGE + 12, _STEP)

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (density * values).sum(axis=1)
        return mean, np.sqrt((density * values**2).sum(axis=1) - mean**2)

    mean_z, std_z = moments(nodes)
    exact = z / np.sqrt(np.maximum(z**2 - 0.5, 0.25))
    far = np.clip((z - 5.0) / 4.0, 0.0, 1.0)  # from 5 to 9 over to the series, which is exact to 1/z^3 there
    slope_at_mean = 1 / std_z
    f = mean = std = z
    for _ in range(30):
        slope = (1 - far) * np.interp(z, mean_z, slope_at_mean) + far * exact
        f = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * _STEP)])
        mean, std = moments(np.interp(nodes, z, f))
        slope_at_mean = slope_at_mean / std**0.5  # damped: each slope touches the spread of its neighbours too
    last = round(_LARGE / _STEP)
    offset = f[last] - np.sqrt(z[last] ** 2 - 0.5)
    return _Tables(z, f - offset, v, mean - offset, std)


def _quadrature(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and probabilities of z for each v, (v, nodes): Gauss-Legendre over nine deviations on each side."""
    x, weight = np.polynomial.legendre.leggauss(160)
    low, high = np.maximum(v - 9.0, 0.0)[:, None], (v + 9.0)[:, None]
    z = (high - low) / 2 * x + (high + low) / 2
    density = z * np.exp(-((z - v[:, None]) ** 2) / 2) * i0e(z * v[:, None])
    probability = density * weight
    return z, probability / probability.sum(axis=1, keepdims=True)


__all__ = ["add_rician", "stabilise", "stabilised_std", "unstabilise"]
