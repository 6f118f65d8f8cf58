"""Everything that a folder, a zip, a DICOMDIR or a file holds: candidates for volumes, and why the rest is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from medidiff.io.dicom.files import find_files
from medidiff.io.dicom.group import candidates_of, group_series, unsortable
from medidiff.io.dicom.header import Header, read_header
from medidiff.io.dicom.lost import LostSlices, without_shells
from medidiff.io.dicom.model import Candidate, DicomScan, FileNote, FileRef
from medidiff.io.identity.redact import redact_path
from medidiff.io.identity.salvage import salvage_from


def scan_dicom(root: Path, *, progress: Callable[[int, int], None] | None = None, keep_ids: bool = False) -> DicomScan:
    """Read every header below `root` and group what belongs together. No pixels are read.

    Nothing that a file holds stops the scan: a damaged file becomes a note or a refused candidate.

    Args:
        root: A folder (all below it), a zip, a DICOMDIR, or one file.
        progress: Called with the number of files read and their total.
        keep_ids: Leave names and numbers of patients in the labels of files.

    Returns:
        All candidates, those that are refused and those that never were a volume included.

    Raises:
        InputError: `root` is not there, holds no files, or is a damaged zip or DICOMDIR.
    """
    root = Path(root)
    files = find_files(root)
    headers: list[Header] = []
    notes: list[FileNote] = []
    for count, file in enumerate(files, start=1):
        found = read_header(file)
        if isinstance(found, Header):
            headers.append(found)
        else:
            notes.append(found)
        if progress is not None:
            progress(count, len(files))
    identifiers = frozenset[str]().union(*(header.identifiers for header in headers))
    identifiers |= frozenset[str]().union(*(salvage_from(note.file) for note in notes if note.kind == "damaged"))
    headers, notes = without_shells(headers, notes)
    if not keep_ids:
        headers, notes = _redacted(headers, notes, identifiers)
    lost = LostSlices(headers, notes)
    candidates = [candidate for series in group_series(headers) for candidate in lost.judge(_candidates(series))]
    return DicomScan(root, _ordered(candidates), tuple(notes), len(files), identifiers)


def _candidates(headers: Sequence[Header]) -> list[Candidate]:
    """The candidates of one series; values that nobody foresaw make it a refused one, and leave the others alone."""
    try:
        return candidates_of(headers)
    except Exception:  # noqa: BLE001  headers can say anything, and one series must not stop a scan of thousands
        return [unsortable(headers)]


def _redacted(
    headers: Sequence[Header], notes: Sequence[FileNote], identifiers: Iterable[str]
) -> tuple[list[Header], list[FileNote]]:
    """The same with labels that name nobody."""
    identifiers = frozenset(identifiers)

    def renamed(file: FileRef) -> FileRef:
        label = redact_path(file.label, identifiers)
        return file if label == file.label else replace(file, label=label)

    new_headers = []
    for header in headers:
        file = renamed(header.file)
        if file is not header.file:
            header = replace(header, file=file, planes=tuple(replace(plane, file=file) for plane in header.planes))
        new_headers.append(header)
    return new_headers, [replace(note, file=renamed(note.file)) for note in notes]


def _ordered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """By patient, study, series; within a series as they come."""

    def key(candidate: Candidate) -> tuple[str, str, float, str]:
        series = candidate.series
        number = float("inf") if series.number is None else series.number
        return series.patient_id, series.study_uid, number, series.series_uid

    return tuple(sorted(candidates, key=key))
