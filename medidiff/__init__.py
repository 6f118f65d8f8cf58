"""medidiff: one 3D diffusion prior cleans noisy scans and samples new ones. Research use only, not a medical device."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.io.dicom.read import read_dicom
    from medidiff.io.dicom.scan import scan_dicom
    from medidiff.io.nifti import read_nifti, write_nifti
    from medidiff.result import Result
    from medidiff.tasks import denoise, inpaint, insert, synthesise
    from medidiff.volume import Volume

__version__ = "0.1.0"
__all__ = [
    "Result",
    "Volume",
    "__version__",
    "denoise",
    "inpaint",
    "insert",
    "read_dicom",
    "read_nifti",
    "scan_dicom",
    "synthesise",
    "write_nifti",
]

_HOME = {
    "denoise": "medidiff.tasks",
    "inpaint": "medidiff.tasks",
    "insert": "medidiff.tasks",
    "synthesise": "medidiff.tasks",
    "Volume": "medidiff.volume",
    "Result": "medidiff.result",
    "read_dicom": "medidiff.io.dicom.read",
    "read_nifti": "medidiff.io.nifti",
    "scan_dicom": "medidiff.io.dicom.scan",
    "write_nifti": "medidiff.io.nifti",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import medidiff` stays instant and free of torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'medidiff' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
