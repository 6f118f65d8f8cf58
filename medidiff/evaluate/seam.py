"""Whether the border of a changed region can be seen: steps across it against steps on either side of it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medidiff.errors import InputError

DEPTH = 2
"""Voxels on either side of the border that it is compared with."""


def seam_ratio(image: np.ndarray, region: np.ndarray) -> float:
    """Mean step between neighbours across a region's border over the mean step just inside and just outside.

    1 where the border is no border; above 1 where it can be seen; below 1 where values were drawn together there. An
    anatomical border has its own ratio: compare with the real scan's at the same place.

    Args:
        image: Scan (x, y, z).
        region: Its voxels, True inside.

    Returns:
        The ratio; steps are those along x, y and z, each axis counted as often as the border crosses it.

    Raises:
        InputError: The region is empty, covers everything, or leaves no neighbours on a side.
    """
    values, region = np.asarray(image, dtype=np.float64), np.asarray(region, dtype=bool)
    if not region.any() or region.all():
        raise InputError("region: is empty or covers everything: it has no border.")
    deep = ndimage.binary_erosion(region, iterations=DEPTH, border_value=1)
    close = ndimage.binary_dilation(region, iterations=DEPTH) & np.logical_not(deep)
    across = beside = 0.0
    for axis in range(3):
        if image.shape[axis] < 2:
            continue
        step = np.abs(np.diff(values, axis=axis))
        first, second = (np.moveaxis(region, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        both_close = np.moveaxis(close, axis, 0)[:-1] & np.moveaxis(close, axis, 0)[1:]
        steps, crossing = np.moveaxis(step, axis, 0), first != second
        inside, outside = both_close & first & second, both_close & ~first & ~second
        if not crossing.any() or not inside.any() or not outside.any():
            continue
        count = int(crossing.sum())
        across += count * float(steps[crossing].mean())
        beside += count * float(steps[inside].mean() + steps[outside].mean()) / 2
    if not across + beside:
        raise InputError("region: too thin to have neighbours inside and outside.")
    return across / beside if beside else float("inf")


__all__ = ["DEPTH", "seam_ratio"]
