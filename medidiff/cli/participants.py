"""`medidiff scan --table`: a participants table to start a cohort from, one row a scan, split by patient."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from medidiff.cli.discover import plural
from medidiff.cli.scan_listing import Listing
from medidiff.cli.scan_nifti import NiftiEntry
from medidiff.errors import UsageError
from medidiff.io.bids_participants import bids_modality, in_dataset
from medidiff.io.dicom.model import Candidate
from medidiff.io.identity.demographics import UNKNOWN, demographics


@dataclass(frozen=True)
class Row:
    """One scan.

    Args:
        participant_id: As BIDS writes it: "sub-" and the pseudonym without its hyphen.
        patient: The pseudonym; it decides the split.
        case: The output of `medidiff convert --all`, or the NIfTI file, without the ending.
        split: "train", "val", "holdout", or "n/a" where nobody says whose the scan is.
        age: At the scan, in years.
        sex: "M", "F" or "O".
        modality: "MR", "CT", ...
    """

    participant_id: str
    patient: str
    case: str
    split: str
    age: str = UNKNOWN
    sex: str = UNKNOWN
    modality: str = UNKNOWN


HEAD = tuple(column.name for column in fields(Row))


def table_rows(listing: Listing) -> list[Row]:
    """A row for every volume that can be read as it is; a 4D scan is one.

    Raises:
        InputError, OutputError: The key of the pseudonyms cannot be read or made.
    """
    stacks: dict[str, list[Candidate]] = {}
    for one in listing.candidates:
        if one.status == "volume":
            stacks.setdefault(one.stack or one.id, []).append(one)
    rows = [_dicom_row(group, listing.keep_ids) for group in stacks.values()]
    return rows + [_nifti_row(one) for one in listing.nifti if not one.problem]


def check_table(path: Path, overwrite: bool) -> None:
    """Refuse to replace what stands there already, unless it is such a table and that was asked for.

    Raises:
        UsageError: It exists.
    """
    if not path.exists():
        return
    if not overwrite:
        raise UsageError(f"--table {path}: exists. --overwrite replaces it.")
    try:
        with open(path, encoding="utf-8") as file:
            known = file.readline().rstrip("\r\n") == "\t".join(HEAD)
    except (OSError, UnicodeDecodeError):
        known = False
    if not known:
        raise UsageError(f"--table {path}: exists, and is no table of `medidiff scan`. Give another name.")


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows as tab-separated text, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    from medidiff.io import atomic_write_text

    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(astuple(row) for row in rows)
    atomic_write_text(path, text.getvalue())


def told_of(rows: Sequence[Row]) -> str:
    """How the patients fell, for the terminal."""
    sides = Counter(dict((row.patient, row.split) for row in rows).values())
    split = ", ".join(f"{sides[side]} {side}" for side in ("train", "val", "holdout"))
    open_ones = sum(row.split == UNKNOWN for row in rows)
    known = len({row.patient for row in rows if row.split != UNKNOWN})
    text = f"{plural(len(rows), 'scan')} of {plural(known, 'known patient')} ({split})"
    return text + (f"; {open_ones} whose patient is not known: fill in patient and split" if open_ones else "")


def _dicom_row(group: Sequence[Candidate], keep_ids: bool) -> Row:
    from medidiff.cli.dicom_source import DicomSource
    from medidiff.cli.input_choice import InputChoice
    from medidiff.io.identity.pseudonym import coin

    source = DicomSource(tuple(group), InputChoice(keep_ids=keep_ids))
    about = demographics(group[0].planes[0].file)
    case = source.output_name.removesuffix(".nii.gz")
    label = "".join(c for c in source.patient if c.isalnum())
    modality = group[0].series.modality or UNKNOWN
    return Row(f"sub-{label}", source.patient, case, coin(source.patient), about.age, about.sex, modality)


def _nifti_row(one: NiftiEntry) -> Row:
    from medidiff.io.identity.pseudonym import coin

    if not one.participant:
        return Row(UNKNOWN, one.case, one.case, UNKNOWN)
    about = in_dataset(one.path, one.participant)
    modality = bids_modality(one.path.name) or UNKNOWN
    return Row(one.participant, one.participant, one.case, coin(one.participant), about.age, about.sex, modality)
