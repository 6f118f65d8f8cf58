"""One classic DICOM series of random voxels, made with pydicom: its datasets, and the truth about them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import config, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.valuerep import DSfloat

from benchmarks._dicom_corpus.truth import PlaneTruth, VolumeTruth

PATIENT_NAME, PATIENT_ID, BIRTH_DATE = "Quinquaille^Zebedee", "HOSP-48151623", "19511217"
CLASSES = {"CT": uid.CTImageStorage, "MR": uid.MRImageStorage, "PT": uid.PositronEmissionTomographyImageStorage}
EXPLICIT, IMPLICIT = uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian
BIG_ENDIAN = uid.ExplicitVRBigEndian


def make_uid(*words: object) -> str:
    """A UID that depends on the words only, so that every run writes the same files."""
    digest = hashlib.sha256("|".join(map(str, words)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def ds(*numbers: float) -> list[Any]:
    """Numbers as DICOM's decimal strings of at most 16 characters."""
    return [DSfloat(float(number), auto_format=True) for number in numbers]


def rotation(x_deg: float, y_deg: float, z_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column direction of a plane turned about the three axes."""
    from scipy.spatial.transform import Rotation

    matrix = Rotation.from_euler("xyz", [x_deg, y_deg, z_deg], degrees=True).as_matrix()
    return matrix[:, 0], matrix[:, 1]


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a series lie.

    Args:
        columns, rows, slices: Size.
        row_spacing_mm, column_spacing_mm: Between rows, between columns: unlike each other, so that a mix-up shows.
        step_mm: Between slices, along the normal; negative stacks against it.
        directions: Of a row and of a column.
        origin_lps_mm: First voxel of the first slice.
        shear: What is added along the column direction for each mm of step: the tangent of a gantry tilt.
    """

    columns: int = 16
    rows: int = 12
    slices: int = 9
    row_spacing_mm: float = 0.85
    column_spacing_mm: float = 1.2
    step_mm: float = 2.5
    directions: tuple[np.ndarray, np.ndarray] = (np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    origin_lps_mm: tuple[float, float, float] = (-31.25, 17.5, -102.4)
    shear: float = 0.0

    @property
    def normal(self) -> np.ndarray:
        return np.cross(*self.directions)

    def position(self, k: float) -> np.ndarray:
        """Centre of the first voxel of slice k."""
        along = self.normal + self.shear * self.directions[1]
        return np.array(self.origin_lps_mm) + k * self.step_mm * along


@dataclass(frozen=True)
class Form:
    """How voxels are stored."""

    modality: str = "MR"
    allocated: int = 16
    stored: int = 12
    signed: bool = False
    slope: float | None = None
    intercept: float | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest value that fit."""
        return (-(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1) if self.signed else (0, (1 << self.stored) - 1)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")


CT = Form("CT", 16, 16, True, 1.0, 0.0)
MR = Form("MR", 16, 12, False)
PT = Form("PT", 16, 16, False, 2.5, 0.0)


@dataclass(eq=False)
class Series:
    """Datasets and what they hold.

    Args:
        datasets: One a slice, in the order of the grid.
        planes: The truth of each.
    """

    datasets: list[Dataset]
    planes: list[PlaneTruth]

    def truth(self, tolerance_mm: float = 1e-3) -> VolumeTruth:
        return VolumeTruth(tuple(self.planes), tolerance_mm)

    def set(self, **attributes: object) -> Series:
        """Set attributes in every dataset; a list is one value a slice, None deletes."""
        for k, dataset in enumerate(self.datasets):
            for keyword, value in attributes.items():
                one = value[k] if isinstance(value, list) else value
                if one is None:
                    dataset.pop(keyword, None)
                else:
                    setattr(dataset, keyword, one)
        return self

    def without(self, *slices: int) -> Series:
        """The series lacking some slices."""
        keep = [k for k in range(len(self.datasets)) if k not in slices]
        return Series([self.datasets[k] for k in keep], [self.planes[k] for k in keep])


def random_stored(grid: Grid, form: Form, seed: int) -> np.ndarray:
    """Slices x rows x columns over the whole range that fits: hardly two voxels are alike."""
    low, high = form.limits
    return np.random.default_rng(seed).integers(low, high, (grid.slices, grid.rows, grid.columns), endpoint=True)


def make_series(
    grid: Grid = Grid(),
    form: Form = MR,
    *,
    seed: int = 0,
    stored: np.ndarray | None = None,
    slopes: Sequence[float] | None = None,
    intercepts: Sequence[float] | None = None,
    series: object = "s",
) -> Series:
    """Datasets of one series. `slopes` and `intercepts` give each slice its own."""
    stored = random_stored(grid, form, seed) if stored is None else stored
    out = Series([], [])
    for k in range(grid.slices):
        slope = form.slope if slopes is None else slopes[k]
        intercept = form.intercept if intercepts is None else intercepts[k]
        dataset = header(form, series, study="study", number=k + 1, name=f"{seed}/{series}/{k}")
        place(dataset, grid, grid.position(k))
        set_pixels(dataset, stored[k], form)
        if slope is not None:
            dataset.RescaleSlope, dataset.RescaleIntercept = ds(slope, intercept or 0.0)
            if form.modality == "CT":
                dataset.RescaleType = "HU"
        values = stored[k] * (1.0 if slope is None else slope) + (intercept or 0.0)
        out.datasets.append(dataset)
        out.planes.append(plane_truth(grid, grid.position(k), values))
    return out


def plane_truth(grid: Grid, position: np.ndarray, values: np.ndarray) -> PlaneTruth:
    """The truth of one slice of a grid."""
    return PlaneTruth(
        position, *grid.directions, grid.row_spacing_mm, grid.column_spacing_mm, np.asarray(values, dtype=np.float64)
    )


def header(form: Form, series: object, study: object, number: int, name: str) -> Dataset:
    """Everything but place and pixels."""
    dataset = Dataset()
    dataset.SOPClassUID = CLASSES[form.modality]
    dataset.SOPInstanceUID = make_uid("instance", name, form.modality)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = make_uid("study", study), make_uid("series", series)
    dataset.FrameOfReferenceUID = make_uid("frame", study)
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT_NAME, PATIENT_ID, BIRTH_DATE
    dataset.PatientSex, dataset.StudyID, dataset.AccessionNumber = "O", "1", "A1"
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = "20250102"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = "101112"
    dataset.ReferringPhysicianName = ""
    dataset.Modality, dataset.Manufacturer = form.modality, "Nobody"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = 3, number, 1
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if form.modality == "CT" else "M"]
    dataset.SeriesDescription = f"{PATIENT_NAME} scan"
    dataset.BodyPartExamined, dataset.PatientPosition = "HEAD", "HFS"
    if form.modality == "MR":
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.MRAcquisitionType = "GR", "SP", "3D"
        dataset.EchoTime, dataset.RepetitionTime, dataset.FlipAngle = "4.76", "1900", "9"
        dataset.EchoNumbers, dataset.MagneticFieldStrength = 1, "3"
    if form.modality == "PT":
        dataset.Units, dataset.DecayCorrection, dataset.CorrectedImage = "BQML", "START", ["DECY", "ATTN"]
        dataset.SeriesType, dataset.FrameReferenceTime = ["WHOLE BODY", "IMAGE"], "1000"
    if form.modality == "CT":
        dataset.KVP, dataset.ConvolutionKernel = "120", "B30"
    return dataset


def place(dataset: Dataset, grid: Grid, position: np.ndarray) -> None:
    """Where the slice lies."""
    dataset.PixelSpacing = ds(grid.row_spacing_mm, grid.column_spacing_mm)
    dataset.ImageOrientationPatient = ds(*grid.directions[0], *grid.directions[1])
    dataset.ImagePositionPatient = ds(*position)
    dataset.SliceThickness = ds(abs(grid.step_mm))[0]
    dataset.SliceLocation = ds(float(position @ grid.normal))[0]


def set_pixels(dataset: Dataset, stored: np.ndarray, form: Form) -> None:
    """Pixels of one slice or, with three axes, of several frames; native and little-endian."""
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = form.allocated, form.stored, form.stored - 1
    dataset.PixelRepresentation = int(form.signed)
    raw = stored.astype(form.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if form.allocated > 8 else "OB"


@contextmanager
def unchecked() -> Iterator[None]:
    """Let pydicom write what is not allowed: that is what the corpus is for."""
    before = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.writing_validation_mode = before


def write_file(dataset: Dataset, path: Path, syntax: str = EXPLICIT) -> Path:
    """Write one file with preamble and file meta information."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    with unchecked():
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write(series: Series, folder: Path, syntax: str = EXPLICIT, pattern: str = "{:04d}.dcm") -> list[Path]:
    """Write every dataset; the names do not follow the slices' order."""
    order = np.random.default_rng(1).permutation(len(series.datasets))
    return [write_file(series.datasets[k], folder / pattern.format(n), syntax) for n, k in enumerate(order)]
