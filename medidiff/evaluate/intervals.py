"""How sure a mean difference between two methods on the same patients is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from medidiff.errors import UsageError


class Interval(NamedTuple):
    """A mean with its two-sided confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def paired_t(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Interval:
    """Mean of a - b with Student's interval, one pair a PATIENT: voxels and slices of one person are not independent.

    With a single pair there is no interval: low and high are nan.

    Raises:
        UsageError: Lengths differ, there is no pair, a value is not finite, or `confidence` is outside (0, 1).

    Source: Student 1908.
    """
    differences = _differences(a, b, confidence)
    n, mean = len(differences), float(np.mean(differences))
    if n == 1:
        return Interval(mean, float("nan"), float("nan"))
    quantile = float(special.stdtrit(n - 1, 0.5 + confidence / 2))
    half = quantile * float(np.std(differences, ddof=1)) / n**0.5
    return Interval(mean, mean - half, mean + half)


def paired_bootstrap(
    a: Sequence[float], b: Sequence[float], confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Mean of a - b with the percentile bootstrap's interval over patients; seeded.

    Below about ten patients it is too narrow (at n = 5 a 95% interval covers about 85%): use `paired_t` there.

    Raises:
        UsageError: As for `paired_t`, or `resamples` is below 100.

    Source: Efron 1979.
    """
    differences = _differences(a, b, confidence)
    if resamples < 100:
        raise UsageError(f"resamples {resamples}: must be at least 100.")
    picks = np.random.default_rng(seed).integers(0, len(differences), size=(resamples, len(differences)))
    means = differences[picks].mean(axis=1)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(np.mean(differences)), float(low), float(high))


def _differences(a: Sequence[float], b: Sequence[float], confidence: float) -> np.ndarray:
    if len(a) != len(b) or len(a) == 0:
        raise UsageError(
            f"{len(a)} and {len(b)} values: a paired comparison needs the same patients in both, at least one."
        )
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence}: must lie between 0 and 1, such as 0.95.")
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise UsageError("a paired comparison needs finite values: one of these is infinite or NaN.")
    return differences
