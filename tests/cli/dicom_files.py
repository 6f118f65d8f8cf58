"""Small DICOM series of a patient whose name, number and dates must turn up nowhere."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

NAME, NUMBER, BIRTH, DAY = "Quxwort^Zelda", "ZQ77341905", "19610322", "20190814"
PLANTED = ("quxwort", "zelda", "zq77341905", "77341905", "19610322", "20190814", "kneecase")
CT, MR, CAPTURE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"


def make_series(
    folder: Path,
    *,
    number: int = 3,
    modality: str = "CT",
    slices: int = 10,
    shape: tuple[int, int] = (14, 12),
    step_mm: float = 2.0,
    missing: tuple[int, ...] = (),
    tilt_deg: float = 0.0,
    seed: int = 0,
    study: str = "1",
    patient: tuple[str, str] = (NAME, NUMBER),
    **tags: Any,
) -> np.ndarray:
    """Write one series, a file a slice; returns the values (x, y, z) = (column, row, slice)."""
    folder.mkdir(parents=True, exist_ok=True)
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in (*shape, slices)], indexing="ij")
    ball = 600 * (x**2 + y**2 + z**2 < 0.7) + 200
    stored = np.rint(ball + np.random.default_rng(seed).normal(0, 30, ball.shape)).astype(np.int16)
    uid = generate_uid(entropy_srcs=["series", str(number), str(seed), study, str(tags)])
    for k in range(slices):
        if k in missing:
            continue
        plane = _plane(stored[:, :, k].T, modality)
        plane.PatientName, plane.PatientID = patient
        plane.StudyInstanceUID = generate_uid(entropy_srcs=["study", study])
        plane.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", study])
        plane.SeriesInstanceUID, plane.SeriesNumber = uid, number
        plane.SOPInstanceUID = generate_uid(entropy_srcs=[uid, str(k)])
        plane.InstanceNumber = k + 1
        shear = k * step_mm * float(np.tan(np.deg2rad(tilt_deg)))
        plane.ImagePositionPatient = [-10.0, -20.0 + shear, 30.0 + k * step_mm]
        plane.SliceThickness = step_mm
        for key, value in tags.items():
            setattr(plane, key, value[k] if isinstance(value, tuple) else value)
        plane.file_meta.MediaStorageSOPInstanceUID = plane.SOPInstanceUID
        plane.save_as(folder / f"IM{k:04d}.dcm", enforce_file_format=True)
    return stored.astype(np.float32) - (1024 if modality == "CT" else 0)


def _plane(pixels: np.ndarray, modality: str) -> Dataset:
    plane = Dataset()
    plane.file_meta = FileMetaDataset()
    plane.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plane.SOPClassUID = CT if modality == "CT" else MR
    plane.file_meta.MediaStorageSOPClassUID = UID(plane.SOPClassUID)
    plane.Modality = modality
    plane.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if modality == "CT" else "M"]
    plane.PatientBirthDate, plane.PatientSex = BIRTH, "F"
    plane.StudyDate = plane.SeriesDate = plane.ContentDate = DAY
    plane.StudyTime = plane.ContentTime = "101112"
    plane.StudyID = plane.AccessionNumber = ""
    plane.ReferringPhysicianName = ""
    plane.StudyDescription = plane.SeriesDescription = "kneecase of Zelda"
    plane.Manufacturer = "SIEMENS"
    plane.BodyPartExamined, plane.PatientPosition = "KNEE", "HFS"
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    plane.PixelSpacing = [1.5, 1.25]
    plane.Rows, plane.Columns = pixels.shape
    plane.SamplesPerPixel, plane.PhotometricInterpretation = 1, "MONOCHROME2"
    plane.BitsAllocated, plane.BitsStored, plane.HighBit, plane.PixelRepresentation = 16, 16, 15, 1
    if modality == "CT":
        plane.RescaleSlope, plane.RescaleIntercept, plane.RescaleType = 1, -1024, "HU"
        plane.KVP, plane.AcquisitionNumber = 120, 1
    else:
        plane.ScanningSequence, plane.SequenceVariant, plane.ScanOptions = "SE", "NONE", ""
        plane.MRAcquisitionType, plane.EchoTime, plane.RepetitionTime, plane.EchoTrainLength = "3D", 12.5, 800, 1
    plane.BurnedInAnnotation = "NO"
    plane.PixelData = pixels.astype("<i2").tobytes()
    return plane
