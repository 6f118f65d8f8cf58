"""Intervals over patients of what several seeds measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 4000


def patient_bootstrap(
    statistic: Callable[..., np.ndarray], *groups: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """A statistic of patients' values with its 95% percentile interval; the same patients are drawn in every group.

    Args:
        statistic: Of the groups' means over the last axis.
        groups: (patients,) each, the same patients in the same order.
        seed: Of the resampling.

    Source: Efron 1979.
    """
    n = len(groups[0])
    picks = np.random.default_rng(seed).integers(0, n, size=(RESAMPLES, n))
    drawn = statistic(*(group[picks].mean(axis=1) for group in groups))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(statistic(*(group.mean() for group in groups))), float(low), float(high)


def shown(interval: tuple[float, float, float], digits: int = 3, sign: bool = False) -> str:
    """`0.85 [0.83, 0.87]`."""
    plus = "+" if sign else ""
    middle, low, high = (f"{value:{plus}.{digits}f}" for value in interval)
    return f"{middle} [{low}, {high}]"
