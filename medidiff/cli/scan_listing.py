"""What `medidiff scan` found: patients and studies by number, candidates, NIfTI files; and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cli.scan_nifti import NiftiEntry
from medidiff.io.dicom.contrast import times_ms
from medidiff.io.dicom.model import Candidate, DicomScan, FileNote

if TYPE_CHECKING:
    from medidiff.io.dicom.model import SeriesFacts

_NAMED_IDS = 5
_PLANES = ("sagittal", "coronal", "axial")  # by the world axis that slices follow one another along: R, A, S


@dataclass(frozen=True)
class Listing:
    """Everything that was found.

    Args:
        name: What FOLDER is called, redacted.
        dicom: The DICOM in it; None where none was looked for.
        nifti: The NIfTI files in it.
        keep_ids: Names, numbers and descriptions may be shown.
        identifiers: Names, numbers and dates of patients that were found, for redaction.
    """

    name: str
    dicom: DicomScan | None
    nifti: Sequence[NiftiEntry] = ()
    keep_ids: bool = False
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)
    ordinals: dict[str, tuple[int, int]] = field(init=False, repr=False)
    """Patient and study of each candidate, counted from 1, by its id. No key is needed to count."""
    stacks: Counter[str] = field(init=False, repr=False)
    """How many volumes that can be read each 4D scan has, by its id."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ordinals", _count_up(self.candidates))
        stacks = Counter(one.stack for one in self.candidates if one.stack and one.status == "volume")
        object.__setattr__(self, "stacks", stacks)

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Of the DICOM."""
        return self.dicom.candidates if self.dicom else ()

    @property
    def readable(self) -> int:
        """Volumes that can be read as they are."""
        volumes = sum(one.status == "volume" for one in self.candidates)
        return volumes + sum(one.frames for one in self.nifti if not one.problem)

    @property
    def patients(self) -> int:
        """How many patients the DICOM is of."""
        return len({patient for patient, _ in self.ordinals.values()})

    @property
    def studies(self) -> int:
        """How many studies the DICOM is of."""
        return len(set(self.ordinals.values()))

    @property
    def files(self) -> int:
        """How many files were looked at."""
        return self.dicom.files if self.dicom else len(self.nifti)

    @property
    def notes(self) -> list[FileNote]:
        """Files that are neither."""
        own = {one.path for one in self.nifti}
        return [note for note in (self.dicom.notes if self.dicom else ()) if note.file.path not in own]

    def safe(self, text: str) -> str:
        """A short text of a header, such as the body part, or a label: nothing keeps a name from standing there."""
        from medidiff.io.identity.redact import redact_path

        return text if self.keep_ids else redact_path(text, self.identifiers)

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        counts = Counter(one.status for one in self.candidates)
        return {
            "input": self.name,
            "files": self.files,
            "patients": self.patients,
            "studies": self.studies,
            "volumes": counts["volume"],
            "refused": counts["refused"],
            "not_volumes": counts["not a volume"],
            "candidates": [self._candidate(one) for one in self.candidates],
            "nifti": [one.to_dict() for one in self.nifti],
            "other_files": [
                {"file": self.safe(note.file.label), "kind": note.kind, "message": self.safe(note.message)}
                for note in self.notes
            ],
        }

    def warnings(self) -> list[str]:
        """What to know before trusting the volumes, each once with the ids it holds for."""
        said: dict[str, list[str]] = {}
        for one in self.candidates:
            for text in one.warnings if one.status != "not a volume" else ():
                said.setdefault(text, []).append(self.listed_id(one))
        return [f"{some(ids, _NAMED_IDS)}: {text}" for text, ids in said.items()]

    def frames(self, one: Candidate) -> int:
        """Volumes of the 4D scan that a candidate belongs to, as far as they can be read; 1 where it stands alone."""
        return max(1, self.stacks[one.stack]) if one.status == "volume" and one.stack else 1

    def listed_id(self, one: Candidate) -> str:
        """The id of the line that shows a candidate: for the volumes of a 4D scan that of the whole."""
        return one.stack if self.frames(one) > 1 else one.id

    def _candidate(self, one: Candidate) -> dict[str, Any]:
        patient, study = self.ordinals[one.id]
        grid = one.stacking
        echo_ms, inversion_ms = times_ms(one)
        told: dict[str, Any] = {
            "id": one.id,
            "status": one.status,
            "patient": patient,
            "study": study,
            "series_number": one.series.number,
            "modality": self.safe(one.series.modality),
            "body_part": self.safe(one.series.body_part),
            "manufacturer": self.safe(one.series.manufacturer),
            "sequence": list(one.series.sequence),
            "repetition_time_ms": one.series.repetition_time_ms,
            "echo_time_ms": echo_ms,
            "inversion_time_ms": inversion_ms,
            "tube_kv": one.series.tube_kv,
            "kernel": self.safe(one.series.kernel),
            "part": self.safe(one.part),
            "stack": one.stack,
            "files": one.files,
            "file_names": [self.safe(name) for name in one.file_names],
            "slices": len(one.planes),
            "plane": plane_of(one) or None,
            "shape": list(grid.shape) if grid else None,
            "spacing_mm": [round(s, 6) for s in spacing_of(one)] if grid else None,
            "affine_ras": grid.affine_ras.tolist() if grid else None,
            "tilt_deg": grid.tilt_deg if grid else None,
            "missing_slices": list(grid.missing) if grid else None,
            "refusal": None,
            "warnings": list(one.warnings),
            "burned_in_annotation": one.series.burned_in,
            "lossy": one.series.lossy,
        }
        if one.refusal is not None:
            told["refusal"] = {
                "code": one.refusal.code,
                "message": one.refusal.message,
                "remedy": one.refusal.remedy,
            }
        if self.keep_ids:
            told |= {
                "patient_id": one.series.patient_id,
                "patient_names": list(one.series.patient_names),
                "series_description": one.series.description,
                "series_uid": one.series.series_uid,
                "study_uid": one.series.study_uid,
            }
        return told


def spacing_of(one: Candidate) -> tuple[float, float, float]:
    """Distance between neighbouring voxels along x, y and z, mm; of a candidate with a grid."""
    from medidiff.geometry import spacing_from_affine

    if one.stacking is None:
        raise ValueError("a candidate without a grid has no spacing")
    return spacing_from_affine(one.stacking.affine_ras)


def plane_of(one: Candidate) -> str:
    """ "axial", "coronal" or "sagittal", whichever is closest to how the slices lie; "" without a grid."""
    import numpy as np

    if one.stacking is None:
        return ""
    rows, columns = one.stacking.affine_ras[:3, 0], one.stacking.affine_ras[:3, 1]
    return _PLANES[int(np.argmax(np.abs(np.cross(rows, columns))))]


def patient_key(series: SeriesFacts) -> str:
    """What tells patients apart: the id and who issued it, or the study where there is none. Never printed."""
    number = series.patient_id.strip()
    return f"id {number}|{series.issuer.strip()}" if number else f"study {series.study_uid}"


def display_path(path: Path, identifiers: frozenset[str], keep_ids: bool) -> str:
    """A path as messages may show it."""
    from medidiff.io.identity.redact import redact_path

    return str(path) if keep_ids else redact_path(str(path), identifiers)


def some(names: Iterable[str], most: int) -> str:
    """The first of a list, and how many more there are."""
    names = list(dict.fromkeys(names))
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _count_up(candidates: Sequence[Candidate]) -> dict[str, tuple[int, int]]:
    patients: dict[str, tuple[int, dict[str, int]]] = {}
    ordinals: dict[str, tuple[int, int]] = {}
    for one in candidates:
        patient, studies = patients.setdefault(patient_key(one.series), (len(patients) + 1, {}))
        ordinals[one.id] = (patient, studies.setdefault(one.series.study_uid, len(studies) + 1))
    return ordinals
