"""Where, below a folder, something says who a patient is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medidiff.errors import InputError
from medidiff.io.dicom.files import find_files, has_dicom_start, open_file
from medidiff.io.dicom.model import FileRef
from medidiff.io.identity.attributes import MEANINGS
from medidiff.io.identity.redact import redact_path
from medidiff.io.identity.salvage import salvage_from
from medidiff.io.identity.traces_dicom import BURNED_IN, FACE, Trace, traces_of_dicom
from medidiff.io.identity.traces_nifti import traces_of_json, traces_of_nifti, traces_of_table
from medidiff.io.nifti_header import NIFTI_SUFFIXES

Medium = Literal["DICOM", "NIfTI", "JSON", "table", "name"]

IN_A_NAME = "name of a file or folder"

_ORDER = (BURNED_IN, FACE, IN_A_NAME, *MEANINGS)
_IN_PATHS = ("patient's name", "number of the patient", "date or time", "staff")  # what people name folders after
_DATE_DIGITS, _DATE_LENGTH = 8, 10  # 20190131, or 2019-01-31 with what follows
_HEAD_BYTES = 512
_LONGEST_IN_A_PATH = 64


@dataclass(frozen=True)
class Finding:
    """One place that says, or may say, who a patient is.

    Args:
        medium: Of what kind the files are; "name": their names.
        meaning: What it tells.
        where: Attribute, header field, JSON key, or the folder with the identifiers in it replaced.
        files: How many files have it.
        values: The different values, sorted; never printed unless the person asks for it.
    """

    medium: Medium
    meaning: str
    where: str
    files: int
    values: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class IdentityReport:
    """Where identifiers are.

    Args:
        findings: The most telling first.
        looked_at: Files of each kind that were looked at: "DICOM", "NIfTI", "JSON", "table".
        unreadable: Labels of files that could not be looked at, redacted.
        removed: DICOM files that say that identity was removed from them.
        identifiers: What was found, for redaction.
    """

    findings: tuple[Finding, ...]
    looked_at: dict[str, int]
    unreadable: tuple[str, ...]
    removed: int
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)


def find_identifiers(root: Path, progress: Callable[[int, int], None] | None = None) -> IdentityReport:
    """Look into every DICOM and NIfTI header, JSON file and .tsv table below `root`, and at the names of all files.

    The pixels are not read: of text in them, and of faces, only what the header lets one fear is told.

    Args:
        root: A folder, a zip, a DICOMDIR, or one file.
        progress: Called with the number of files looked at and the number of all files.

    Raises:
        InputError: There is nothing.
    """
    files = find_files(root)
    counts: Counter[tuple[Medium, str, str]] = Counter()
    values: dict[tuple[Medium, str, str], set[str]] = {}
    looked_at: Counter[str] = Counter()
    unreadable: list[str] = []
    salvaged: set[str] = set()
    removed = 0
    for number, file in enumerate(files, 1):
        try:
            medium, traces, was_removed = _look_into(file)
        except InputError:
            unreadable.append(file.label)
            salvaged |= salvage_from(file)
            continue
        finally:
            if progress is not None:
                progress(number, len(files))
        if medium is None:
            continue
        looked_at[medium] += 1
        removed += was_removed
        here: dict[tuple[Medium, str, str], set[str]] = {}
        for trace in traces:
            here.setdefault((medium, trace.meaning, trace.where), set()).add(trace.value)
        counts.update(here.keys())
        for place, found in here.items():
            values.setdefault(place, set()).update(found)
    identifiers = _identifiers((meaning, value) for (_, meaning, _), found in values.items() for value in found)
    identifiers |= salvaged
    findings = [
        Finding(medium, meaning, where, count, tuple(sorted(values[medium, meaning, where] - {""})))
        for (medium, meaning, where), count in counts.items()
    ]
    findings += _names([file.label for file in files], identifiers)
    findings.sort(key=lambda found: (_ORDER.index(found.meaning), found.medium, -found.files, found.where))
    labels = tuple(redact_path(label, identifiers) for label in unreadable)
    return IdentityReport(tuple(findings), dict(looked_at), labels, removed, identifiers)


def _look_into(file: FileRef) -> tuple[Medium | None, Iterable[Trace], bool]:
    name = file.label.lower()
    with open_file(file) as stream:
        if name.endswith(NIFTI_SUFFIXES):
            if name.endswith((".img", ".img.gz")):  # the header is the other file of the pair
                return None, (), False
            return "NIfTI", traces_of_nifti(stream, file.label), False
        if name.endswith(".json"):
            return "JSON", traces_of_json(stream, file.label), False
        if name.endswith(".tsv"):
            return "table", traces_of_table(stream, file.label), False
        if not has_dicom_start(stream.read(_HEAD_BYTES)):
            return None, (), False
        stream.seek(0)
        found = traces_of_dicom(stream, file.label)
        return "DICOM", found.traces, found.removed


def _identifiers(found: Iterable[tuple[str, str]]) -> frozenset[str]:
    """What would betray a patient in the name of a folder."""
    taken: set[str] = set()
    for meaning, value in found:
        if meaning not in _IN_PATHS or len(value) > _LONGEST_IN_A_PATH:
            continue
        if meaning != "date or time":
            taken.add(value)
        else:
            digits = "".join(c for c in value[:_DATE_LENGTH] if c.isdigit())[:_DATE_DIGITS]
            if len(digits) == _DATE_DIGITS:
                taken.add(digits)
    return frozenset(taken)


def _names(labels: list[str], identifiers: frozenset[str]) -> list[Finding]:
    """Files whose path holds an identifier, by folder."""
    counts: Counter[str] = Counter()
    values: dict[str, set[str]] = {}
    for label in labels:
        redacted = redact_path(label, identifiers)
        if redacted != label:
            folder, _, name = redacted.rpartition("/")
            own_name_too = "[id]" in name
            where = f"{folder}/..." if not own_name_too else f"{folder}/[id]..." if folder else "[id]..."
            counts[where] += 1
            values.setdefault(where, set()).add(label)
    return [Finding("name", IN_A_NAME, where, n, tuple(sorted(values[where]))) for where, n in counts.items()]
