"""A 4D NIfTI file that becomes DICOM: each of its volumes is a scan of its own, as DICOM series are."""

from __future__ import annotations

from dataclasses import replace

from medidiff.cli.discover import Found
from medidiff.cli.sources import NiftiSource, Source
from medidiff.errors import MedidiffError


def frames_apart(found: Found) -> Found:
    """The same scans, 4D files as their volumes.

    Args:
        found: NIfTI files.

    Raises:
        MedidiffError: The only scan cannot be read, or is 4D and --4d does not allow it.
    """
    sources: list[Source] = [one for source in found.sources for one in _frames(source, found.many)]
    return replace(found, sources=tuple(sources), many=found.many or len(sources) > 1)


def _frames(source: Source, many: bool) -> list[Source]:
    if not isinstance(source, NiftiSource):
        return [source]
    try:
        frames = source.frames
    except MedidiffError:
        if not many:
            raise
        return [source]  # its turn comes: then it is told, and the other files go on
    return [source] if frames == 1 else [replace(source, frame=frame) for frame in range(frames)]
