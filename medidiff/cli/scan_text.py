"""`medidiff scan` for the terminal: a table a study, what was set aside below it, a summary."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from medidiff.cli.scan_listing import Listing, plane_of, some, spacing_of
from medidiff.cli.scan_nifti import NiftiEntry
from medidiff.io.dicom.contrast import contrast_of
from medidiff.io.dicom.model import REFUSALS, Candidate

_COLUMNS = 100
_WIDEST_CELL = 26
_WIDEST_FILE, _FILE_HEAD = 44, 10
_NAMED_FILES = 5
_NAMED_SERIES = 12
_HEAD = ("ID", "SERIES", "WHAT", "PLANE", "SLICES", "MATRIX", "SPACING MM", "STATUS")
_NIFTI_HEAD = ("FILE", "GRID", "SPACING MM", "STATUS")

_SHORT_PLANE = {"axial": "ax", "coronal": "cor", "sagittal": "sag", "": "-"}

Row = tuple[str, ...]


def lines_of(listing: Listing) -> list[str]:
    """Everything, for a terminal of 100 columns."""
    groups: dict[tuple[int, int], list[Candidate]] = {}
    for one in listing.candidates:
        groups.setdefault(listing.ordinals[one.id], []).append(one)
    tables = {ordinals: _table(group, listing) for ordinals, group in sorted(groups.items())}
    rows_of_all = [row for rows, _ in tables.values() for row in rows]
    widths = _widths([_HEAD, *rows_of_all])
    lines = [f"{listing.name}: {_n(listing.files, 'file')}"]
    if rows_of_all:
        lines += ["", *_aligned([_HEAD], [""], widths)]
    for (patient, study), (rows, below) in tables.items():
        group = groups[patient, study]
        lines += ["", f"Patient {patient}, study {study}{_who(group[0], listing)}", *_aligned(rows, below, widths)]
        lines += _set_aside(group)
    if listing.nifti:
        lines += ["", "NIfTI files", *_nifti_table(listing.nifti)]
    return [*lines, "", *_summary(listing)]


def _who(one: Candidate, listing: Listing) -> str:
    if not listing.keep_ids:
        return ""
    return f" ({', '.join(filter(None, (one.series.patient_id, *one.series.patient_names)))})"


def _table(group: Sequence[Candidate], listing: Listing) -> tuple[list[Row], list[str]]:
    """Rows, and what stands below each. The frames of a 4D scan, which can be hundreds, are one row."""
    shown = [one for one in group if one.status != "not a volume"]
    rows: list[Row] = []
    below: list[str] = []
    told: set[str] = set()
    for one in shown:
        own_id = listing.listed_id(one)
        if own_id not in told:
            told.add(own_id)
            row, left_over = _row(one, own_id, listing.frames(one), listing)
            rows.append(row)
            below.append(" ".join(filter(None, [left_over, str(one.refusal) if one.refusal else ""])))
    return rows, below


def _row(one: Candidate, own_id: str, frames: int, listing: Listing) -> tuple[Row, str]:
    """The row, and what of it is too long to stand in it."""
    first = " ".join(filter(None, (one.series.modality or "?", one.series.body_part)))
    part = f"4D, {frames} volumes" if frames > 1 else one.part
    contrast = contrast_of(one)
    more = [part, one.series.description if listing.keep_ids else ""]
    named = " ".join(filter(None, (first, contrast)))
    ways = (([named, *more], []), ([named], more), ([first], [contrast, *more]))
    told = [tuple(listing.safe(", ".join(filter(None, words))) for words in way) for way in ways]
    what, left_over = next((way for way in told if len(way[0]) <= _WIDEST_CELL), told[-1])
    what = what[:_WIDEST_CELL]
    columns, rows, slices = one.stacking.shape if one.stacking else _of_planes(one)
    row = (
        own_id,
        "-" if one.series.number is None else str(one.series.number),
        what,
        _SHORT_PLANE[plane_of(one)],
        str(slices),
        f"{columns}x{rows}" if columns else "-",
        _mm(spacing_of(one)) if one.stacking else "-",
        "volume" if one.refusal is None else "refused",
    )
    return row, f"{left_over}." if left_over else ""


def _mm(spacing: Sequence[float]) -> str:
    return "x".join(f"{s:.3g}" for s in spacing)


def _of_planes(one: Candidate) -> tuple[int, int, int]:
    first = one.planes[0] if one.planes else None
    return (first.columns, first.rows, len(one.planes)) if first else (0, 0, one.files)


def _set_aside(group: Sequence[Candidate]) -> list[str]:
    """What is no volume, one line a reason: there can be hundreds of reports."""
    reasons: dict[tuple[str, str], list[Candidate]] = {}
    for one in group:
        if one.refusal is not None and one.status == "not a volume":
            reasons.setdefault((one.refusal.code, one.series.modality), []).append(one)
    lines: list[str] = []
    for (code, modality), ones in reasons.items():
        numbers = [str(one.series.number) for one in ones if one.series.number is not None]
        series = f", series {some(numbers, _NAMED_SERIES)}" if numbers else ""
        remedies = {one.refusal.remedy for one in ones if one.refusal}
        remedy = f" {remedies.pop()}" if len(remedies) == 1 else ""
        lines += _wrapped(f"set aside: {modality or 'no modality'}{series}: {REFUSALS[code]}.{remedy}".rstrip(), "  ")
    return lines


def _nifti_table(entries: Sequence[NiftiEntry]) -> list[str]:
    rows: list[Row] = [_NIFTI_HEAD]
    below = [""]
    for one in entries:
        rows.append((_shortened(one.file), one.grid, _mm(one.spacing_mm) or "-", one.status))
        below.append(one.problem)
    return _aligned(rows, below, _widths(rows))


def _shortened(name: str) -> str:
    """A long path without its middle: the end tells more than the beginning."""
    tail = _WIDEST_FILE - _FILE_HEAD - 3
    return name if len(name) <= _WIDEST_FILE else f"{name[:_FILE_HEAD]}...{name[-tail:]}"


def _summary(listing: Listing) -> list[str]:
    lines = []
    counts = Counter(one.status for one in listing.candidates)
    if listing.candidates:
        lines.append(
            f"DICOM: {_n(counts['volume'], 'volume')} can be read, {counts['refused']} refused, "
            f"{counts['not a volume']} set aside, of {_n(listing.patients, 'patient')} in "
            f"{_n(listing.studies, 'study', 'studies')}."
        )
    if listing.nifti:
        bad = sum(bool(one.problem) for one in listing.nifti)
        lines.append(f"NIfTI: {_n(len(listing.nifti) - bad, 'file')} can be read, {bad} cannot.")
    kinds: dict[str, list[str]] = {}
    for note in listing.notes:
        kinds.setdefault(note.kind, []).append(listing.safe(note.file.label))
    for kind, labels in kinds.items():
        lines += _wrapped(f"{_n(len(labels), 'other file')}, {kind}: {some(labels, _NAMED_FILES)}.")
    return lines


def _widths(rows: Sequence[Row]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _aligned(rows: Sequence[Row], below: Sequence[str], widths: Sequence[int]) -> list[str]:
    lines: list[str] = []
    for row, text in zip(rows, below, strict=True):
        lines.append("  " + "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip())
        lines += _wrapped(text, " " * 6) if text else []
    return lines


def _wrapped(text: str, indent: str = "") -> list[str]:
    more = indent + "  "
    return textwrap.wrap(
        text, _COLUMNS, initial_indent=indent, subsequent_indent=more, break_long_words=False, break_on_hyphens=False
    )


def _n(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
