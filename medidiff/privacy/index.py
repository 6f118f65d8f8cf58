"""The nearest scans among many, exactly, in bounded memory: for embeddings too many for a matrix of all pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from medidiff.errors import InputError, UsageError

_ROWS, _COLUMNS = 1024, 4096
"""Pairs that are in memory at a time: 16 MiB of float32."""


class Neighbours(NamedTuple):
    """The k nearest gallery scans of every query.

    Attributes:
        scan: (n, k) int, the nearest first; equal ones in the order of the gallery.
        similarity: (n, k) float32.
    """

    scan: np.ndarray
    similarity: np.ndarray


def nearest(
    queries: np.ndarray,
    gallery: np.ndarray,
    k: int = 2,
    *,
    left_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> Neighbours:
    """The k gallery rows with the largest inner product, by trying all of them block by block.

    Args:
        queries: Unit features (n, d).
        gallery: Unit features (g, d).
        k: Neighbours, at most g.
        left_out: Patients of queries (n,) and of gallery (g,): pairs of one patient do not count. A query with fewer
            than k others gets similarity -inf for the rest.

    Returns:
        Neighbours; the same whatever the block size, but for rounding.

    Raises:
        InputError: Shapes do not fit, or values are not finite.
        UsageError: k is not between 1 and g.
    """
    queries, gallery = _checked(queries, gallery)
    if not 1 <= k <= len(gallery):
        raise UsageError(f"k {k}: must be between 1 and the size of the gallery, {len(gallery)}.")
    if left_out is not None and [len(side) for side in left_out] != [len(queries), len(gallery)]:
        raise InputError("left_out: one patient for each query, and one for each gallery scan.")
    index = np.zeros((len(queries), k), np.int64)
    similarity = np.full((len(queries), k), -np.inf, np.float32)
    for row in range(0, len(queries), _ROWS):
        rows = slice(row, min(row + _ROWS, len(queries)))
        for column in range(0, len(gallery), _COLUMNS):
            columns = slice(column, min(column + _COLUMNS, len(gallery)))
            block = queries[rows] @ gallery[columns].T
            if left_out is not None:
                block[left_out[0][rows, None] == left_out[1][None, columns]] = -np.inf
            found, value = _largest(block, min(k, block.shape[1]))
            # what was found before comes first, so that the earlier of two equal scans stays
            values = np.concatenate([similarity[rows], value], axis=1)
            both = np.concatenate([index[rows], found + column], axis=1)
            order, similarity[rows] = _largest(values, k)
            index[rows] = np.take_along_axis(both, order, axis=1)
    return Neighbours(index, similarity)


def _largest(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of every row, the first of equal ones first: in k passes, since k is small."""
    left = values.copy()
    found = np.empty((len(values), k), np.int64)
    taken = np.zeros(values.shape, bool)
    rows = np.arange(len(values))
    for i in range(k):
        found[:, i] = left.argmax(axis=1)
        again = taken[rows, found[:, i]]  # nothing but -inf is left: the first that was not taken
        found[again, i] = taken[again].argmin(axis=1)
        left[rows, found[:, i]] = -np.inf
        taken[rows, found[:, i]] = True
    return found, np.take_along_axis(values, found, axis=1)


def _checked(queries: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    queries, gallery = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1] or not gallery.size:
        raise InputError(f"features of shape {queries.shape} and {gallery.shape}: must be (n, d) and (g, d).")
    if not (np.isfinite(queries).all() and np.isfinite(gallery).all()):
        raise InputError("features must be finite: a scan holds NaN or infinity.")
    return queries, gallery


__all__ = ["Neighbours", "nearest"]
