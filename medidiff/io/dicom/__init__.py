"""DICOM in and out: a tree of mixed files to volumes with their place in space, and volumes to derived series."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.io.dicom.files import find_files, looks_like_dicom
    from medidiff.io.dicom.read import read_candidate, read_dicom
    from medidiff.io.dicom.scan import scan_dicom

__all__ = ["find_files", "looks_like_dicom", "read_candidate", "read_dicom", "scan_dicom"]

_HOME = {
    "find_files": "files",
    "looks_like_dicom": "files",
    "read_candidate": "read",
    "read_dicom": "read",
    "scan_dicom": "scan",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: pydicom and nibabel take their time."""
    if name not in _HOME:
        raise AttributeError(f"module 'medidiff.io.dicom' has no attribute {name!r}")
    return getattr(importlib.import_module(f"medidiff.io.dicom.{_HOME[name]}"), name)
