"""Volumes to DICOM: derived series beside their source, series of a NIfTI scan, synthetic series."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.io.dicom_out.derived import write_derived
    from medidiff.io.dicom_out.dicomdir import write_dicomdir
    from medidiff.io.dicom_out.records import Derivation, Standalone, Synthesis
    from medidiff.io.dicom_out.standalone import write_standalone
    from medidiff.io.dicom_out.synthetic import write_synthetic

__all__ = [
    "Derivation",
    "Standalone",
    "Synthesis",
    "write_derived",
    "write_dicomdir",
    "write_standalone",
    "write_synthetic",
]

_HOME = {
    "Derivation": "records",
    "Standalone": "records",
    "Synthesis": "records",
    "write_derived": "derived",
    "write_dicomdir": "dicomdir",
    "write_standalone": "standalone",
    "write_synthetic": "synthetic",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: the records need no pydicom, the writers do."""
    if name not in _HOME:
        raise AttributeError(f"module 'medidiff.io.dicom_out' has no attribute {name!r}")
    return getattr(importlib.import_module(f"medidiff.io.dicom_out.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
