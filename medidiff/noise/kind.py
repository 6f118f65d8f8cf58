"""Which kind of noise: Gaussian, or the magnitude of one or more coils; and the level of a magnitude."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from medidiff.noise.background import COILS, Background, background_of, pure_mean, variance_of_magnitude
from medidiff.noise.correlation import Coloured
from medidiff.noise.level import FlatLimit, flat_limit
from medidiff.noise.patches import Patches

_NEGATIVE = 1e-3  # share of negative values that no magnitude has (a few come from resampling)
_BRIGHT = 2.5  # levels above pure noise from which magnitudes are nearly Gaussian
_ENOUGH = 400  # overlapping cubes to fit a level in
_AGREE = 0.15  # of ln(level): background against tissue; both are known to about 5%
_EXPECTED, _MISSING = 30.0, 0.3  # negative values that Gaussian noise would have, and the share of them that shows
_DARKEST, _MOST_COILS = 0.01, 8  # more coils than that are seldom independent
_ROUNDS, _ITERATE_WITH = 8, 6000


class Judged(NamedTuple):
    """The kind, and why.

    Attributes:
        coils: 0 for Gaussian noise, 1 for Rician, more for chi.
        reason: One sentence.
        limit: The flat limit under that kind; None where no noise is left.
        background: The level that background tells, nan where there is none.
        doubt: ln of how much higher the level is if it is noise of as many coils as the darkest tissue allows after
            all; 0 where that is ruled out (negative values, a kind that was found).
        share: Of the cubes that are background.
    """

    coils: int
    reason: str
    limit: FlatLimit | None
    background: float = float("nan")
    doubt: float = 0.0
    share: float = 0.0


def judge_kind(patches: Patches, power: Float[np.ndarray, "n 64"]) -> Judged:
    """Decide between Gaussian noise and magnitudes.

    A magnitude has no negative values and keeps away from zero; in background its mean and its standard deviation
    stand in a fixed ratio, and its variance there is less than half of that in tissue. Background counts only where it
    tells the level that tissue tells: dark tissue has nearly the ratio of background.

    Args:
        patches: Cubes of the scan.
        power: Their spectra.
    """
    limit = flat_limit(power, patches.overlap)
    if limit is None:
        return Judged(0, "no noise was found", None)
    if float((patches.values < 0).mean()) > _NEGATIVE:
        return Judged(0, "the scan has negative values", limit)
    found = background_of(patches)
    if found.coils:
        confirmed = confirm(found, patches, power)
        if confirmed is not None:
            return Judged(found.coils, found.reason, confirmed, found.level, share=found.share)
    if found.coils <= 1 and _shuns_zero(patches, limit.noise.level):
        reason = "no background with noise in it; dark tissue has no negative values, as Gaussian noise would have"
        return Judged(1, reason, magnitude_limit(patches, power, 1, limit.noise.level))
    doubt = _doubt(patches, power, limit.noise.level)
    if found.coils:
        reason = f"{found.reason}, but the noise in brighter tissue is not that of such a magnitude"
        return Judged(0, reason, limit, doubt=doubt)
    return Judged(0, found.reason, limit, doubt=doubt)


def magnitude_limit(patches: Patches, power: Float[np.ndarray, "n 64"], coils: int, level: float) -> FlatLimit | None:
    """The flat limit of magnitudes: each cube's power over what its mean says of its variance, to a fixed point.

    Bright cubes alone where there are enough: in background the magnitudes of correlated noise correlate less.

    Args:
        patches: Cubes of the scan.
        power: Their spectra.
        coils: N, 1 for Rician.
        level: To start from.
    """
    thin = max(1, len(patches.mean) // _ITERATE_WITH)
    mean, part, overlap = patches.mean[::thin], power[::thin], max(1.0, patches.overlap / thin)
    start: Coloured | None = None
    for _ in range(_ROUNDS):
        found = _limit_at(mean, part, overlap, coils, level, start)
        if found is None:
            return None
        start, step = found.noise, found.noise.level / level
        level *= step**1.4  # with power 1 it creeps where dark cubes matter
        if abs(step - 1) < 5e-3:
            break
    return _limit_at(patches.mean, power, patches.overlap, coils, level, start)


def _limit_at(
    mean: np.ndarray, power: np.ndarray, overlap: float, coils: int, level: float, start: Coloured | None
) -> FlatLimit | None:
    """The flat limit when cubes are corrected for their signal at this level."""
    ratio = mean / level
    bright = ratio**2 > 2 * coils + _BRIGHT**2
    if np.count_nonzero(bright) >= max(_ENOUGH, 0.1 * len(bright)):
        ratio, power = ratio[bright], power[bright]
    variance = variance_of_magnitude(ratio, coils).astype(np.float32)
    return flat_limit(power / variance[:, None], overlap, start)


def confirm(found: Background, patches: Patches, power: np.ndarray) -> FlatLimit | None:
    """The flat limit where it agrees with the background's level, or where there is hardly anything else; else None."""
    bright = (patches.mean / found.level) ** 2 > 2 * found.coils + _BRIGHT**2
    if np.count_nonzero(bright) < _ENOUGH:
        return magnitude_limit(patches, power, found.coils, found.level) if found.coils == 1 else None
    tissue = magnitude_limit(patches.take(bright), power[bright], found.coils, found.level)
    if tissue is None or abs(np.log(tissue.noise.level / found.level)) > _AGREE:
        return None
    return tissue


def _doubt(patches: Patches, power: np.ndarray, level: float) -> float:
    """ln of how much higher the level is for the most coils whose pure noise is as dark as the darkest tissue."""
    darkest = float(np.quantile(patches.mean, _DARKEST))
    coils = max((n for n in COILS if 1 < n <= _MOST_COILS and pure_mean(n) <= darkest / level), default=0)
    found = magnitude_limit(patches, power, coils, level) if coils else None
    return 0.0 if found is None else max(0.0, float(np.log(found.noise.level / level)))


def _shuns_zero(patches: Patches, level: float) -> bool:
    """Whether Gaussian noise of this level would have had negative values that are not there."""
    expected = patches.values.shape[1] * ndtr(-patches.mean / level).sum() / patches.overlap
    seen = np.count_nonzero(patches.values <= 0) / patches.overlap
    return bool(expected > _EXPECTED and seen < _MISSING * expected)


__all__ = ["Judged", "confirm", "judge_kind", "magnitude_limit"]
