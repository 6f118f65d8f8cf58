"""Volumes one after the other that only the instance number tells apart, as GE writes its functional series.

Slices are never sorted by it. It is believed as an order in time only where it says one thing: every image has a number
of its own, every position has equally many images, and in the order of the numbers either all positions are gone
through again and again in the same order, or every position is left only when all of its images have been named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def blocks_of(numbers: Sequence[int | None], places: Sequence[int]) -> list[int] | None:
    """Which volume each image belongs to, counted from 0 in the order of the numbers.

    Args:
        numbers: Instance numbers.
        places: For each image the number of its position.

    Returns:
        None where the numbers leave a doubt.
    """
    known = [number for number in numbers if number is not None]
    crowd = Counter(places)
    times = max(crowd.values(), default=0)
    if len(set(known)) < len(numbers) or times < 2 or len(crowd) < 2 or set(crowd.values()) != {times}:
        return None
    order = sorted(range(len(known)), key=lambda i: known[i])
    visited = [places[i] for i in order]
    n = len(crowd)
    block_of = [0] * len(order)
    if visited == visited[:n] * times and len(set(visited[:n])) == n:
        for rank, i in enumerate(order):
            block_of[i] = rank // n
        return block_of
    if all(len(set(visited[k : k + times])) == 1 for k in range(0, len(visited), times)):
        for rank, i in enumerate(order):
            block_of[i] = rank % times
        return block_of
    return None
