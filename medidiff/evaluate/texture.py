"""How far a set of patches is from another in intensity and texture: an unbiased distance, 0 for the same source."""

from __future__ import annotations

import numpy as np

from medidiff.errors import InputError

LEVELS = 3
"""Scales of the Haar pyramid, fewer where a side is too short: details of 1, 2 and 4 voxels."""
_LEAST = 1e-4


def texture_statistics(patches: np.ndarray) -> np.ndarray:
    """Intensity and texture of patches in a few numbers each.

    Mean, logarithm of the standard deviation, and at every scale of the orthonormal Haar transform the logarithm of
    the root mean square of the details along one, two and three axes (edges, lines, points) and of the ratio of mean
    absolute to root mean square of the first (how sparse edges are).

    Args:
        patches: (n, x, y, z), any intensity unit; sides of 2 and more.

    Returns:
        (n, 2 + 4 * scales) float64.

    Raises:
        InputError: Not four-dimensional, or a side below 2.
    """
    if patches.ndim != 4 or min(patches.shape[1:]) < 2:
        raise InputError(f"patches of shape {patches.shape}: must be (n, x, y, z) with sides of at least 2 voxels.")
    rest = np.asarray(patches, dtype=np.float64)
    found = [rest.mean(axis=(1, 2, 3)), _log(rest.std(axis=(1, 2, 3)))]
    for _ in range(LEVELS):
        if min(rest.shape[1:]) < 2:
            break
        parts = {0: [rest[:, : rest.shape[1] // 2 * 2, : rest.shape[2] // 2 * 2, : rest.shape[3] // 2 * 2]]}
        for axis in (1, 2, 3):
            parts = _halved(parts, axis)
        for axes in (1, 2, 3):
            found.append(_log(np.sqrt(np.mean([(d**2).mean(axis=(1, 2, 3)) for d in parts[axes]], axis=0))))
        edges = np.mean([np.abs(d).mean(axis=(1, 2, 3)) for d in parts[1]], axis=0)
        found.append(_log(edges) - found[-3])
        rest = parts[0][0]
    return np.stack(found, axis=1)


def texture_distance(patches: np.ndarray, reference: np.ndarray) -> float:
    """Energy distance between the statistics of two sets of patches, unbiased, relative to the reference's spread.

    Each statistic is divided by its standard deviation over the reference. With E the mean Euclidean distance the
    result is (2 E|p - r| - E|p - p'| - E|r - r'|) / E|r - r'|: 0 in the mean for two sets from the same source (so it
    can be below 0), about 1.4 k - 2 where every statistic is off by many (k) standard deviations.
    Pairs (i, i) are left out, so patch i may be made from reference i (a posterior sample, a denoised patch).

    Args:
        patches: (n, x, y, z).
        reference: (n, x, y, z), as many.

    Raises:
        InputError: Other numbers of patches, or fewer than 4.

    Source: Szekely and Rizzo 2013; a maximum mean discrepancy with the kernel -|a - b| (Sejdinovic et al. 2013), in
    its one-sample U-statistic form (Gretton et al. 2012, Eq. 4), which needs no independence within a pair.
    """
    if len(patches) != len(reference) or len(reference) < 4:
        raise InputError(f"{len(patches)} patches against {len(reference)}: as many are needed, at least 4.")
    p, r = texture_statistics(patches), texture_statistics(reference)
    scale = np.maximum(r.std(axis=0), 1e-3)
    p, r = p / scale, r / scale
    within = _mean_distance(r, r)
    return float((2 * _mean_distance(p, r) - _mean_distance(p, p) - within) / max(within, 1e-12))


def _mean_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of |a_i - b_j| over all i other than j."""
    distances = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2))
    n = len(a)
    return float((distances.sum() - np.trace(distances)) / (n * (n - 1)))


def _halved(parts: dict[int, list[np.ndarray]], axis: int) -> dict[int, list[np.ndarray]]:
    """Every part split into sums and differences of neighbours along an axis; keys count the axes of differences."""
    split: dict[int, list[np.ndarray]] = {}
    for count, arrays in parts.items():
        for array in arrays:
            even, odd = (np.moveaxis(np.moveaxis(array, axis, 0)[k::2], 0, axis) for k in (0, 1))
            split.setdefault(count, []).append((even + odd) / np.sqrt(2))
            split.setdefault(count + 1, []).append((even - odd) / np.sqrt(2))
    return split


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(values + _LEAST)


__all__ = ["texture_distance", "texture_statistics"]
