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
    """

    rayleigh: bool
    reason: str
    level: float = float("nan")
    coils: int = 0


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
    ratio, std, coils, level = 0.0, 0.0, 1, 0.0
    for _ in range(6):
        centre, std = float(values[chosen].mean()), float(np.sqrt(values[chosen].var(axis=1).mean()))
        if not std > 0:
            return none
        chosen = np.abs(mean - centre) < _WINDOW * 1.5 * std
        if np.count_nonzero(chosen) < fewest / 2:
            return none
    for _ in range(4):
        inside = values[chosen]
        ratio, coils = _nearest(float(inside.mean()), float(inside.std()))
        level = float(np.sqrt(np.square(inside, dtype=np.float64).mean() / (2 * coils)))
        chosen = np.abs(mean / level - pure_mean(coils)) < _WINDOW
        if np.count_nonzero(chosen) < fewest:
            return none
    expected = pure_mean(coils) / np.sqrt(2 * coils - pure_mean(coils) ** 2)
    told = f"the background's mean over standard deviation is {ratio:.2f}"
    if abs(ratio / expected - 1) > _RATIO_TOLERANCE:
        return Background(False, f"{told}, Rician noise has 1.91")
    skewness = _skewness(values[chosen])
    if coils <= _SKEW_SHOWS and skewness < _SKEWED * pure_skewness(coils):
        return Background(False, f"{told}, but it lies evenly about its mean ({skewness:.2f}), as Gaussian noise does")
    if coils == 1:
        return Background(True, f"{told}, as Rician noise has it (1.91)", level, 1)
    return Background(False, f"{told}, as noise of {coils} coils has it ({expected:.2f})", level, coils)


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
