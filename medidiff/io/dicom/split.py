"""The planes of one series apart into volumes.

What separates planes always: matrix, pixel spacing (1%), orientation (1e-3 on the direction cosines), image type (its
third value, and words with a known meaning behind it, such as phase or water), frame of reference, echo (number, and
time beyond rounding), inversion time, b-value and gradient direction, stack. One exception, for files that carry such a
fact slice by slice: where it would leave single planes only, three or more, all in different places, it separates
nothing (the caller is told, and warns).

What separates planes only where positions repeat: the whole image type, coil, temporal position, acquisition
number, trigger time, acquisition time, tried in this order. Within one volume these often change from slice to slice
(an acquisition number that counts CT slices, the moment at which each slice was measured), so they mean something only
as the answer to the question which of several planes at one position belong together:

- by value, where there are at most as many values as planes at the most crowded position: each value is one volume;
- else, for a time, by rank, where every position has equally many planes and no two of one position agree: the k-th of
  every position are one volume (trigger and acquisition times jitter or run on from slice to slice).

What one fact leaves together is tried with the others. Instance numbers are never asked. What stays unexplained is left
together, and refused for its duplicate positions by `stacking`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medidiff.io.dicom.clusters import clusters
from medidiff.io.dicom.model import Plane
from medidiff.io.dicom.part_names import echo_name, gradient_names, orientation_names, telling_type, type_names
from medidiff.io.dicom.stacking import SPACING_TOLERANCE, normal_of

ORIENTATION_TOLERANCE = 1e-3
_ECHO_TIME_TOLERANCE_MS = 0.01
_INVERSION_TOLERANCE_MS = 0.5
_B_TOLERANCE = 0.5
_TIME_DIGITS, _EARLY, _LATE = 6, "06", "18"  # hhmmss; hours between which no scan lasts over midnight
_DEEPEST = 2  # facts that are combined to tell planes of one position apart


@dataclass(frozen=True)
class Part:
    """Planes of one series that belong together.

    Args:
        names: What sets them apart from the others, by kind, outermost first.
        planes: In no order.
        over_time: Whether a time sets them apart, or a b-value: then `names` without these is common to a 4D scan.
        varying: Facts that differ from slice to slice and were not used.
    """

    names: tuple[tuple[str, str], ...]
    planes: tuple[Plane, ...]
    varying: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Names of all kinds in one line."""
        return ", ".join(name for _, name in self.names)

    @property
    def scan_name(self) -> str:
        """The name without time and b-value: common to the volumes of one 4D scan."""
        return ", ".join(name for kind, name in self.names if kind not in ("time", "diffusion"))


Groups = list[tuple[str, list[Plane]]]


def split_by_kind(part: Part) -> list[Part]:
    """Split by matrix and image type, which planes without a place in space have as well."""
    return _split_all([part], (("matrix", _by_matrix), ("type", _by_image_type)))


def split_by_geometry(part: Part) -> list[Part]:
    """Split by pixel spacing and orientation.

    Args:
        part: Whose planes all have both.
    """
    return _split_all([part], (("spacing", _by_spacing), ("orientation", _by_orientation)))


def split_by_contrast(part: Part) -> list[Part]:
    """Split by frame of reference, echo, inversion time, diffusion and stack, then by time where positions repeat."""
    parts = _split_all(
        [part],
        (
            ("frame of reference", _by_frame_of_reference),
            ("echo", _by_echo),
            ("inversion time", _by_inversion),
            ("diffusion", _by_diffusion),
            ("stack", _by_stack),
        ),
    )
    return [found for one in parts for found in _split_repeats(one, tuple(_REPEATS), _DEEPEST)]


def _split_all(parts: list[Part], rules: Sequence[tuple[str, Callable[[Sequence[Plane]], Groups]]]) -> list[Part]:
    for kind, rule in rules:
        parts = [found for part in parts for found in _split(part, kind, rule)]
    return parts


def _split(part: Part, kind: str, rule: Callable[[Sequence[Plane]], Groups]) -> list[Part]:
    groups = rule(part.planes)
    if len(groups) == 1:
        return [part]
    if kind not in ("matrix", "spacing", "orientation") and _is_slice_by_slice(part.planes, groups):
        return [Part(part.names, part.planes, (*part.varying, kind))]
    return [Part((*part.names, (kind, name)), tuple(planes), part.varying) for name, planes in _unique(groups)]


def _is_slice_by_slice(planes: Sequence[Plane], groups: Groups) -> bool:
    if len(planes) < 3 or len(groups) < len(planes):
        return False
    places = {plane.position_lps_mm for plane in planes}
    directions = {plane.orientation_lps for plane in planes}
    return None not in places and len(places) == len(planes) and len(directions) == 1


def _unique(groups: Groups) -> Groups:
    seen: Counter[str] = Counter()
    total = Counter(name for name, _ in groups)
    named: Groups = []
    for name, planes in groups:
        seen[name] += 1
        named.append((f"{name} ({seen[name]})" if total[name] > 1 else name, planes))
    return named


def _gather(planes: Sequence[Plane], keys: Sequence[Any], name: Callable[[Any], str]) -> Groups:
    """Planes by key, in the order of the keys."""
    groups: dict[Any, list[Plane]] = defaultdict(list)
    for plane, key in zip(planes, keys, strict=True):
        groups[key].append(plane)
    return [(name(key), groups[key]) for key in sorted(groups)]


def _by_matrix(planes: Sequence[Plane]) -> Groups:
    return _gather(planes, [(p.columns, p.rows) for p in planes], lambda size: f"{size[0]} x {size[1]}")


def _by_image_type(planes: Sequence[Plane]) -> Groups:
    types = [telling_type(p.facts.image_type) for p in planes]
    names = type_names(sorted(set(types)))
    return _gather(planes, types, lambda image_type: names[image_type])


def _by_spacing(planes: Sequence[Plane]) -> Groups:
    spacings = [p.spacing_mm for p in planes]
    groups = clusters([None if s is None else (math.log(s[0]), math.log(s[1])) for s in spacings], SPACING_TOLERANCE)
    size = {group: s for group, s in zip(groups, spacings, strict=True) if s is not None}
    return _gather(planes, groups, lambda group: f"pixels of {size[group][1]:.3g} x {size[group][0]:.3g} mm")


def _by_orientation(planes: Sequence[Plane]) -> Groups:
    groups = clusters([p.orientation_lps for p in planes], ORIENTATION_TOLERANCE)
    names = orientation_names({g: p.orientation_lps for g, p in zip(groups, planes, strict=True)})
    return _gather(planes, groups, lambda group: names[group])


def _by_frame_of_reference(planes: Sequence[Plane]) -> Groups:
    """Positions of one frame cannot continue those of another. A frame for each image says nothing: files whose UIDs
    were all replaced, one by one."""
    frames = [p.facts.frame_of_reference_uid for p in planes]
    if len(planes) > 2 and len(set(frames)) == len(planes):
        return [("", list(planes))]
    order = {frame: i + 1 for i, frame in enumerate(sorted(set(frames)))}
    return _gather(planes, [order[frame] for frame in frames], lambda number: f"frame of reference {number}")


def _by_echo(planes: Sequence[Plane]) -> Groups:
    times = clusters([_one(p.facts.echo_time_ms) for p in planes], _ECHO_TIME_TOLERANCE_MS)
    keys = [(time, p.facts.echo_number or "") for time, p in zip(times, planes, strict=True)]
    example = dict(zip(keys, planes, strict=True))
    return _gather(planes, keys, lambda key: echo_name(example[key].facts.echo_number, example[key].facts.echo_time_ms))


def _by_inversion(planes: Sequence[Plane]) -> Groups:
    groups = clusters([_one(p.facts.inversion_time_ms) for p in planes], _INVERSION_TOLERANCE_MS)
    time = {group: p.facts.inversion_time_ms for group, p in zip(groups, planes, strict=True)}
    return _gather(planes, groups, lambda g: "no inversion" if time[g] is None else f"inversion {time[g]:.5g} ms")


def _by_diffusion(planes: Sequence[Plane]) -> Groups:
    shells = clusters([_one(p.facts.b_value_s_per_mm2) for p in planes], _B_TOLERANCE)
    directions = clusters([p.facts.gradient_lps for p in planes], ORIENTATION_TOLERANCE)
    keys = list(zip(shells, directions, strict=True))
    names = gradient_names({key: p.facts.b_value_s_per_mm2 for key, p in zip(keys, planes, strict=True)})
    return _gather(planes, keys, lambda key: names[key])


def _by_stack(planes: Sequence[Plane]) -> Groups:
    stacks = [p.facts.stack_id or "" for p in planes]
    order = {stack: i + 1 for i, stack in enumerate(sorted(set(stacks)))}
    return _gather(planes, [order[stack] for stack in stacks], lambda number: f"stack {number}")


def _one(value: float | None) -> tuple[float] | None:
    return None if value is None else (value,)


# Planes at one position -----------------------------------------------------------------------------------------------

_REPEATS: dict[str, tuple[str, Callable[[Plane], Any]]] = {
    "type": ("type", lambda p: p.facts.image_type),
    "coil": ("coil", lambda p: p.facts.coil),
    "time": ("time", lambda p: p.facts.temporal_position),
    "acquisition": ("time", lambda p: p.facts.acquisition_number),
    "phase": ("time", lambda p: p.facts.trigger_time_ms),
    "moment": ("time", lambda p: p.facts.acquisition_time),
}


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
            Part((*part.names, (kind, f"{fact} {number}")), tuple(planes), part.varying)
            for number, planes in enumerate(_members(part.planes, groups), start=1)
        ]
        parts = [found for one in parts for found in _split_repeats(one, facts[:i] + facts[i + 1 :], depth - 1)]
        resolved = sum(not _has_repeats(one) for one in parts)
        if resolved == len(parts):
            return parts
        if 2 * resolved >= len(parts) and not best:
            best = parts
    return best or [part]


def _may_pass_midnight(moments: Sequence[str | None]) -> bool:
    """Whether times without a date may begin again at zero: then later is not larger."""
    hours = [moment[:2] for moment in moments if moment and len(moment.partition(".")[0]) <= _TIME_DIGITS]
    return bool(hours) and min(hours) < _EARLY <= _LATE <= max(hours)


def _has_repeats(part: Part) -> bool:
    return max(Counter(_places(part.planes)).values()) > 1


def _members(planes: Sequence[Plane], groups: Sequence[int]) -> list[list[Plane]]:
    return [planes for _, planes in _gather(planes, groups, str)]


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
