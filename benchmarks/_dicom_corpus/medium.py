"""A CD: a DICOMDIR and files named by its rules."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Sequence
from pathlib import Path


def make_medium(folder: Path, paths: Sequence[Path]) -> None:
    """Copy files onto a medium.

    Args:
        folder: Of the medium, made here.
        paths: DICOM files.
    """
    from pydicom.fileset import FileSet

    medium = FileSet()
    for path in paths:
        medium.add(path)
    medium.write(folder)
    with warnings.catch_warnings():  # its temporary folder goes with it, which Python calls careless
        warnings.simplefilter("ignore", ResourceWarning)
        del medium
        gc.collect()
