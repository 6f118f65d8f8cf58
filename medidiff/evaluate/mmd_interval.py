"""How sure a distance between two sets is: the jackknife over patients of the unbiased squared MMD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from medidiff.errors import InputError
from medidiff.evaluate.intervals import Interval


class Estimate(NamedTuple):
    """A distance with its standard error.

    Attributes:
        value: Unbiased squared MMD; it can be below 0.
        error: Jackknife standard error.
        df: Degrees of freedom that Student's interval takes: those of the smaller side.
    """

    value: float
    error: float
    df: int

    def interval(self, confidence: float = 0.95) -> Interval:
        """Student's interval."""
        half = float(special.stdtrit(self.df, 0.5 + confidence / 2)) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def above(self, other: Estimate) -> tuple[Interval, float]:
        """This minus another one of other patients: its 95% interval, and the one-sided p that it is not larger."""
        difference = Estimate(
            self.value - other.value, float(np.hypot(self.error, other.error)), min(self.df, other.df)
        )
        if difference.error == 0:
            return difference.interval(), 1.0 if difference.value <= 0 else 0.0
        return difference.interval(), float(special.stdtr(difference.df, -difference.value / difference.error))


def mmd2_estimate(
    within_a: np.ndarray, within_b: np.ndarray, between: np.ndarray, owners_a: Sequence, owners_b: Sequence
) -> Estimate:
    """The unbiased squared MMD, of sets of any sizes, with its error when whole patients are left out one by one.

    Where both sets have one source the statistic is degenerate and the jackknife's variance is too large, never too
    small: the interval is then wide.

    Args:
        within_a: Kernel matrix (n, n).
        within_b: Kernel matrix (m, m).
        between: Kernel matrix (n, m).
        owners_a: Whose each scan is, n; a synthetic scan is its own patient.
        owners_b: The same, m.

    Raises:
        InputError: Fewer than three patients on a side.

    Source: Gretton et al. 2012, Eq. 3; Arvesen 1969 and Efron and Stein 1981 for the jackknife of U-statistics.
    """
    a, b = (_members(owners) for owners in (owners_a, owners_b))
    if min(len(a), len(b)) < 3:
        raise InputError(f"{len(a)} and {len(b)} patients: an interval needs at least three on each side.")
    term_a, left_a = _within(within_a, a)
    term_b, left_b = _within(within_b, b)
    cross = float(between.sum())
    value = term_a + term_b - 2 * cross / between.size
    n, m = between.shape
    without_a = left_a + term_b - 2 * (cross - a @ between.sum(axis=1)) / ((n - a.sum(axis=1)) * m)
    without_b = term_a + left_b - 2 * (cross - b @ between.sum(axis=0)) / (n * (m - b.sum(axis=1)))
    variance = sum((len(x) - 1) / len(x) * float(((x - x.mean()) ** 2).sum()) for x in (without_a, without_b))
    return Estimate(float(value), float(np.sqrt(variance)), min(len(a), len(b)) - 1)


def _members(owners: Sequence) -> np.ndarray:
    """(patients, scans), 1 where the scan is the patient's."""
    _, index = np.unique(np.asarray(owners), return_inverse=True)
    return np.eye(int(index.max()) + 1)[:, index]


def _within(matrix: np.ndarray, members: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean off the diagonal, of all and without each patient."""
    off = matrix - np.diag(np.diag(matrix))
    n, own = len(matrix), members.sum(axis=1)
    total = float(off.sum())
    left = total - 2 * members @ off.sum(axis=1) + ((members @ off) * members).sum(axis=1)
    return total / (n * (n - 1)), left / np.maximum((n - own) * (n - own - 1), 1)


__all__ = ["Estimate", "mmd2_estimate"]
