"""Background that holds noise and nothing else: it tells magnitudes from Gaussian noise, their level and coils."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln, hyp1f1

from medidiff.errors import NoiseError
from medidiff.noise.patches import Patches, gather_patches

COILS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_RATIO_TOLERANCE = 0.12  # of the mean over the standard deviation: 1.91 for 1 coil (folded Gaussian 1.32), 2.75 for 2
# The mean of the 64 values of a cube has a standard deviation of 0.08 levels (0.3 when correlated); the rest is for an
# inexact level.
_WINDOW = 0.4
_ALL_DARK, _WIDER = 0.8, 0.1  # of the darkest third of the cubes; of ln(level), by which all may tell another
_LEAST_SHARE, _FEWEST = 0.01, 80
_SKEWED = 0.6  # of the skewness of pure chi noise must be there: Gaussian noise about an offset has none
_SKEW_SHOWS = 8  # coils up to which skewness can be told from that of Gaussian noise
_OTHER_LEVEL = 0.25  # of ln(level)
_STEP, _TOP = 0.02, 12.0


class Background(NamedTuple):
    """What was found.

    Attributes:
        rayleigh: Whether there is background of pure Rician noise (its magnitudes have Rayleigh's distribution).
        reason: One sentence.
        level: The level of each part of each coil, nan where there is no background of a magnitude.
        coils: 1 for Rayleigh, more for chi, 0 where there is no such background.
        share: Of the cubes.
    """

    rayleigh: bool
    reason: str
    level: float = float("nan")
    coils: int = 0
    share: float = 0.0


def find_background(
    scan: Float[np.ndarray, "x y z"], level: float, usable: Bool[np.ndarray, "x y z"] | None = None
) -> Background:
    """Look for cubes whose values are the noise of a magnitude alone.

    Args:
        scan: The scan.
        level: Its noise level, known to about a fifth: background of another level is none.
        usable: Voxels to look at; None: all.
    """
    if not level > 0 or scan.min() < 0:
        return Background(False, "the scan has negative values")
    try:
        patches = gather_patches(scan.astype(np.float32, copy=False), usable)
    except NoiseError:
        return Background(False, "too small to look for background")
    found = background_of(patches)
    if found.coils and abs(np.log(found.level / level)) > _OTHER_LEVEL:
        return Background(False, f"what looks like background would have a noise level of {found.level:.4g}")
    return found


def background_of(patches: Patches) -> Background:
    """The darkest cubes of a scan without negative values, if they are pure noise of a magnitude.

    Their mean over their standard deviation tells the coils; so many squares of Gaussian parts tell the level.
    """
    none = Background(False, "no background with noise in it (masked, or filled by the body)")
    fewest = max(_FEWEST, _LEAST_SHARE * len(patches.mean))
    if len(patches.mean) < _FEWEST:
        return none
    dark = patches.mean <= np.quantile(patches.mean, 0.3)
    values, mean = patches.values[dark], patches.mean[dark]
    chosen = mean <= np.quantile(mean, 0.05)
    for _ in range(6):
        centre, std = float(values[chosen].mean()), float(np.sqrt(values[chosen].var(axis=1).mean()))
        if not std > 0:
            return none
        chosen = np.abs(mean - centre) < _WINDOW * 1.5 * std
        if np.count_nonzero(chosen) < fewest / 2:
            return none
    pure = _pure(values, mean, chosen, fewest)
    if pure is None:
        return none
    if pure.chosen.mean() > _ALL_DARK and pure.far < _RATIO_TOLERANCE:  # its darkest cubes are darker than it is
        chosen = np.flatnonzero(dark)[pure.chosen]
        whole = _pure(patches.values, patches.mean, chosen, fewest, narrow=True)
        if whole is not None and abs(np.log(whole.level / pure.level)) < _WIDER:
            pure, values = whole, patches.values
    ratio, coils, level = pure.ratio, pure.coils, pure.level
    share = float(np.count_nonzero(pure.chosen) / len(patches.mean))
    expected = pure_mean(coils) / np.sqrt(2 * coils - pure_mean(coils) ** 2)
    told = f"the background's mean over standard deviation is {ratio:.2f}"
    if pure.far > _RATIO_TOLERANCE:
        return Background(False, f"{told}, Rician noise has 1.91")
    skewness = _skewness(values[pure.chosen])
    if coils <= _SKEW_SHOWS and skewness < _SKEWED * pure_skewness(coils):
        return Background(False, f"{told}, but it lies evenly about its mean ({skewness:.2f}), as Gaussian noise does")
    if coils == 1:
        return Background(True, f"{told}, as Rician noise has it (1.91)", level, 1, share)
    return Background(False, f"{told}, as noise of {coils} coils has it ({expected:.2f})", level, coils, share)


class _Pure(NamedTuple):
    """Cubes of pure noise: which (n,), their mean over deviation, how far that is from that of the coils, the level."""

    chosen: np.ndarray
    ratio: float
    far: float
    coils: int
    level: float


def _pure(
    values: np.ndarray, mean: np.ndarray, chosen: np.ndarray, fewest: float, narrow: bool = False
) -> _Pure | None:
    """The level of cubes whose mean is that of pure noise of this level, to a fixed point; None where they are few."""
    ratio, coils, level = 0.0, 1, 0.0
    for _ in range(8 if narrow else 4):
        inside = values[chosen]
        ratio, coils = _nearest(float(inside.mean()), float(inside.std()))
        level = float(np.sqrt(np.square(inside, dtype=np.float64).mean() / (2 * coils)))
        above = mean / level - pure_mean(coils)
        chosen = np.abs(above) < (_narrow(above) if narrow else _WINDOW)
        if np.count_nonzero(chosen) < fewest:
            return None
    expected = pure_mean(coils) / np.sqrt(2 * coils - pure_mean(coils) ** 2)
    return _Pure(chosen, ratio, abs(ratio / expected - 1), coils, level)


def _narrow(above: np.ndarray) -> float:
    """Window of two deviations of pure noise, as cubes below its mean tell it: no anatomy is there."""
    below = above[(above < 0) & (above > -_WINDOW)]
    return min(_WINDOW, 2 * float(np.sqrt(np.square(below).sum() / max(len(below), 1))))


def _nearest(mean: float, std: float) -> tuple[float, int]:
    """Mean over standard deviation, and the number of coils whose pure noise comes nearest to it."""
    ratio = mean / max(std, 1e-12 * mean, 1e-30)
    expected = {n: pure_mean(n) / np.sqrt(2 * n - pure_mean(n) ** 2) for n in COILS}
    return ratio, min(COILS, key=lambda n: abs(np.log(max(ratio, 1e-3) / expected[n])))


def _skewness(values: np.ndarray) -> float:
    centred = values - values.mean(dtype=np.float64)
    return float((centred**3).mean() / max((centred**2).mean() ** 1.5, 1e-30))


def pure_mean(coils: int) -> float:
    """Mean of the magnitude of pure noise of level 1: sqrt(2) Gamma(N + 1/2) / Gamma(N)."""
    return float(np.sqrt(2) * np.exp(gammaln(coils + 0.5) - gammaln(coils)))


def pure_skewness(coils: int) -> float:
    """Skewness of the magnitude of pure noise: 0.63 for 1 coil."""
    mu = pure_mean(coils)
    variance = 2 * coils - mu**2
    return mu * (1 - 2 * variance) / variance**1.5


def variance_of_magnitude(mean: Float[np.ndarray, " n"], coils: int) -> Float[np.ndarray, " n"]:
    """Variance of a magnitude in units of its level's square, from its mean in units of its level.

    From 2N - mean^2 (pure noise, 0.43 for 1 coil) towards 1 at high signal.

    Source: Koay and Basser 2006 (the analytic correction for any number of coils).
    """
    means, variances = _variance_table(coils)
    return np.interp(mean, means, variances)


@functools.cache
def _variance_table(coils: int) -> tuple[np.ndarray, np.ndarray]:
    v = np.arange(0.0, _TOP, _STEP)
    means = pure_mean(coils) * hyp1f1(-0.5, coils, -(v**2) / 2)
    return means, 2 * coils + v**2 - means**2


__all__ = ["COILS", "Background", "background_of", "find_background", "pure_mean", "variance_of_magnitude"]
