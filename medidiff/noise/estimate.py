"""How noisy is this scan: the level from the finest Haar band of its flat parts, and whether to believe it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import uniform_filter

from medidiff.errors import NoiseError, NoNoiseError
from medidiff.noise.background import find_background
from medidiff.noise.rician import stabilise
from medidiff.noise.rounding import smear_rounding

Kind = Literal["gaussian", "rician", "chi"]

_MAD_OF_NORMAL = 0.674489750196082  # the median of |n|
_FLAT_SHARE = 0.12  # of the blocks of each octant: those with the least detail around them
_ENOUGH_BLOCKS = 40_000  # standard error 0.6%
_FEWEST_BLOCKS = 200  # the level then has a standard error of about 8% (1.17 / sqrt(200))
# Neighbouring values of the difference d_i = n_i+1 - n_i of white noise correlate by -1/2; blurring moves that towards
# +1/2 (a kernel 1/4, 1, 1/4, which costs a quarter of the level, to -0.15).
_WHITE_LAG, _LAG_TOLERANCE = -0.5, 0.12
_BRIGHT = 3.0  # levels of signal from which Rician noise is nearly Gaussian (its standard deviation is 0.97)
_AGREE = 1.1  # from which the level of the background is doubted: both are known to a few percent
_VARYING = 1.6  # the level of one octant over another's: sampling alone stays below 1.3


@dataclass(frozen=True)
class NoiseEstimate:
    """An estimated noise level.

    Args:
        level: Standard deviation in the scan's unit (Rician: of each of the two parts).
        kind: "gaussian" or "rician".
        reason: Why that kind, one sentence.
        white: Whether the noise looks white; if not, the level is a lower bound.
        warnings: What to know before trusting it.
        figures: Lag-one correlations, the level at twice the scale, per octant, blocks used.
        interval: 95% interval of the level; nan where it is not known.
        level_map: Level voxel by voxel (x, y, z), float32, where it differs across the scan, else None.
        correlation: Of the noise one and two voxels apart along each axis (x1, x2, y1, y2, z1, z2); 0 for white noise.
        coils: Coils whose squares were added up: 1 for Rician, more for chi.
        trusted: Whether the estimate may be used without a second look; the warnings say why not.
    """

    level: float
    kind: Kind
    reason: str
    white: bool
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, float | list[float]] = field(default_factory=dict)
    interval: tuple[float, float] = (float("nan"), float("nan"))
    level_map: np.ndarray | None = None
    correlation: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    coils: int = 1
    trusted: bool = True


class _Blocks(NamedTuple):
    """Cubes of 2 x 2 x 2 voxels: their finest band, scaled mean, whether they are used, and whether they are flat."""

    hhh: np.ndarray
    lll: np.ndarray
    flat: np.ndarray


def estimate_noise(
    scan: Float[np.ndarray, "x y z"],
    kind: Literal["auto", "gaussian", "rician"] = "auto",
    where: Bool[np.ndarray, "x y z"] | None = None,
) -> NoiseEstimate:
    """Estimate the noise level of a scan, one number for the whole.

    The level is the median absolute value of the finest Haar band (differences along all three axes at once, where
    anatomy hardly shows) in the blocks with the least detail. Detail is judged on the other bands, which for white
    noise are independent of the finest. Rician noise is stabilised first, or its level read from the background.
    Correlated noise hides from the finest band: this is noticed and said, not corrected.

    Args:
        scan: The noisy scan.
        kind: Kind of noise; auto decides.
        where: True for the voxels to judge by; None: all.

    Raises:
        NoiseError: The scan is too small, or has no noise that can be measured (rounded away, masked or noise-free).

    Source: Donoho and Johnstone 1994 (the robust median estimator); Coupe et al. 2010 (its use on Rician magnitudes).
    """
    data = scan.astype(np.float32)
    usable = _usable(data) if where is None else _usable(data) & where
    level = _level(_blocks(data, usable))
    if level > 0:
        data, rounding = smear_rounding(data)
        level = float(np.sqrt(max(_level(_blocks(data, usable)) ** 2 - rounding**2, 0.0)))
    rician, reason = kind == "rician", "asked for"
    if level > 0 and kind != "gaussian":
        found = find_background(data, _stabilised_level(data, _blocks(data, usable).flat), usable)
        if kind == "auto":
            rician, reason = found.rayleigh, found.reason
        if rician:
            level = _bright_level(data, usable)
            # Weak signal in the background raises one, detail raises the other: the lower one is right.
            if found.rayleigh and found.level < _AGREE * level:
                level = found.level
    if not level > 0:
        raise NoNoiseError(
            "no noise can be measured in this scan (it is rounded away, or there is none). Give --noise-std."
        )
    even = stabilise(data, level) if rician else data
    return _judge(even, usable, level, "rician" if rician else "gaussian", reason)


def _usable(data: np.ndarray) -> np.ndarray:
    """Voxels that were measured: not the value a mask or a clipped background repeats (the minimum, often zero)."""
    filled = data == data.min()
    if filled.mean() < 0.01:
        return np.ones(data.shape, dtype=bool)
    return ~filled


def _cubes(data: np.ndarray, shift: int = 0) -> np.ndarray:
    """(x/2, y/2, z/2, 2, 2, 2)."""
    data = data[tuple(slice(shift, shift + (n - shift) // 2 * 2) for n in data.shape)]
    x, y, z = (n // 2 for n in data.shape)
    return data.reshape(x, 2, y, 2, z, 2).transpose(0, 2, 4, 1, 3, 5)


def _blocks(data: np.ndarray, usable: np.ndarray) -> _Blocks:
    if min(data.shape) < 4:
        raise NoiseError(f"a scan of {data.shape} voxels is too small to estimate its noise. Give --noise-std.")
    cubes = _cubes(data)
    signs = np.array([1.0, -1.0], dtype=np.float32)
    hhh = np.einsum("xyzabc,a,b,c->xyz", cubes, signs, signs, signs) / np.sqrt(8)
    lll = cubes.sum(axis=(3, 4, 5)) / np.sqrt(8)
    used: np.ndarray = np.asarray(_cubes(usable).all(axis=(3, 4, 5)))
    if np.count_nonzero(used) < _FEWEST_BLOCKS:
        raise NoiseError("too few voxels outside the blank background to estimate the noise. Give --noise-std.")
    # The energy of the block in its six other fine bands: for white noise independent of hhh, like everything but hhh.
    others = np.square(cubes).sum(axis=(3, 4, 5)) - hhh**2 - lll**2
    energy = np.where(used, others, 0).astype(np.float32)
    near = uniform_filter(used.astype(np.float32), 3)
    activity = uniform_filter(energy, 3) / np.maximum(near, 1e-3)
    flat = np.zeros_like(used)
    for place in _octants(used.shape):  # the same share everywhere, or the quietest part would speak for all
        here = used[place]
        count = np.count_nonzero(here)
        if count:
            share = max(_FLAT_SHARE, min(1.0, _FEWEST_BLOCKS / count))
            flat[place] = here & (activity[place] <= np.quantile(activity[place][here], share))
    return _Blocks(hhh, lll, flat)


def _octants(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    halves = [(slice(0, n // 2), slice(n // 2, n)) for n in shape]
    return list(itertools.product(*halves))


def _level(blocks: _Blocks) -> float:
    return _robust_std(blocks.hhh[blocks.flat])


def _robust_std(values: np.ndarray) -> float:
    return float(np.median(np.abs(values))) / _MAD_OF_NORMAL


def _bright_level(data: np.ndarray, usable: np.ndarray) -> float:
    """The Rician level of a scan without background: from blocks of high signal, where noise is nearly Gaussian."""
    level = _stabilised_level(data, _blocks(data, usable).flat)
    for _ in range(2):
        bright = usable & (uniform_filter(data, 2) > _BRIGHT * level)
        if not level > 0 or np.count_nonzero(_cubes(bright).all(axis=(3, 4, 5))) * _FLAT_SHARE < _FEWEST_BLOCKS:
            return level
        level = _stabilised_level(data, _blocks(stabilise(data, level), bright).flat)
    return level


def _stabilised_level(data: np.ndarray, flat: np.ndarray) -> float:
    cubes = _cubes(data)[flat]
    cubes = cubes[:: max(1, len(cubes) // _ENOUGH_BLOCKS)].reshape(-1, 8)
    signs = np.array([1, -1, -1, 1, -1, 1, 1, -1], dtype=np.float32)
    level = 1.2 * _robust_std(cubes @ signs / np.sqrt(8))
    for _ in range(20):
        if not level > 0:
            break
        step = _robust_std(stabilise(cubes[..., None], level)[..., 0] @ signs / np.sqrt(8)) / level
        level *= step**1.5  # the plain iteration, with power 1, creeps where background matters
        if abs(step - 1) < 1e-3:
            break
    return level


def _judge(data: np.ndarray, usable: np.ndarray, level: float, kind: Kind, reason: str) -> NoiseEstimate:
    """Look at correlation, scale and place on data of constant variance."""
    blocks = _blocks(data, usable)
    lags = [_lag_one(data, usable, blocks.flat, axis) for axis in range(3)]
    coarse = _coarse_level(blocks.lll, np.asarray(_cubes(usable).all(axis=(3, 4, 5))))
    octants = [_level_in(blocks, place) for place in _octants(blocks.hhh.shape)]
    white = not any(lag - _WHITE_LAG > _LAG_TOLERANCE for lag in lags)
    warnings = []
    if not white:
        axes = ", ".join("xyz"[i] for i, lag in enumerate(lags) if lag - _WHITE_LAG > _LAG_TOLERANCE)
        warnings.append(
            f"noise is correlated along {axes} (interpolated or filtered scan): the estimated level {level:.4g} is a "
            "lower bound. Give --noise-std if you know better."
        )
    known = [o for o in octants if np.isfinite(o)]
    if known and max(known) > _VARYING * min(known):
        warnings.append(
            f"noise differs across the scan (from {min(known):.4g} to {max(known):.4g}): one level {level:.4g} was "
            "taken. Give a map with --noise-std."
        )
    figures: dict[str, float | list[float]] = {
        "lag_one_correlation": lags,
        "level_at_twice_the_scale": coarse,
        "level_per_octant": octants,
        "blocks": float(np.count_nonzero(blocks.flat)),
    }
    return NoiseEstimate(level, kind, reason, white, warnings, figures)


def _lag_one(data: np.ndarray, usable: np.ndarray, flat: np.ndarray, axis: int) -> float:
    """Robust correlation of neighbouring first differences along an axis, differenced along the others too.

    Differences along all axes leave little of the anatomy. It comes from the spreads of their sum and difference.
    """
    inside = np.zeros(data.shape, dtype=bool)
    x, y, z = (2 * n for n in flat.shape)
    inside[:x, :y, :z] = flat.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    inside &= usable
    d = data
    for other in range(3):
        d = np.diff(d, axis=other)
    inside = inside[:-1, :-1, :-1]
    first, second = np.delete(d, -1, axis), np.delete(d, 0, axis)
    keep = np.delete(inside, -1, axis)
    together, apart = _robust_std((first + second)[keep]) ** 2, _robust_std((first - second)[keep]) ** 2
    return (together - apart) / max(together + apart, 1e-30)


def _level_in(blocks: _Blocks, place: tuple[slice, ...]) -> float:
    """The level of one part of the scan; nan where too little of it is used."""
    values = blocks.hhh[place][blocks.flat[place]]
    return _robust_std(values) if len(values) >= _FEWEST_BLOCKS else float("nan")


def _coarse_level(lll: np.ndarray, usable: np.ndarray) -> float:
    """The level at twice the scale: for white noise the same, plus the anatomy of that scale; nan for small scans."""
    try:
        return _level(_blocks(lll, usable))
    except NoiseError:
        return float("nan")


__all__ = ["NoiseEstimate", "estimate_noise"]
