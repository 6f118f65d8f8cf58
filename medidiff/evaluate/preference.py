"""How often a reader prefers one of two, with an interval that is exact for small counts."""

from __future__ import annotations

from typing import NamedTuple

from scipy import special

from medidiff.errors import UsageError


class Share(NamedTuple):
    """A share with its two-sided exact interval, and the probability of a split at least this uneven by chance."""

    share: float
    low: float
    high: float
    p_value: float


def exact_binomial(wins: int, total: int, confidence: float = 0.95) -> Share:
    """`wins` of `total` independent choices.

    Args:
        wins: How often.
        total: Of how many, at least one.
        confidence: Of the interval.

    Raises:
        UsageError: `wins` is not from 0 to `total`, there is no choice, or `confidence` is outside (0, 1).

    Source: Clopper and Pearson 1934; the two-sided sign test.
    """
    if not (0 <= wins <= total and total > 0):
        raise UsageError(f"{wins} of {total}: must be from 0 to the number of choices, of at least one.")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence}: must lie between 0 and 1, such as 0.95.")
    tail = (1 - confidence) / 2
    low = 0.0 if wins == 0 else float(special.betaincinv(wins, total - wins + 1, tail))
    high = 1.0 if wins == total else float(special.betaincinv(wins + 1, total - wins, 1 - tail))
    fewer = min(wins, total - wins)
    return Share(wins / total, low, high, min(1.0, 2 * float(special.bdtr(fewer, total, 0.5))))


__all__ = ["Share", "exact_binomial"]
