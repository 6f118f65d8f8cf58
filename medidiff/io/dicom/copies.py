"""Files that are in a folder twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medidiff.io.dicom.model import FileRef, Plane

_NOWHERE = FileRef(Path())


def without_copies(planes: Sequence[Plane]) -> tuple[tuple[Plane, ...], tuple[str, ...]]:
    """Count what is there twice once.

    Planes with one SOP Instance UID and one frame number that agree in everything the header says are one. Where they
    do not agree, somebody used the UID twice: both stay.

    Returns:
        The planes that remain, in their order, and what to tell.
    """
    seen: dict[tuple[str, int], list[Plane]] = defaultdict(list)
    kept, copies, clashes = [], 0, 0
    for plane in planes:
        same_uid = seen[plane.sop_instance, plane.frame] if plane.sop_instance else []
        content = replace(plane, file=_NOWHERE, data_offset=None, form=replace(plane.form, transfer_syntax=""))
        if content in same_uid:
            copies += 1
            continue
        clashes += bool(same_uid)
        same_uid.append(content)
        kept.append(plane)
    notes = []
    if copies:
        notes.append(f"{copies} images are in there twice and are counted once")
    if clashes:
        notes.append(f"{clashes} images share their SOP Instance UID with another one and differ from it")
    return tuple(kept), tuple(notes)
