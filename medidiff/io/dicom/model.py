"""What a folder of DICOM holds: planes, candidates for volumes, and why some are none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from medidiff.volume import Volume

Status = Literal["volume", "refused", "not a volume"]
"""`volume` can be read; `refused` is a volume that is broken or needs an option; `not a volume` was never one."""


@dataclass(frozen=True)
class FileRef:
    """Where the bytes of one DICOM file lie.

    Args:
        path: File on disk; the zip where the file is inside one.
        member: Name inside the zip.
        label: What messages call the file: relative to what was scanned, a patient's name or number in it replaced.
    """

    path: Path
    member: str | None = None
    label: str = ""


@dataclass(frozen=True)
class PixelForm:
    """How the values of one plane are stored.

    Args:
        transfer_syntax: UID.
        samples: Samples per pixel, 1 for grey.
        photometric: Photometric interpretation, such as "MONOCHROME2".
        bits_allocated: Bits a value takes in the file.
        bits_stored: Bits that mean something.
        high_bit: Position of the highest of them.
        signed: Pixel representation 1.
        padding: First and last stored value that mean "no measurement" (the same twice for one value); None: none said.
    """

    transfer_syntax: str
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class Facts:
    """What distinguishes planes of one series that do not belong to one volume. None where the file does not say."""

    image_type: tuple[str, ...] = ()
    echo_number: str | None = None
    echo_time_ms: float | None = None
    inversion_time_ms: float | None = None
    trigger_time_ms: float | None = None
    temporal_position: int | None = None
    acquisition_number: int | None = None
    acquisition_time: str | None = None
    b_value_s_per_mm2: float | None = None
    gradient_lps: tuple[float, float, float] | None = None
    stack_id: str | None = None
    coil: str | None = None
    frame_of_reference_uid: str = ""


@dataclass(frozen=True)
class Plane:
    """One 2D frame: a classic file, or one frame of a multi-frame file.

    Args:
        file: Its file.
        frame: Which frame of the file, from 0.
        frames: Frames that the file holds.
        sop_class, sop_instance: UIDs.
        instance_number: As the file says; never used to sort.
        rows, columns: Size.
        form: How values are stored.
        slope, intercept: value = slope * stored + intercept, of this very plane.
        unit: Rescale type or unit, such as "HU"; "" where nobody says.
        spacing_mm: Between rows, between columns (PixelSpacing's own order).
        orientation_lps: Direction of a row (growing column index), then of a column (growing row index).
        position_lps_mm: Centre of the first voxel.
        thickness_mm: SliceThickness, which is not the spacing.
        gap_mm: SpacingBetweenSlices, as the file says; only ever compared, never used.
        facts: What may split the series.
        data_offset: Byte in the file where this frame's pixels start; None where it is compressed or in a zip.
    """

    file: FileRef
    frame: int
    frames: int
    sop_class: str
    sop_instance: str
    instance_number: int | None
    rows: int
    columns: int
    form: PixelForm
    slope: float
    intercept: float
    unit: str
    spacing_mm: tuple[float, float] | None
    orientation_lps: tuple[float, ...] | None
    position_lps_mm: tuple[float, float, float] | None
    thickness_mm: float | None
    gap_mm: float | None
    facts: Facts
    data_offset: int | None = None


@dataclass(frozen=True)
class SeriesFacts:
    """What the planes of one series share. `description` and `patient` may name a person: they never enter a message.

    Args:
        series_uid, study_uid, frame_of_reference_uid: As in the files; "" where missing.
        patient_id: As in the files.
        patient_names: Every spelling found, for redaction.
        number: Series number.
        modality: "MR", "CT", ...
        description: SeriesDescription.
        manufacturer: As in the files.
        body_part: BodyPartExamined.
        burned_in: BurnedInAnnotation, "YES", "NO" or "" where nobody says.
        lossy: Whether the pixels were ever compressed with loss.
        issuer: IssuerOfPatientID: two hospitals may give one number to two people.
        sequence: Kinds of MR sequence by their codes, such as ("GR", "IR"); never a sequence's name.
        repetition_time_ms: TR; None where nobody says.
        tube_kv: Peak voltage of the X-ray tube.
        kernel: Convolution kernel where it is a short code, such as "B30f"; else "".
    """

    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient_id: str
    patient_names: tuple[str, ...]
    number: int | None
    modality: str
    description: str
    manufacturer: str
    body_part: str
    burned_in: str
    lossy: bool
    issuer: str = ""
    sequence: tuple[str, ...] = ()
    repetition_time_ms: float | None = None
    tube_kv: float | None = None
    kernel: str = ""


@dataclass(frozen=True, eq=False)
class Stacking:
    """How sorted planes fill a grid (x = column index, y = row index, z = slice).

    Args:
        shape: Columns, rows, slices; with gaps, the slices of the COMPLETE grid.
        affine_ras: Of the complete grid, mm. Sheared when `tilt_deg` is not 0.
        slots: For each plane, its slice index in the grid.
        tilt_deg: Angle between the slices' normal and the direction in which they are stacked; 0 if orthogonal.
        missing: Slice indices that no plane fills.
    """

    shape: tuple[int, int, int]
    affine_ras: np.ndarray
    slots: tuple[int, ...]
    tilt_deg: float = 0.0
    missing: tuple[int, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why a candidate is not read as it is.

    Args:
        code: One of `REFUSALS`.
        message: The fact, with its figures and units; no patient data.
        remedy: What to do next.
    """

    code: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}"


REFUSALS: dict[str, str] = {
    # refused: a volume that is broken, or needs an option
    "gap": "slices are missing between others",
    "duplicate": "two slices lie at one position",
    "tilt": "the gantry was tilted: slices are stacked obliquely",
    "uneven": "the distance between slices varies and no grid fits",
    "no-position": "position or orientation is missing, or not a number",
    "spacing": "pixel spacing is missing or not positive",
    "mixed-patients": "one series UID is used for two patients",
    "damaged": "a file of the series is damaged or truncated",
    "codec": "no decoder for the transfer syntax is installed",
    "pixels": "the number type of the pixels cannot be read as one grey value",
    "mosaic": "the slices of a volume are tiled into one image (Siemens)",
    "too-large": "more voxels than medidiff takes",
    # not a volume: set aside, never counted as a failure
    "one-slice": "one image, not a volume",
    "localizer": "a localizer (scout, survey) to plan the others",
    "film": "a film sheet, screenshot or other secondary capture",
    "colour": "colour images",
    "report": "no image: a report, presentation state, key object or other record",
    "no-geometry": "an image kind without a place in space (dose report, ultrasound, X-ray)",
    "segmentation": "a segmentation, dose or structure, not a scan",
}
NOT_A_VOLUME = frozenset({"one-slice", "localizer", "film", "colour", "report", "no-geometry", "segmentation"})


@dataclass(frozen=True, eq=False)
class Candidate:
    """What could be one 3D volume, or why it is none.

    Args:
        id: Eight hexadecimal digits from the series UID and `part`: the same on every machine, no patient data.
        series: What its planes share.
        part: What sets it apart from others of its series: "echo 2, 9.8 ms"; "" where it is the only one.
        planes: Sorted along the normal; for records that are no image, empty.
        stacking: The grid; None where there is none.
        refusal: Why it is not read, or None. A refused candidate whose `stacking` is there can be read with the option
            that its refusal names.
        warnings: What to know before trusting it (burned-in text possible, MONOCHROME1, slope varies, ...).
        stack: Id shared by candidates that are one 4D scan (same grid, other time or b-value); "" where it is alone.
        files: Files it is made of.
        file_names: Their labels, sorted.
    """

    id: str
    series: SeriesFacts
    part: str
    planes: tuple[Plane, ...]
    stacking: Stacking | None
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
    stack: str = ""
    files: int = 0
    file_names: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Whether it can be read."""
        if self.refusal is None:
            return "volume"
        return "not a volume" if self.refusal.code in NOT_A_VOLUME else "refused"


@dataclass(frozen=True)
class FileNote:
    """A file that is not part of any candidate.

    Args:
        file: Which.
        kind: Why: "not DICOM", "damaged", "empty", "no permission", "listed in the DICOMDIR but not there",
            "a link that leads nowhere", "a DICOMDIR".
        message: More about it, without patient data.
    """

    file: FileRef
    kind: str
    message: str = ""


@dataclass(frozen=True)
class DicomScan:
    """Everything that was found.

    Args:
        root: What was scanned.
        candidates: Ordered by patient, study, series number, series UID, part.
        notes: Files that belong to none.
        files: Files that were looked at.
        identifiers: Names, numbers and dates of patients found; for redaction, never printed.
    """

    root: Path
    candidates: tuple[Candidate, ...]
    notes: tuple[FileNote, ...] = ()
    files: int = 0
    identifiers: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def volumes(self) -> tuple[Candidate, ...]:
        """The candidates that can be read as they are."""
        return tuple(c for c in self.candidates if c.status == "volume")


@dataclass(frozen=True, eq=False)
class Assembled:
    """A candidate as a volume.

    Args:
        volume: float32, in the scan's unit; missing slices hold 0.
        missing: Slice indices (along z) that hold no measurement.
        notes: What was done to it, such as "resampled from a gantry tilt of 16.5 degrees".
    """

    volume: Volume
    missing: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
