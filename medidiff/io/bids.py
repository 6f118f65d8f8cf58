"""BIDS datasets: which files in them are scans to work on, and what their names and JSON files say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.errors import InputError, UsageError
from medidiff.io.gradients import gradient_paths
from medidiff.io.json_sidecar import Sidecar, read_json

DESCRIPTION = "dataset_description.json"

SCANS: dict[str, frozenset[str]] = {
    # MR images and the series of images that quantitative maps are computed from. Not UNIT1 and the maps themselves:
    # ratios and fits, whose noise is not that of an image.
    "anat": frozenset(
        "T1w T2w PDw T2starw FLAIR inplaneT1 inplaneT2 PDT2 angio MESE MEGRE VFA IRT1 MP2RAGE MPM MTS MTR".split()
    ),
    "dwi": frozenset({"dwi", "sbref"}),  # not ADC, FA, trace: computed by the scanner
    "func": frozenset({"bold", "cbv", "sbref"}),
    "perf": frozenset({"asl", "m0scan"}),
    "ct": frozenset({"ct"}),  # BIDS has no CT yet; the name dcm2niix gives (BIDS extension proposal 24)
}
"""Suffixes that medidiff works on, by data type. Field maps, PET, masks, events and microscopy are left alone."""

# BIDS 1.10, rules/entities: the order in which they stand in a name.
ENTITIES = tuple(
    """
    sub tpl ses cohort sample task tracksys acq nuc voi ce trc stain rec dir run mod echo flip inv mt part proc hemi
    space split recording chunk atlas seg scale res den label desc
    """.split()
)

_NAME = re.compile(r"((?:[a-z]+-[0-9A-Za-z+]+_)+)([0-9A-Za-z]+)(\.nii\.gz|\.nii)")
_ENTITY = re.compile(r"([a-z]+)-([0-9A-Za-z+]+)_")
_FOLDER = re.compile(r"(sub|ses)-([0-9A-Za-z+]+)")


@dataclass(frozen=True)
class BidsScan:
    """One scan of a BIDS dataset.

    Args:
        path: The NIfTI file.
        root: The dataset.
        entities: (key, label) in BIDS's order, such as ("sub", "01").
        datatype: "anat", "dwi", "func", "perf" or "ct".
        suffix: "T1w", "bold", ...
    """

    path: Path
    root: Path
    entities: tuple[tuple[str, str], ...]
    datatype: str
    suffix: str

    @property
    def participant(self) -> str:
        """The participant's label, without "sub-"."""
        return dict(self.entities)["sub"]

    @property
    def modality(self) -> str:
        """ "MR" or "CT"."""
        return "CT" if self.datatype == "ct" else "MR"

    @property
    def name(self) -> str:
        """Path below the dataset, with slashes."""
        return self.path.relative_to(self.root).as_posix()


def is_bids(root: Path) -> bool:
    """Whether a folder is a BIDS dataset: its dataset_description.json names a BIDS version."""
    return isinstance(read_json(Path(root) / DESCRIPTION).values.get("BIDSVersion"), str)


def is_derivative(root: Path) -> bool:
    """Whether a dataset holds processed data, by its own description."""
    return read_json(Path(root) / DESCRIPTION).values.get("DatasetType") == "derivative"


def find_scans(root: Path, participants: Sequence[str] = ()) -> list[BidsScan]:
    """The scans of a dataset that medidiff works on, `SCANS`: sub-*/[ses-*/]datatype/*.nii[.gz].

    derivatives/, sourcedata/ and code/ are not entered. Phase, real and imaginary images (part-) are left out, and so
    are files whose names do not follow the standard: unknown or repeated entities, another participant or session than
    their folder's. Links to files that were not fetched (datalad) are returned: reading them says so.

    Args:
        root: The dataset.
        participants: Labels with or without "sub-"; none means all.

    Returns:
        Scans ordered by participant, session, data type and name.

    Raises:
        UsageError: No such participant.
        InputError: No scan at all.
    """
    root = Path(root)
    subjects = _subjects(root)
    wanted = [label.removeprefix("sub-") for label in participants]
    for label in wanted:
        if label not in subjects:
            there = ", ".join(sorted(subjects)[:20]) + (", ..." if len(subjects) > 20 else "")
            raise UsageError(f"--participant-label {label}: must be one of this dataset's: {there or 'it has none'}.")
    scans = [scan for label in sorted(set(wanted) or subjects) for scan in _scans_below(root, subjects[label])]
    if not scans:
        raise InputError(
            f"{root}: a BIDS dataset without scans to work on (sub-*/anat, dwi, func, perf, ct). Give a NIfTI file or "
            "a folder of them instead if the names do not follow BIDS."
        )
    return scans


def parse_name(path: Path) -> tuple[tuple[tuple[str, str], ...], str] | None:
    """Entities in BIDS's order, and the suffix, of a NIfTI file's name; None where the name does not follow BIDS."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    pairs: list[tuple[str, str]] = _ENTITY.findall(match[1])
    entities = dict(pairs)
    if len(entities) != len(pairs) or not entities.keys() <= set(ENTITIES):
        return None
    return tuple((key, entities[key]) for key in ENTITIES if key in entities), match[2]


def inherited_sidecar(scan: BidsScan) -> Sidecar:
    """What the JSON files of the dataset say of a scan, by BIDS's inheritance principle: a deeper file wins.

    A file applies where its suffix is the scan's and each of its entities is one of the scan's. It can name a patient:
    pass it through `carried`.
    """
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for file in _inherited(scan, ".json"):
        found = read_json(file)
        values |= found.values
        warnings += found.warnings
    return Sidecar(values, tuple(warnings))


def inherited_gradients(scan: BidsScan) -> tuple[Path, Path]:
    """The .bval and .bvec of a scan: the deepest that apply, or, where none does, their names beside it."""
    beside = gradient_paths(scan.path)
    bval, bvec = (
        next(reversed(_inherited(scan, ending)), default)
        for ending, default in zip((".bval", ".bvec"), beside, strict=True)
    )
    return bval, bvec


def _inherited(scan: BidsScan, extension: str) -> list[Path]:
    """Files that apply to a scan, from the top of the dataset to its own folder, in each the most specific last."""
    below = scan.path.parent.relative_to(scan.root).parts
    applying: list[Path] = []
    for depth in range(len(below) + 1):
        files = [path for path in _files(scan.root.joinpath(*below[:depth])) if _applies(path, scan, extension)]
        applying += sorted(files, key=lambda path: (path.name.count("_"), path.name))
    return applying


def _subjects(root: Path) -> dict[str, Path]:
    return {match[2]: path for path in _folders(root) if (match := _FOLDER.fullmatch(path.name)) and match[1] == "sub"}


def _scans_below(root: Path, subject: Path) -> Iterator[BidsScan]:
    sessions = [path for path in _folders(subject) if (match := _FOLDER.fullmatch(path.name)) and match[1] == "ses"]
    for folder in [subject, *sessions]:
        expected = {part.split("-")[0]: part.split("-")[1] for part in folder.relative_to(root).parts}
        for datatype, suffixes in SCANS.items():
            for path in _files(folder / datatype):
                parsed = parse_name(path)
                if parsed is None or parsed[1] not in suffixes:
                    continue
                labels = dict(parsed[0])
                placed = {key: labels[key] for key in ("sub", "ses") if key in labels}
                if placed == expected and labels.get("part", "mag") == "mag":
                    yield BidsScan(path, root, parsed[0], datatype, parsed[1])


def _applies(file: Path, scan: BidsScan, extension: str) -> bool:
    if not file.name.endswith(extension):
        return False
    *parts, suffix = file.name.removesuffix(extension).split("_")
    return suffix == scan.suffix and set(parts) <= {f"{key}-{label}" for key, label in scan.entities}


def _folders(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir()]


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if not path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder}: the folder cannot be read ({error.strerror}).") from error
