"""Feature likelihood divergence: how much better a mixture around the synthetics fits train than holdout."""

from __future__ import annotations

import numpy as np
from scipy import special

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.thresholds import Thresholds

COMPONENTS = 16
STEPS = 100
SMALLEST = 1e-3
"""Smallest standard deviation of a component, in units of the whitened features."""


def fld(made: np.ndarray, features: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = "") -> Finding:
    """Difference of the train and holdout patients' log-likelihood under the synthetics, per dimension and times 100.

    One Gaussian a synthetic, equally likely; each one's variance is fitted to TRAIN by expectation maximisation: a copy
    of a train scan shrinks onto it, which raises train's likelihood and not holdout's. Features are reduced to their
    leading directions and whitened over the gallery.

    Args:
        made: (n, d) features of synthetics.
        features: (g, d) features of the gallery's scans; a patient's are averaged.
        gallery: Train and holdout pooled.
        thresholds: Not used beyond the house's way.
        stratum: Condition whose synthetics `made` are.

    Returns:
        Finding whose statistic is the gap; it is above 0 without copies too, since the variances are fitted to train.

    Raises:
        InputError: Sizes do not fit, or a feature is not finite.

    Source: Jiralerspong et al. 2023, Eq. 2 and 4, simplified (no optimisation beyond EM, no constant).
    """
    del thresholds
    made, features = np.asarray(made, dtype=np.float64), np.asarray(features, dtype=np.float64)
    fits = made.ndim == 2 == features.ndim and made.shape[1] == features.shape[1] and len(made) > 0
    if not fits or len(features) != len(gallery.patients):
        raise InputError(
            f"features of shape {made.shape} and {features.shape}: (n, d) and ({len(gallery.patients)}, d)."
        )
    if not (np.isfinite(made).all() and np.isfinite(features).all()):
        raise InputError("features must be finite: a scan holds NaN or infinity.")
    counts = np.bincount(gallery.patients)
    people = np.stack([np.bincount(gallery.patients, column) for column in features.T], axis=1) / counts[:, None]
    middle = people.mean(axis=0)
    _, spread, directions = np.linalg.svd(people - middle, full_matrices=False)
    kept = min(COMPONENTS, int((spread > 1e-9 * max(spread[0], 1e-300)).sum()))
    scale = directions[:kept].T / spread[:kept] * np.sqrt(len(people))
    points, centres = (people - middle) @ scale, (made - middle) @ scale
    train, holdout = points[gallery.is_train], points[~gallery.is_train]
    variance = _fitted(_squares(train, centres), kept)
    terms = [_log_terms(_squares(x, centres), variance, kept) for x in (train, holdout)]
    fit = [100 / kept * float(np.mean(special.logsumexp(t, axis=1))) for t in terms]
    return Finding(
        test="FLD gap",
        role="descriptive",
        source="Jiralerspong et al. 2023, Eq. 2 and 4, simplified",
        statistic=fit[0] - fit[1],
        stratum=stratum,
        words=f"The synthetics fit train better than holdout by {fit[0] - fit[1]:.1f} (nats / 100 a dimension).",
        figures={
            "train": fit[0],
            "holdout": fit[1],
            "fld_holdout": -fit[1],
            "dimensions": kept,
            "synthetics": len(made),
        },
    )


def _squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    both = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None, :]
    return np.maximum(both - 2 * points @ centres.T, 0.0)


def _log_terms(squares: np.ndarray, variance: np.ndarray, dimensions: int) -> np.ndarray:
    return -0.5 * (squares / variance + dimensions * np.log(2 * np.pi * variance)) - np.log(len(variance))


def _fitted(squares: np.ndarray, dimensions: int) -> np.ndarray:
    """(n,) variance of each component, by EM with fixed centres and weights."""
    variance = np.ones(squares.shape[1])
    for _ in range(STEPS):
        share = np.asarray(special.softmax(_log_terms(squares, variance, dimensions), axis=1))
        mass = share.sum(axis=0)
        fitted = (share * squares).sum(axis=0) / np.maximum(mass * dimensions, 1e-12)
        # a component that explains no scan keeps the variance it has
        variance = np.where(mass > 1e-6, np.maximum(fitted, SMALLEST**2), variance)
    return variance


__all__ = ["fld"]
