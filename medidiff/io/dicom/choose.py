"""Which of the volumes that were found is meant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from medidiff.errors import InputError, UsageError
from medidiff.io.dicom.contrast import contrast_of
from medidiff.io.dicom.model import Candidate, DicomScan

_LISTED = 40


def choose(scan: DicomScan, wanted: str | None) -> Candidate:
    """The one candidate that is meant; never a guess.

    Args:
        scan: What was found.
        wanted: A candidate's id, a series number, or a SeriesInstanceUID; None where there is one volume only.

    Raises:
        UsageError: Nothing is called so, or more than one; the text lists what there is.
        InputError: There is no volume at all.
    """
    volumes = [c for c in scan.candidates if c.status != "not a volume"]
    if wanted is not None:
        return _named(scan, wanted.strip())
    if not volumes:
        aside = sorted({c.refusal.message for c in scan.candidates if c.refusal is not None})
        found = f"only what is no volume ({'; '.join(aside[:5])})" if aside else "no DICOM images"
        raise InputError(f"{_where(scan.root)}: {found}. Give the folder with the slices of a scan.")
    if len(volumes) > 1:
        raise UsageError(
            f"{_where(scan.root)}: {len(volumes)} volumes: say which one, by id, series number or series UID.\n"
            + listing(volumes)
        )
    return volumes[0]


def listing(candidates: Iterable[Candidate]) -> str:
    """One line a candidate: id, modality, series number, slices, contrast, part, why refused; nothing of a patient."""
    lines = []
    for c in candidates:
        series = "no series number" if c.series.number is None else f"series {c.series.number}"
        slices = f"{len(c.planes)} slice{'s' * (len(c.planes) != 1)}"
        state = "" if c.refusal is None else f"({c.status}: {c.refusal.code})"
        words = (c.id, c.series.modality, series, slices, contrast_of(c), c.part, state)
        lines.append("  ".join(filter(None, words)))
    more = len(lines) - _LISTED
    return "\n".join(lines[:_LISTED] + [f"and {more} more"] * (more > 0))


def _named(scan: DicomScan, wanted: str) -> Candidate:
    """By id first: eight digits could be a series number too."""
    for match in (
        [c for c in scan.candidates if c.id == wanted.lower()],
        [c for c in scan.candidates if c.stack and c.stack == wanted.lower()],
        [c for c in scan.candidates if wanted and c.series.series_uid == wanted],
        [c for c in scan.candidates if c.series.number is not None and str(c.series.number) == wanted],
    ):
        volumes = [c for c in match if c.status != "not a volume"] or match
        if len(volumes) == 1:
            return volumes[0]
        if volumes:
            raise UsageError(f"series {wanted}: {len(volumes)} volumes: give one of these ids.\n{listing(volumes)}")
    known = [c for c in scan.candidates if c.status != "not a volume"] or list(scan.candidates)
    raise UsageError(f"series {wanted}: not found; must be an id, a series number or a series UID.\n{listing(known)}")


def _where(root: Path) -> str:
    return root.name or str(root)
