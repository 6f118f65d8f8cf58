"""A DICOMDIR: the files that it lists, found below its folder and nowhere else."""

from __future__ import annotations

import os
import re
import warnings
from functools import lru_cache
from pathlib import Path

from medidiff.errors import InputError
from medidiff.io.dicom.model import FileRef

_DIRECTORY_CLASS = re.compile(rb"1\.2\.840\.10008\.1\.3\.10(?![0-9.])")
_MAX_BYTES = 1 << 28


def is_dicomdir(head: bytes) -> bool:
    """Whether a file that begins so (512 bytes are enough) is a DICOMDIR: by its class, whatever its name."""
    return head[128:132] == b"DICM" and _DIRECTORY_CLASS.search(head) is not None


def referenced_files(path: Path) -> list[FileRef]:
    """The files that a DICOMDIR lists, upper and lower case alike; one that is not there is returned all the same.

    Raises:
        InputError: Damaged, or it lists no files.
    """
    folder = path.parent
    files: dict[str, FileRef] = {}
    for parts in _references(path):
        label = "/".join(parts)
        files[label] = FileRef(_resolve(folder, parts), label=label)
    if not files:
        raise InputError(f"{path}: a DICOMDIR that lists no files. Give its folder.")
    return list(files.values())


def _references(path: Path) -> list[tuple[str, ...]]:
    import pydicom

    if path.stat().st_size > _MAX_BYTES:
        raise InputError(f"{path}: a DICOMDIR of more than {_MAX_BYTES >> 20} MiB. Give its folder.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom comments on names that break the standard's rules
            records = pydicom.dcmread(path).get("DirectoryRecordSequence") or []
            listed = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # pydicom meets damage in many ways
        raise InputError(f"{path}: a damaged DICOMDIR. Give its folder.") from error
    references = [(entry,) if isinstance(entry, str) else tuple(map(str, entry)) for entry in listed if entry]
    return [parts for parts in references if all(parts)]


def _resolve(folder: Path, parts: tuple[str, ...]) -> Path:
    """Step by step through what is there, so that no reference can lead out of the folder."""
    path = folder
    for part in parts:
        names = _names(path)
        # What is not there keeps its place, without what would lead elsewhere.
        name = names.get(part.casefold()) or names.get(part.casefold() + ".dcm") or _harmless(part)
        path = path / name
    return path


@lru_cache(maxsize=256)
def _names(folder: Path) -> dict[str, str]:
    try:
        return {name.casefold(): name for name in sorted(os.listdir(folder), reverse=True)}
    except OSError:
        return {}


def _harmless(part: str) -> str:
    cleaned = "".join(c if c.isalnum() or c in "-_" else "_" for c in part)
    return f"{cleaned[:64]}.absent"
