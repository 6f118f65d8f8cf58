"""The scans below what was given to `medidiff prepare`: NIfTI files, DICOM volumes, BIDS scans; none is read."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medidiff.cli.bids_source import bids_sources
from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.discover import plural
from medidiff.cli.input_choice import InputChoice
from medidiff.cli.sources import NiftiSource, Source
from medidiff.cohort.checks import Rejection, rejection_of
from medidiff.cohort.participants import names_of
from medidiff.errors import InputError, MedidiffError, UsageError
from medidiff.io.bids import is_bids
from medidiff.io.nifti_header import NIFTI_SUFFIXES, nifti_suffix

_READ_SUFFIXES = (".nii.gz", ".nii", ".hdr")
_OF_OTHER_VERBS = ", --series ID one"  # in the advice on 4D DICOM; prepare has no such option


@dataclass(frozen=True)
class Scan:
    """One scan that was found.

    Attributes:
        source: Reads it.
        path: What messages and the manifest call it: the path below SRC, or a DICOM series by its pseudonym.
        names: What a table may call it, the surest first.
        folder: Where the pattern of masks starts from.
        patient: Whose it is, by DICOM's pseudonym or BIDS' participant; "" where nobody says.
        own_names: Names that are the patient's own number, and may be written nowhere.
    """

    source: Source = field(repr=False)
    path: str
    names: tuple[str, ...] = field(repr=False)
    folder: Path = field(repr=False)
    patient: str = ""
    own_names: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def place(self) -> tuple[Path, str]:
        """What tells it from all others: two SRC may hold files of the same path."""
        return self.folder, self.path

    def key(self, *more: Path | None, said: str = "") -> str:
        """Changes when the scan's files, or `more`, change in place, size or time, or another modality is `said`."""
        told = [self.path, str(self.source.name), *filter(None, [said])]
        for file in (*self.source.files, *filter(None, more)):
            try:
                stat = file.stat()
                told += [str(file.resolve()), str(stat.st_size), str(stat.st_mtime_ns)]
            except OSError:
                told.append(str(file))
        return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True)
class FoundScans:
    """What was found.

    Attributes:
        scans: The scans.
        rejections: What cannot be one.
        bids: BIDS datasets among what was given.
        passed: How many files were left out by --include.
    """

    scans: tuple[Scan, ...]
    rejections: tuple[Rejection, ...] = ()
    bids: tuple[Path, ...] = ()
    passed: int = 0

    @property
    def dicom(self) -> bool:
        """Whether some of it is DICOM."""
        return any(isinstance(scan.source, DicomSource) for scan in self.scans)


def find_scans(roots: Sequence[Path], choice: InputChoice, include: Sequence[str]) -> FoundScans:
    """Everything below some folders and files; subfolders are entered.

    Args:
        roots: SRC.
        choice: What was said about the input.
        include: Globs over paths below SRC, or names; none: everything.

    Raises:
        InputError: One of them is missing, or there is nothing in any.
        UsageError: One of them holds NIfTI and DICOM, so that it is not clear what is meant.
    """
    scans: list[Scan] = []
    rejections: list[Rejection] = []
    for root in roots:
        found, refused = _below(root, choice)
        scans += found
        rejections += refused
    kept = [scan for scan in scans if _included(scan.path, include)]
    rejections = [one for one in rejections if _included(one.source, include)]
    if not kept and not rejections:
        said = f"--include {', '.join(include)}: none of {plural(len(scans), 'scan')} fits" if scans else "SRC: no scan"
        raise InputError(f"{said} in {', '.join(map(str, roots))}. `medidiff scan` lists what is there.")
    frames = [frame for scan in kept for frame in _frames(scan, choice, rejections)]
    bids = tuple(root for root in roots if root.is_dir() and is_bids(root))
    return FoundScans(tuple(frames), tuple(rejections), bids, len(scans) - len(kept))


def _below(root: Path, choice: InputChoice) -> tuple[list[Scan], list[Rejection]]:
    if not root.exists():
        raise InputError(f"{root}: no such file or folder.")
    if root.is_dir() and is_bids(root):
        return [_bids_scan(source) for source in bids_sources(root, choice, "prepare", Path())], []
    if root.is_file() and root.name.lower().endswith(NIFTI_SUFFIXES):
        return [_nifti_scan(root, root.parent, choice)], []
    nifti = _nifti_below(root) if root.is_dir() else []
    from medidiff.io.dicom.files import looks_like_dicom

    dicom = looks_like_dicom(root)
    if nifti and dicom:
        raise UsageError(
            f"{root}: holds {plural(len(nifti), 'NIfTI file')} and DICOM too: the same scan could be taken twice. Give "
            "the folders of one kind."
        )
    if dicom:
        return _dicom_scans(root, choice)
    if not nifti and not root.is_dir():
        raise InputError(f"{root}: must be a folder, a NIfTI file (.nii.gz, .nii, .hdr), DICOM or a zip of it.")
    return [_nifti_scan(path, root, choice) for path in nifti], []


def _nifti_below(root: Path) -> list[Path]:
    from medidiff.io.dicom.tree import walk_files

    return [file.path for file in walk_files(root) if file.path.name.lower().endswith(_READ_SUFFIXES)]


def _nifti_scan(path: Path, root: Path, choice: InputChoice) -> Scan:
    below = path.relative_to(root).as_posix()
    called = below[: -len(nifti_suffix(path))]
    source = NiftiSource(path, choice.modality, choice.four_d)
    return Scan(source, below, (*names_of(called), root.resolve().name), path.parent)


def _bids_scan(source: NiftiSource) -> Scan:
    below = source.name
    label = below.split("/")[0]
    called = below[: -len(nifti_suffix(source.path))]
    return Scan(source, below, (*names_of(called), label, label.removeprefix("sub-")), source.path.parent, label)


def _dicom_scans(root: Path, choice: InputChoice) -> tuple[list[Scan], list[Rejection]]:
    from medidiff.cli.discover_dicom import discover_dicom

    found = discover_dicom(root, replace(choice, every=True), apart=True)
    rejections = [
        rejection_of(one.label, one.error, one.label) for one in found.aside if isinstance(one.error, MedidiffError)
    ]
    rejections = [replace(one, reason=one.reason.replace(_OF_OTHER_VERBS, "")) for one in rejections]
    return [_dicom_scan(source, root) for source in found.sources if isinstance(source, DicomSource)], rejections


def _dicom_scan(source: DicomSource, root: Path) -> Scan:
    patient = source.patient
    own = source.candidate.series.patient_id.strip()
    label = f"sub-{''.join(c for c in patient if c.isalnum())}"
    names = (source.name, patient, label, *filter(None, [own]))
    known = "" if patient == "p-unknown" else patient
    folder = root if root.is_dir() else root.parent
    return Scan(source, source.name, names, folder, known, frozenset({own, patient, label}))


def _frames(scan: Scan, choice: InputChoice, rejections: list[Rejection]) -> list[Scan]:
    """The volumes of a 4D NIfTI file where every one is wanted; the scan itself else."""
    if choice.four_d != "each" or not isinstance(scan.source, NiftiSource):
        return [scan]
    try:
        frames = scan.source.frames
    except MedidiffError as error:
        rejections.append(rejection_of(scan.path, error, scan.source.label))
        return []
    if frames == 1:
        return [scan]
    numbered = (replace(scan.source, frame=k) for k in range(frames))
    return [replace(scan, source=one, path=f"{scan.path}, frame {k}") for k, one in enumerate(numbered)]


def _included(path: str, include: Iterable[str]) -> bool:
    name = path.rpartition("/")[2]
    patterns = list(include)
    return not patterns or any(fnmatch.fnmatch(path, p) or fnmatch.fnmatch(name, p) for p in patterns)
