"""Magnitude scans made to have the same noise at every signal, and that undone without bias.

With z the magnitude of N coils and v the noise-free signal, both in units of the noise level s (`chi.py`):

    p(z | v) = z (z/v)^(N-1) exp(-(z^2 + v^2) / 2) I_(N-1)(z v)   (N = 1: Rice 1944)
    f(z) with std(f(z) | v) = 1 for every v                       the variance-stabilising transform
    v such that E[f(z) | v] = D                                   its exact unbiased inverse

The idea of such a transform with an exact unbiased inverse is Foi's (2011), for Rician data. The tables here are
derived in this file, for any N. Away from the floor, with c = N - 1/2,

    f = sqrt(z^2 - c)          E[f | v] = sqrt(v^2 + c) + O(c (v^2 + c)^(-5/2))

which follow from the moments of z^2 (noncentral chi-square).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.special import gammaln, hyp0f1, ive

from medidiff.errors import NoiseError

MOST_COILS = 64
# Beyond this signal-to-noise ratio the formulas above are used; their next term is below 5e-5 there for 1 to 64 coils.
_LARGE = 12.0
_PER_UNIT = 1024  # entries of the tables a unit: linear interpolation is within 1e-7 of what they sample
_BLOCK = 1 << 15  # voxels at a time: float64 values are held of one block only, and stay in the cache


class _Tables(NamedTuple):
    """What `stabilise` and `unstabilise` look up, each on an even grid of step 1 / _PER_UNIT from 0.

    f is a function of z. v is one of q = sqrt(D - floor), with floor = E[f | v = 0]: it is smooth and zero at q = 0,
    where v as a function of D itself has an infinite slope. grid and std say how well f does.
    """

    f: np.ndarray
    z_end: float
    v: np.ndarray
    floor: float
    d_end: float
    grid: np.ndarray
    std: np.ndarray


def stabilise(
    z: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], coils: int = 1
) -> Float[np.ndarray, "x y z"]:
    """w = s f(z / s): a scan in its own unit whose noise has the standard deviation s at every signal.

    Args:
        z: Magnitude scan, float; the result has its type. No float64 copy of it is made.
        noise_std: s, the level of each part of each coil; one number or a map, positive.
        coils: N, from 1 (Rician) to 64.

    Raises:
        NoiseError: The level is not positive and finite, or `coils` is out of range.
    """
    t = _tables(check_coils(coils))

    def f(ratio: np.ndarray) -> np.ndarray:
        far = np.sqrt(np.maximum(ratio**2 - (coils - 0.5), 0.0))
        return np.where(ratio < t.z_end, _look_up(t.f, ratio), far)

    return _in_blocks(f, z, noise_std)


def unstabilise(
    w: Float[np.ndarray, "x y z"], noise_std: float | Float[np.ndarray, "x y z"], coils: int = 1
) -> Float[np.ndarray, "x y z"]:
    """The signal v whose stabilised scans have the mean w: the exact unbiased inverse of `stabilise`.

    Below the mean of pure noise, which no signal can reach, it is 0.

    Args:
        w: Denoised, stabilised scan, float; the result has its type.
        noise_std: The level it was stabilised with.
        coils: The number of coils it was stabilised with.

    Raises:
        NoiseError: The level is not positive and finite, or `coils` is out of range.
    """
    t = _tables(check_coils(coils))

    def inverse(ratio: np.ndarray) -> np.ndarray:
        far = np.sqrt(np.maximum(ratio**2 - (coils - 0.5), 0.0))
        return np.where(ratio < t.d_end, _look_up(t.v, np.sqrt(np.maximum(ratio - t.floor, 0.0))), far)

    return _in_blocks(inverse, w, noise_std)


def stabilised_std(v: np.ndarray, coils: int = 1) -> np.ndarray:
    """Standard deviation of f(z) given the signal v (in units of s): how well `stabilise` does, 1 being perfect."""
    t = _tables(check_coils(coils))
    return np.asarray(np.interp(v, t.grid, t.std))


def check_coils(coils: int) -> int:
    """The number of coils as it is.

    Raises:
        NoiseError: It is out of range.
    """
    if not 1 <= coils <= MOST_COILS or coils != int(coils):
        raise NoiseError(
            f"coils {coils}: must be a whole number from 1 (Rician, SENSE) to {MOST_COILS}. More coils than that make "
            "no visible difference at their own floor: give the number of receiver channels that were combined."
        )
    return coils


def _in_blocks(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, noise_std: float | np.ndarray
) -> np.ndarray:
    """s function(values / s) in the type of the values."""
    if not (np.all(np.isfinite(noise_std)) and np.all(np.asarray(noise_std) > 0)):
        raise NoiseError(
            f"noise level {np.min(noise_std):g}: must be positive and finite to make the noise of a scan even. "
            "Where a map has no level, give it a small positive one."
        )
    if isinstance(noise_std, np.ndarray) and noise_std.ndim:
        noise_std = np.broadcast_to(noise_std, values.shape)
    result = np.empty_like(values)
    for block in _blocks(values.shape):
        level = noise_std[block] if isinstance(noise_std, np.ndarray) and noise_std.ndim else float(noise_std)
        ratio = np.divide(values[block], level, dtype=np.float64)
        result[block] = function(ratio) * level
    return result


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Slabs across the longest axis of about _BLOCK voxels each."""
    if not shape or 0 in shape:
        return
    axis = int(np.argmax(shape))
    step = max(1, _BLOCK * shape[axis] // int(np.prod(shape)))
    for start in range(0, shape[axis], step):
        yield (*(slice(None),) * axis, slice(start, start + step))


def _look_up(table: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Linear interpolation in a table of step 1 / _PER_UNIT from 0, the ends going on. Not-a-number reads as 0."""
    place = np.fmin(np.fmax(at * _PER_UNIT, 0.0), len(table) - 1.001)
    index = place.astype(np.int32)
    low = table[index]
    return low + (place - index) * (table[index + 1] - low)


@functools.cache
def _tables(coils: int) -> _Tables:
    """Solve for f: from slope 1 / std(z | v) at z = E[z | v], dividing the slope by what std(f | v) it leaves."""
    c, step = coils - 0.5, 0.01
    v = np.concatenate([np.arange(0, 1, 0.02), np.arange(1, 3, 0.05), np.arange(3, _LARGE + 0.9, 0.1)])
    nodes, density = _quadrature(v, coils)
    z_end = float(np.sqrt(_LARGE**2 + 2 * c))
    z = np.arange(0.0, z_end + 12, step)

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (density * values).sum(axis=1)
        return mean, np.sqrt((density * (values - mean[:, None]) ** 2).sum(axis=1))

    mean_z, std_z = moments(nodes)
    exact = z / np.sqrt(np.maximum(z**2 - c, 0.25))
    signal = np.sqrt(np.maximum(z**2 - 2 * c + 1, 0.0))
    far = np.clip((signal - 5.0) / 4.0, 0.0, 1.0)  # from v = 5 to 9 over to the formula
    far = far**2 * (3 - 2 * far)
    slope_at_mean, values = 1 / std_z, z
    index = (nodes / step).astype(np.intp)
    share = nodes / step - index
    for _ in range(30):
        slope = (1 - far) * np.interp(z, mean_z, slope_at_mean) + far * exact
        values = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * step)])
        low = values[index]
        _, std = moments(low + share * (values[index + 1] - low))
        slope_at_mean = slope_at_mean / std**0.5  # damped: each slope touches the spread of its neighbours too
    f = CubicSpline(z, values + np.sqrt(z_end**2 - c) - np.interp(z_end, z, values))
    mean, std = moments(f(nodes))
    root = np.sqrt(np.maximum(mean - mean[0], 0.0))
    d_end = float(np.sqrt(_LARGE**2 + c))
    q = np.arange(0, np.sqrt(d_end - mean[0]) + 2 / _PER_UNIT, 1 / _PER_UNIT)
    inverse = CubicSpline(root, v)(q)
    inverse[0] = 0.0
    even = np.arange(0, z_end + 2 / _PER_UNIT, 1 / _PER_UNIT)
    lookup = f(even) - f(even, 2) / (12 * _PER_UNIT**2)  # so that a linear piece has the mean of f over its stretch
    return _Tables(lookup, z_end, inverse, float(mean[0]), d_end, v, std)


def _quadrature(v: np.ndarray, coils: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and probabilities of z for each v, (v, nodes): Gauss-Legendre over nine deviations on each side.

    In two pieces, since the slope of f is constant below the mean of pure noise and bends there.
    """
    bend = np.sqrt(2) * np.exp(gammaln(coils + 0.5) - gammaln(coils))  # E[z | v = 0]
    middle = np.sqrt(v**2 + 2 * coils - 1)
    low, high = np.maximum(middle - 9.0, 0.0)[:, None], (middle + 9.0)[:, None]
    split = np.clip(bend, low, high)
    nodes, weights = [], []
    for start, end, count in ((low, split, 60), (split, high, 140)):
        x, weight = np.polynomial.legendre.leggauss(count)
        nodes.append((end - start) / 2 * x + (end + start) / 2)
        weights.append((end - start) / 2 * weight)
    z, weight = np.concatenate(nodes, axis=1), np.concatenate(weights, axis=1)
    log_density = _log_density(z, v[:, None], coils)
    probability = np.exp(log_density - log_density.max(axis=1, keepdims=True)) * weight
    return z, probability / probability.sum(axis=1, keepdims=True)


def _log_density(z: np.ndarray, v: np.ndarray, coils: int) -> np.ndarray:
    """ln p(z | v). Near v = 0 by I_n(x) = (x/2)^n / n! 0F1(n+1; x^2/4), where the Bessel function would underflow."""
    x = z * v
    log_bessel = np.empty_like(x)  # ln (I_(N-1)(x) / x^(N-1))
    near = x < 40
    log_bessel[near] = np.log(hyp0f1(coils, x[near] ** 2 / 4)) - gammaln(coils) - (coils - 1) * np.log(2)
    far = x[~near]
    log_bessel[~near] = np.log(ive(coils - 1, far)) + far - (coils - 1) * np.log(far)
    return (2 * coils - 1) * np.log(z) - (z**2 + v**2) / 2 + log_bessel


__all__ = ["MOST_COILS", "check_coils", "stabilise", "stabilised_std", "unstabilise"]
