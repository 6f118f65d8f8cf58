"""Values that are the same but for rounding: grouped by how close they lie, never by rounding them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Values = tuple[float, ...] | None


def clusters(values: Sequence[Values], tolerance: float) -> list[int]:
    """Number the groups of values that are linked by steps of at most `tolerance`.

    Rounding to a grid of values would put neighbours apart where the grid has an edge; a chain of close values is one
    group instead, in whatever order they come.

    Args:
        values: Each of the same length, or None, which is a group by itself.
        tolerance: Largest difference of any component between linked values.

    Returns:
        For each value the number of its group; groups are numbered in ascending order of their smallest value, None
        before all.
    """
    distinct = sorted({value for value in values if value is not None})
    group_of: dict[Values, int] = {None: 0} if None in values else {}
    first = len(group_of)
    groups = _linked(np.array(distinct, dtype=np.float64), tolerance) if distinct else []
    group_of.update({value: first + group for value, group in zip(distinct, groups, strict=True)})
    return [group_of[value] for value in values]


def _linked(points: np.ndarray, tolerance: float) -> list[int]:
    groups = np.full(len(points), -1)
    count = 0
    for start in range(len(points)):
        if groups[start] >= 0:
            continue
        groups[start] = count
        frontier = [start]
        while frontier:
            here = points[frontier.pop()]
            free = np.flatnonzero(groups < 0)
            near = free[np.abs(points[free] - here).max(axis=1) <= tolerance] if free.size else free
            groups[near] = count
            frontier.extend(near.tolist())
        count += 1
    return groups.tolist()
