"""Images that are in a folder twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from medidiff.errors import InputError
from medidiff.io.dicom.files import open_file
from medidiff.io.dicom.model import FileRef, Plane

_NOWHERE = FileRef(Path())
_BLOCK_BYTES = 1 << 20


def without_copies(planes: Sequence[Plane]) -> tuple[tuple[Plane, ...], tuple[str, ...]]:
    """Count what is there twice once.

    Planes with one SOP Instance UID and one frame number are one if they agree in all that the header says and in
    the bytes of their pixels. Where they do not agree, somebody used the UID twice: both stay.

    Returns:
        The planes that remain, in their order, and what to tell.
    """
    seen: dict[tuple[str, int], list[Plane]] = defaultdict(list)
    kept, copies, clashes = [], 0, 0
    for plane in planes:
        same_uid = seen[plane.sop_instance, plane.frame] if plane.sop_instance else []
        if any(_same_header(plane, other) and _same_pixels(plane, other) for other in same_uid):
            copies += 1
            continue
        clashes += bool(same_uid)
        same_uid.append(plane)
        kept.append(plane)
    notes = []
    if copies:
        notes.append(f"{_images(copies)} found twice and counted once")
    if clashes:
        notes.append(f"{_images(clashes)} with the SOP Instance UID of another one, but not its copy")
    return tuple(kept), tuple(notes)


def _same_header(plane: Plane, other: Plane) -> bool:
    return _content(plane) == _content(other)


def _content(plane: Plane) -> Plane:
    return replace(plane, file=_NOWHERE, data_offset=None, form=replace(plane.form, transfer_syntax=""))


def _same_pixels(plane: Plane, other: Plane) -> bool:
    """By their bytes where they lie open in both files, else by all bytes of the files."""
    if plane.file == other.file:
        return False
    whole = plane.data_offset is None or other.data_offset is None
    digest = _digest(plane, whole)
    return digest is not None and digest == _digest(other, whole)


def _digest(plane: Plane, whole: bool) -> bytes | None:
    size = None if whole else plane.rows * plane.columns * plane.form.samples * plane.form.bits_allocated // 8
    digest = hashlib.sha256()
    try:
        with open_file(plane.file) as stream:
            if size is None:
                while block := stream.read(_BLOCK_BYTES):
                    digest.update(block)
            else:
                stream.seek(plane.data_offset or 0)
                digest.update(stream.read(size))
    except InputError:
        return None
    return digest.digest()


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"
