"""Precision, recall, density and coverage: is what was made among the real, and does it reach all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.mmd import checked_features, squared_distances

NEIGHBOURS = 5
"""k of Naeem et al. 2020."""


class Neighbourhood(NamedTuple):
    """Where made scans lie among the real ones; all but density between 0 and 1.

    Attributes:
        precision: Share of made scans within the k-th neighbour distance of some real scan.
        recall: Share of real scans within the k-th neighbour distance of some made scan.
        density: Real neighbourhoods that a made scan lies in, over k: 1 in the mean for the same source.
        coverage: Share of real scans whose neighbourhood holds a made scan.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhood(made: np.ndarray, real: np.ndarray, k: int = NEIGHBOURS) -> Neighbourhood:
    """Precision, recall, density and coverage of two sets of the same size.

    Args:
        made: Features (n, d).
        real: Features (n, d), as many: each figure grows or falls with the sizes.
        k: Neighbours, below n.

    Raises:
        InputError: See `checked_features`; the sizes differ, or k does not fit them.

    Source: Kynkaanniemi et al. 2019, Eq. 1 and 2; Naeem et al. 2020, Eq. 4 and 5.
    """
    made, real = checked_features(made, real)
    if len(made) != len(real):
        raise InputError(f"{len(made)} against {len(real)} scans: equal numbers are needed. Draw as many of both.")
    if not 1 <= k < len(real):
        raise InputError(f"k = {k}: must be at least 1 and below the number of scans, {len(real)}.")
    between = squared_distances(made, real)
    in_real = between <= _radii(real, k)[None, :]  # (made, real): made j within the neighbourhood of real i
    in_made = between <= _radii(made, k)[:, None]
    return Neighbourhood(
        precision=float(in_real.any(axis=1).mean()),
        recall=float(in_made.any(axis=0).mean()),
        density=float(in_real.sum(axis=1).mean() / k),
        coverage=float(in_real.any(axis=0).mean()),
    )


def _radii(points: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of every point to its k-th neighbour, itself not counted."""
    distances = squared_distances(points, points)
    np.fill_diagonal(distances, np.inf)
    return np.partition(distances, k - 1, axis=1)[:, k - 1]


__all__ = ["NEIGHBOURS", "Neighbourhood", "neighbourhood"]
