"""Planes that lie at one position, told apart into volumes.

What separates planes only where positions repeat: the whole image type, coil, temporal position, acquisition
number, trigger time, acquisition time, tried in this order. Within one volume these often change from slice to slice
(an acquisition number that counts CT slices, the moment at which each slice was measured), so they mean something only
as the answer to the question which of several planes at one position belong together:

- by value, where there are at most as many values as planes at the most crowded position: each value is one volume;
- else, for a time, by rank, where every position has equally many planes and no two of one position agree: the k-th of
  every position are one volume (trigger and acquisition times jitter or run on from slice to slice).

What one fact leaves together is tried with the others, and last with the instance numbers, where these leave no doubt
(`blocks`; the caller is told, and warns). What stays unexplained is left together, and refused for its duplicate
positions by `stacking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from medidiff.io.dicom.blocks import blocks_of
from medidiff.io.dicom.model import Plane
from medidiff.io.dicom.parts import Part, gather
from medidiff.io.dicom.stacking import SPACING_TOLERANCE, normal_of

_TIME_DIGITS, _EARLY, _LATE = 6, "06", "18"  # hhmmss; hours between which no scan lasts over midnight
_DEEPEST = 2  # facts that are combined to tell planes of one position apart


_REPEATS: dict[str, tuple[str, Callable[[Plane], Any]]] = {
    "type": ("type", lambda p: p.facts.image_type),
    "coil": ("coil", lambda p: p.facts.coil),
    "time": ("time", lambda p: p.facts.temporal_position),
    "acquisition": ("time", lambda p: p.facts.acquisition_number),
    "phase": ("time", lambda p: p.facts.trigger_time_ms),
    "moment": ("time", lambda p: p.facts.acquisition_time),
}


def split_repeats(part: Part) -> list[Part]:
    """Split by time, coil and the like, as far as positions repeat."""
    parts = _split_repeats(part, tuple(_REPEATS), _DEEPEST)
    return [found for one in parts for found in _split_blocks(one)]


def _split_repeats(part: Part, facts: tuple[str, ...], depth: int) -> list[Part]:
    places = _places(part.planes)
    if max(Counter(places).values()) == 1 or not depth:
        return [part]
    best: list[Part] = []
    for i, fact in enumerate(facts):
        kind, value = _REPEATS[fact]
        values = [value(p) for p in part.planes]
        if fact == "moment" and _may_pass_midnight(values):
            continue
        groups = _told_apart(values, places, by_rank=kind == "time")
        if groups is None:
            continue
        parts = [
            Part((*part.names, (kind, f"{fact} {number}")), tuple(planes), part.caveats)
            for number, planes in enumerate(_members(part.planes, groups), start=1)
        ]
        parts = [found for one in parts for found in _split_repeats(one, facts[:i] + facts[i + 1 :], depth - 1)]
        resolved = sum(not _has_repeats(one) for one in parts)
        if resolved == len(parts):
            return parts
        if 2 * resolved >= len(parts) and not best:
            best = parts
    return best or [part]


def _split_blocks(part: Part) -> list[Part]:
    groups = blocks_of([p.instance_number for p in part.planes], _places(part.planes))
    if groups is None:
        return [part]
    told = "only the instance numbers tell the volumes of this series apart"
    return [
        Part((*part.names, ("time", f"time {number}")), tuple(planes), (*part.caveats, told))
        for number, planes in enumerate(_members(part.planes, groups), start=1)
    ]


def _may_pass_midnight(moments: Sequence[str | None]) -> bool:
    """Whether times without a date may begin again at zero: then later is not larger."""
    hours = [moment[:2] for moment in moments if moment and len(moment.partition(".")[0]) <= _TIME_DIGITS]
    return bool(hours) and min(hours) < _EARLY <= _LATE <= max(hours)


def _has_repeats(part: Part) -> bool:
    return max(Counter(_places(part.planes)).values()) > 1


def _members(planes: Sequence[Plane], groups: Sequence[int]) -> list[list[Plane]]:
    return [planes for _, planes in gather(planes, groups, str)]


def _places(planes: Sequence[Plane]) -> list[int]:
    """Number the positions along the normal; planes at one position have one number."""
    along_mm = np.array([p.position_lps_mm for p in planes], dtype=np.float64) @ normal_of(planes)
    order = np.argsort(along_mm, kind="stable")
    steps = np.diff(along_mm[order]) > SPACING_TOLERANCE * min(planes[0].spacing_mm or (1.0,))
    numbers = np.empty(len(planes), dtype=int)
    numbers[order] = np.concatenate([[0], np.cumsum(steps)])
    return numbers.tolist()


def _told_apart(values: Sequence[Any], places: Sequence[int], by_rank: bool) -> list[int] | None:
    """Group planes by a fact that tells those of one position apart, or None where it does not (see above)."""
    if None in values or len(set(values)) < 2:
        return None
    crowd = Counter(places)
    distinct = sorted(set(values))
    if len(distinct) <= max(crowd.values()):
        return [distinct.index(value) for value in values]
    if not by_rank or len(set(crowd.values())) > 1 or len(set(zip(places, values, strict=True))) < len(values):
        return None
    order = sorted(range(len(values)), key=lambda i: values[i])
    seen: Counter[int] = Counter()
    ranks = [0] * len(values)
    for i in order:
        ranks[i] = seen[places[i]]
        seen[places[i]] += 1
    return ranks
