"""The planes of one series apart into volumes.

What separates planes always: matrix, pixel spacing (1%), orientation (1e-3 on the direction cosines), image type (its
third value, and words with a known meaning behind it, such as phase or water), frame of reference, echo (number, and
time beyond rounding), inversion time, b-value and gradient direction, stack. One exception, for files that carry such a
fact slice by slice: where it would leave single planes only, three or more, all in different places, it separates
nothing (the caller is told, and warns).

What separates planes only where positions repeat stands in `repeats`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

from medidiff.io.dicom.clusters import clusters
from medidiff.io.dicom.model import Plane
from medidiff.io.dicom.part_names import echo_name, gradient_names, orientation_names, telling_type, type_names
from medidiff.io.dicom.parts import Groups, Part, gather
from medidiff.io.dicom.repeats import split_repeats
from medidiff.io.dicom.stacking import SPACING_TOLERANCE

ORIENTATION_TOLERANCE = 1e-3
_ECHO_TIME_TOLERANCE_MS = 0.01
_INVERSION_TOLERANCE_MS = 0.5
_B_TOLERANCE = 0.5


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
    return [found for one in parts for found in split_repeats(one)]


def _split_all(parts: list[Part], rules: Sequence[tuple[str, Callable[[Sequence[Plane]], Groups]]]) -> list[Part]:
    for kind, rule in rules:
        parts = [found for part in parts for found in _split(part, kind, rule)]
    return parts


def _split(part: Part, kind: str, rule: Callable[[Sequence[Plane]], Groups]) -> list[Part]:
    groups = rule(part.planes)
    if len(groups) == 1:
        return [part]
    if kind not in ("matrix", "spacing", "orientation") and _is_slice_by_slice(part.planes, groups):
        return [Part(part.names, part.planes, (*part.caveats, f"the {kind} differs from slice to slice"))]
    return [Part((*part.names, (kind, name)), tuple(planes), part.caveats) for name, planes in _unique(groups)]


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


def _by_matrix(planes: Sequence[Plane]) -> Groups:
    return gather(planes, [(p.columns, p.rows) for p in planes], lambda size: f"{size[0]} x {size[1]}")


def _by_image_type(planes: Sequence[Plane]) -> Groups:
    types = [telling_type(p.facts.image_type) for p in planes]
    names = type_names(sorted(set(types)))
    return gather(planes, types, lambda image_type: names[image_type])


def _by_spacing(planes: Sequence[Plane]) -> Groups:
    spacings = [p.spacing_mm for p in planes]
    groups = clusters([None if s is None else (math.log(s[0]), math.log(s[1])) for s in spacings], SPACING_TOLERANCE)
    size = {group: s for group, s in zip(groups, spacings, strict=True) if s is not None}
    return gather(planes, groups, lambda group: f"pixels of {size[group][1]:.3g} x {size[group][0]:.3g} mm")


def _by_orientation(planes: Sequence[Plane]) -> Groups:
    groups = clusters([p.orientation_lps for p in planes], ORIENTATION_TOLERANCE)
    names = orientation_names({g: p.orientation_lps for g, p in zip(groups, planes, strict=True)})
    return gather(planes, groups, lambda group: names[group])


def _by_frame_of_reference(planes: Sequence[Plane]) -> Groups:
    """Positions of one frame cannot continue those of another. A frame for each image says nothing: files whose UIDs
    were all replaced, one by one."""
    frames = [p.facts.frame_of_reference_uid for p in planes]
    if len(planes) > 2 and len(set(frames)) == len(planes):
        return [("", list(planes))]
    order = {frame: i + 1 for i, frame in enumerate(sorted(set(frames)))}
    return gather(planes, [order[frame] for frame in frames], lambda number: f"frame of reference {number}")


def _by_echo(planes: Sequence[Plane]) -> Groups:
    times = clusters([_one(p.facts.echo_time_ms) for p in planes], _ECHO_TIME_TOLERANCE_MS)
    keys = [(time, p.facts.echo_number or "") for time, p in zip(times, planes, strict=True)]
    example = dict(zip(keys, planes, strict=True))
    return gather(planes, keys, lambda key: echo_name(example[key].facts.echo_number, example[key].facts.echo_time_ms))


def _by_inversion(planes: Sequence[Plane]) -> Groups:
    groups = clusters([_one(p.facts.inversion_time_ms) for p in planes], _INVERSION_TOLERANCE_MS)
    time = {group: p.facts.inversion_time_ms for group, p in zip(groups, planes, strict=True)}
    return gather(planes, groups, lambda g: "no inversion" if time[g] is None else f"inversion {time[g]:.5g} ms")


def _by_diffusion(planes: Sequence[Plane]) -> Groups:
    shells = clusters([_one(p.facts.b_value_s_per_mm2) for p in planes], _B_TOLERANCE)
    directions = clusters([p.facts.gradient_lps for p in planes], ORIENTATION_TOLERANCE)
    keys = list(zip(shells, directions, strict=True))
    names = gradient_names({key: p.facts.b_value_s_per_mm2 for key, p in zip(keys, planes, strict=True)})
    return gather(planes, keys, lambda key: names[key])


def _by_stack(planes: Sequence[Plane]) -> Groups:
    stacks = [p.facts.stack_id or "" for p in planes]
    order = {stack: i + 1 for i, stack in enumerate(sorted(set(stacks)))}
    return gather(planes, [order[stack] for stack in stacks], lambda number: f"stack {number}")


def _one(value: float | None) -> tuple[float] | None:
    return None if value is None else (value,)
