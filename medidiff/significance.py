"""Two figures that every floor above may ask for: p-values of several tests at once, and the area under a curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values: reject those at or below alpha, whatever the tests have in common.

    None stays None and does not count: a test that was not made.

    Source: Holm 1979.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        found[i] = largest
    return found


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Chance that a positive's score is above a negative's, ties by half.

    Source: Mann and Whitney 1947.
    """
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    n, m = len(positive), len(negative)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


__all__ = ["auc", "holm"]
