"""How far two sets of features are apart: the unbiased squared maximum mean discrepancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from medidiff.errors import InputError, UsageError


@dataclass(frozen=True)
class Kernel:
    """A positive definite kernel on feature vectors.

    Attributes:
        kind: "polynomial": (a.b/d + 1)^degree, as in KID; "rbf": exp(-|a-b|^2 / (2 bandwidth^2)).
        degree: Of the polynomial.
        bandwidth: Of the RBF, in units of the features.

    Source: Binkowski et al. 2018 (KID, degree 3); Gretton et al. 2012 (RBF, median heuristic).
    """

    kind: Literal["polynomial", "rbf"] = "polynomial"
    degree: int = 3
    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in ("polynomial", "rbf"):
            raise UsageError(f"kernel {self.kind!r}: must be polynomial or rbf.")
        if self.degree < 1:
            raise UsageError(f"degree {self.degree}: must be 1 or more.")
        if not (np.isfinite(self.bandwidth) and self.bandwidth > 0):
            raise UsageError(f"bandwidth {self.bandwidth}: must be positive; `median_bandwidth` gives one.")

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Matrix of k(a_i, b_j), (n, m) of (n, d) and (m, d)."""
        if self.kind == "polynomial":
            return (a @ b.T / a.shape[1] + 1) ** self.degree
        return np.exp(-squared_distances(a, b) / (2 * self.bandwidth**2))


def mmd2(a: np.ndarray, b: np.ndarray, kernel: Kernel | None = None) -> float:
    """Unbiased squared MMD of two sets of the same size; 0 in the mean where both have one source, so it can be below.

    Args:
        a: Features (n, d).
        b: Features (n, d), as many: sizes that differ bias whatever is compared with it.
        kernel: None: polynomial of degree 3.

    Raises:
        InputError: See `checked_features`; the sizes differ, or there are fewer than 2.

    Source: Gretton et al. 2012, Eq. 3 (the U-statistic in both terms).
    """
    a, b = checked_features(a, b)
    if len(a) != len(b) or len(a) < 2:
        raise InputError(
            f"{len(a)} against {len(b)} scans: equal numbers are needed, at least 2. Draw as many of both."
        )
    kernel = kernel or Kernel()
    return mmd2_of(kernel(a, a), kernel(b, b), kernel(a, b))


def mmd2_of(within_a: np.ndarray, within_b: np.ndarray, between: np.ndarray) -> float:
    """The same from kernel matrices (n, n), (m, m) and (n, m)."""
    return float(_off_diagonal(within_a) + _off_diagonal(within_b) - 2 * between.mean())


def median_bandwidth(reference: np.ndarray) -> float:
    """Median distance between different rows of a reference (n, d): the usual bandwidth of the RBF.

    Raises:
        InputError: Fewer than 2 rows, or more than half of the pairs are copies of one another.

    Source: Gretton et al. 2012, section 8.
    """
    (reference,) = checked_features(reference)
    if len(reference) < 2:
        raise InputError("the median distance needs at least 2 scans.")
    upper = np.triu_indices(len(reference), 1)
    median = float(np.sqrt(np.median(squared_distances(reference, reference)[upper])))
    if median == 0:
        raise InputError("more than half of the pairs of scans have the same features: no bandwidth fits them.")
    return median


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a_i - b_j|^2, (n, m), never below 0 and exactly 0 for the same row."""
    return np.stack([((row - b) ** 2).sum(axis=1) for row in a])  # not |a|^2 + |b|^2 - 2ab, which rounds


def checked_features(*sets: np.ndarray) -> tuple[np.ndarray, ...]:
    """The sets as float64 matrices.

    Raises:
        InputError: One is not (n, d), not finite, or they differ in d.
    """
    arrays = tuple(np.asarray(features, dtype=np.float64) for features in sets)
    for features in arrays:
        if features.ndim != 2 or 0 in features.shape:
            raise InputError(f"features of shape {features.shape}: must be (scans, features), one of each at least.")
        if features.shape[1] != arrays[0].shape[1]:
            raise InputError(f"{arrays[0].shape[1]} and {features.shape[1]} features: both sets need the same.")
        if not np.isfinite(features).all():
            raise InputError("a feature is NaN or infinite: leave out scans that are not finite.")
    return arrays


def _off_diagonal(matrix: np.ndarray) -> float:
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1)))


__all__ = ["Kernel", "checked_features", "median_bandwidth", "mmd2", "mmd2_of", "squared_distances"]
