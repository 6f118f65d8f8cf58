"""Thick slices on a finer grid, the new ones marked as not measured."""

from __future__ import annotations

from dataclasses import replace

from medidiff.errors import GeometryError, UsageError
from medidiff.io.dicom.model import Assembled


def put_slices_between(scan: Assembled, spacing_mm: float) -> Assembled:
    """A scan whose slices are so far apart.

    Args:
        scan: Its missing slices stay missing.
        spacing_mm: Distance between slices to reach.

    Raises:
        GeometryError: This scan's slices do not allow it.
    """
    from medidiff.tasks.slices import PROFILE_WARNING, insert_slices

    try:
        volume, new = insert_slices(scan.volume, spacing_mm)
    except UsageError as error:  # depends on the scan: the next one of a folder may do
        raise GeometryError(f"--{str(error).replace('target spacing', 'target-spacing', 1)}") from error
    steps = (volume.shape[2] - 1) // (scan.volume.shape[2] - 1)
    missing = sorted({*new, *(k * steps for k in scan.missing)})
    return replace(scan, volume=volume, missing=tuple(missing), notes=(*scan.notes, PROFILE_WARNING))
