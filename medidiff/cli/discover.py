"""What IN holds: one scan, a folder of NIfTI files, DICOM in whatever tree or archive, a BIDS dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from medidiff.cli.bids_source import bids_sources
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.sources import NiftiSource, Source
from medidiff.errors import InputError, MedidiffError, UsageError
from medidiff.io.bids import is_bids
from medidiff.io.nifti_header import NIFTI_SUFFIXES

Kind = Literal["nifti", "dicom", "bids"]
_READ_SUFFIXES = (".nii.gz", ".nii", ".hdr")


@dataclass(frozen=True)
class Aside:
    """What was found and is not worked on.

    Args:
        label: What messages call it.
        reason: Why it is no volume.
        error: Why it is one, and cannot be read; None for what never was a volume.
    """

    label: str
    reason: str
    error: MedidiffError | None = None


@dataclass(frozen=True)
class Found:
    """What IN holds.

    Args:
        kind: Of what it is made.
        root: IN.
        sources: The scans to work on.
        many: Several were asked for: the run resumes, and one bad scan does not stop the rest.
        aside: What is not worked on, and why.
        identifiers: Names, numbers and dates of patients, for redaction.
    """

    kind: Kind
    root: Path
    sources: tuple[Source, ...]
    many: bool = False
    aside: tuple[Aside, ...] = ()
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)


def discover(
    root: Path, choice: InputChoice | None = None, verb: str = "", apart: bool = False, output: str = ""
) -> Found:
    """Find out what IN holds and which of it is meant.

    Args:
        root: A file or a folder. Of a folder of NIfTI files the subfolders are not entered.
        choice: What was said about the input.
        verb: What will be done; names the outputs of a BIDS dataset.
        apart: The frames of a 4D DICOM scan become scans of their own.
        output: OUT, as it was written.

    Raises:
        InputError: It is missing, or there is no scan in it.
        GeometryError: The only scan in it has no grid.
        UsageError: What is meant is not clear, or an option does not go with what is there.
    """
    choice = choice or InputChoice()
    if not root.exists():
        raise InputError(f"{root}: no such file or folder.")
    if root.is_dir() and is_bids(root):
        _refuse_dicom_options(choice, "a BIDS dataset")
        return Found("bids", root, bids_sources(root, choice, verb, Path(output)), many=True)
    if choice.participants:
        raise UsageError("--participant-label: is for a BIDS dataset (a folder with dataset_description.json).")
    if root.is_dir():
        return _folder(root, choice, apart)
    if root.name.lower().endswith(NIFTI_SUFFIXES):
        _refuse_dicom_options(choice, "one NIfTI file")
        return Found("nifti", root, (NiftiSource(root, choice.modality, choice.four_d),))
    from medidiff.io.dicom.files import looks_like_dicom

    if not looks_like_dicom(root):
        raise UsageError(f"{root}: must be a NIfTI file (.nii.gz, .nii, .hdr, .img), a DICOM file, a zip or a folder.")
    return _dicom(root, choice, apart)


def _folder(root: Path, choice: InputChoice, apart: bool) -> Found:
    try:
        names = sorted(entry.name for entry in root.iterdir() if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{root}: the folder cannot be read ({error.strerror}).") from error
    scans = [root / name for name in names if name.lower().endswith(_READ_SUFFIXES)]
    from medidiff.io.dicom.files import looks_like_dicom

    dicom = looks_like_dicom(root)
    if scans and dicom:
        raise UsageError(
            f"IN: holds {plural(len(scans), 'NIfTI file')} and DICOM too, so it is not clear what is meant. Give one "
            "NIfTI file, or move the NIfTI files to a folder of their own: in subfolders they are left alone, and "
            "the DICOM is taken."
        )
    if dicom:
        return _dicom(root, choice, apart)
    if not scans:
        raise InputError(
            f"{root}: no NIfTI files (.nii, .nii.gz) in this folder (its subfolders are not entered), and no DICOM."
        )
    _refuse_dicom_options(choice, "a folder of NIfTI files")
    return Found("nifti", root, tuple(NiftiSource(scan, choice.modality, choice.four_d) for scan in scans), many=True)


def _dicom(root: Path, choice: InputChoice, apart: bool) -> Found:
    from medidiff.cli.discover_dicom import discover_dicom

    return discover_dicom(root, choice, apart)


def _refuse_dicom_options(choice: InputChoice, what: str) -> None:
    for option, given in (
        ("--series", choice.series is not None), ("--all", choice.every), ("--resample-tilt", choice.resample_tilt),
        ("--fill-gaps", choice.fill_gaps),
    ):  # fmt: skip
        if given:
            raise UsageError(f"{option}: is for DICOM; IN is {what}. Leave it out.")


def plural(count: int, noun: str) -> str:
    """ "1 file", "2 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
