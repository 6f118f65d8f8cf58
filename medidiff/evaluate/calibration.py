"""Split-conformal calibration of the one-pass uncertainty: the factor that makes a voxel's interval cover 90%.

The exchangeable unit is the PATIENT: voxels of one scan share its anatomy, its noise level and the prior's mistakes.
What is controlled is the coverage of a new patient, averaged over his voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from medidiff.errors import UsageError
from medidiff.evaluate.intervals import Interval, paired_t


class Calibration(NamedTuple):
    """The factor of one kind of noise and how well it holds.

    Attributes:
        factor: q: a voxel's interval is its estimate +- q times its uncertainty.
        coverage: Mean over patients of the share of voxels inside, each patient with the factor of the others, and
            Student's 95% interval of that mean.
        patients: How many.
    """

    factor: float
    coverage: Interval
    patients: int


def scores(
    error: np.ndarray, uncertainty: np.ndarray, own_noise: float = 0.0, noise_std: float | np.ndarray = 1.0
) -> np.ndarray:
    """|error| / uncertainty, voxel by voxel, also where the reference is noisy itself.

    Against a noisy reference r = x0 + tau n the difference to the estimate is (D - x0) - tau n. Its variance is
    u^2 + tau^2 (1 - 2 u^2 / s^2) when u is right: the own noise is part of the noise s that D saw, so D leans towards
    it, by Stein's identity dD/dy = u^2 / s^2. That deviation takes u's place; it is exact for a Gaussian and close
    where tau^2 is the smaller part, which the caller must see to.

    Args:
        error: Estimate minus reference.
        uncertainty: Standard deviation that the prior claims, same unit.
        own_noise: tau, white noise of the reference.
        noise_std: s, total noise of the scan, where tau is not 0.

    Returns:
        float32; 0 where both are 0, infinite where only the uncertainty is.

    Source: Stein 1981; Efron 2011.
    """
    error, spread = np.abs(np.asarray(error, dtype=np.float64)), np.asarray(uncertainty, dtype=np.float64)
    if own_noise > 0:
        slope = np.clip(spread**2 / np.square(noise_std), 0, 1)
        spread = np.sqrt(np.maximum(spread**2 + own_noise**2 * (1 - 2 * slope), 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error == 0, 0.0, error / spread).astype(np.float32)


def coverage(patient: np.ndarray, factor: float) -> float:
    """Share of a patient's voxels whose score is at most `factor`."""
    return float(np.mean(patient <= factor))


def conformal_factor(patients: Sequence[np.ndarray], level: float = 0.9, *, guaranteed: bool = False) -> float:
    """The smallest q at which the mean coverage of the patients reaches `level`.

    With R(q) the mean over n patients of the share of voxels outside, R(q) <= 1 - level makes the expected coverage of
    a new patient `level` up to a term of order 1/n times how differently patients respond to q: 0.1% of coverage for 40
    patients whose coverages spread by 5% (simulated in the tests). Conformal risk control demands
    n/(n+1) R(q) + 1/(n+1) <= 1 - level instead. It guarantees at least `level` for any exchangeable patients, since it
    reckons with a new patient who is missed altogether; with 40 patients it aims at 92.3% and is too wide for anybody
    less strange. The mean is wanted here: an interval called 90% that covers 92% is not honest either.

    Args:
        patients: Scores of each patient, any number of voxels; every patient counts alike.
        level: Wanted coverage.
        guaranteed: Use the risk-controlling bound.

    Raises:
        UsageError: No patient or one without voxels, NaN, a level outside (0, 1), or too few patients for the bound.

    Source: Angelopoulos et al. 2022 (arXiv 2208.02814), Eq. 4.
    """
    n, target = _checked(patients, level), level
    if guaranteed:
        target = 1 - ((1 - level) * (n + 1) - 1) / n
        if target > 1:
            raise UsageError(
                f"{n} patients: a guaranteed coverage of {level:g} needs at least {1 / (1 - level) - 1:.0f}."
            )
    values = np.concatenate([np.asarray(p, dtype=np.float64).ravel() for p in patients])
    weights = np.concatenate([np.full(np.size(p), 1 / (n * np.size(p))) for p in patients])
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = int(np.searchsorted(reached, target - 1e-9))
    return float(values[order[min(place, len(order) - 1)]])


def calibrate(patients: Sequence[np.ndarray], level: float = 0.9, folds: int = 10, seed: int = 0) -> Calibration:
    """The factor of all patients, and the coverage that it promises for others.

    The patients are dealt into folds; each is judged with the factor of those in other folds.

    Args:
        patients: Scores of each patient, all his scans of one kind of noise together.
        level: Wanted coverage.
        folds: Number of folds, at most one a patient.
        seed: Of the deal.

    Raises:
        UsageError: As for `conformal_factor`, or fewer than two patients.
    """
    if len(patients) < 2:
        raise UsageError(f"{len(patients)} patients: calibration needs at least two, 20 or more to mean anything.")
    folds = min(folds, len(patients))
    fold = np.random.default_rng(seed).permutation(len(patients)) % folds
    covered = np.empty(len(patients))
    for k in range(folds):
        factor = conformal_factor([p for p, f in zip(patients, fold, strict=True) if f != k], level)
        for i in np.flatnonzero(fold == k):
            covered[i] = coverage(patients[int(i)], factor)
    interval = paired_t(covered.tolist(), [0.0] * len(covered))
    return Calibration(conformal_factor(patients, level), interval, len(patients))


def _checked(patients: Sequence[np.ndarray], level: float) -> int:
    if not 0 < level < 1:
        raise UsageError(f"coverage {level:g}: must lie between 0 and 1, such as 0.9.")
    if not len(patients) or any(np.size(p) == 0 for p in patients):
        raise UsageError("calibration needs at least one patient, and voxels of each.")
    if any(np.isnan(p).any() for p in patients):
        raise UsageError("a score is NaN: errors and uncertainties must be numbers.")
    return len(patients)


__all__ = ["Calibration", "calibrate", "conformal_factor", "coverage", "scores"]
