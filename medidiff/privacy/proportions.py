"""Intervals of a share: k of n."""

from __future__ import annotations

import math

from scipy import special


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of a share, close to its level at small n.

    Source: Wilson 1927.
    """
    z = float(special.ndtri(0.5 + confidence / 2))
    share, spread = k / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return (0.0 if k == 0 else middle - half), (1.0 if k == n else middle + half)


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """One-sided upper limit of a share, exact: 0 of 200 gives 1.5%, 0 of 50 gives 5.8%.

    Source: Clopper and Pearson 1934.
    """
    return 1.0 if k >= n else float(special.betaincinv(k + 1, n - k, confidence))


def lower_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """One-sided lower limit of a share, exact.

    Source: Clopper and Pearson 1934.
    """
    return 0.0 if k <= 0 else float(special.betaincinv(k, n - k + 1, 1 - confidence))


__all__ = ["lower_bound", "upper_bound", "wilson"]
