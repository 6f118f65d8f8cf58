"""Sources for the writer, read by pydicom alone: independent of medidiff's own reader."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRBigEndian, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from medidiff.geometry import lps_to_ras
from medidiff.io.dicom.model import Candidate, Facts, FileRef, PixelForm, Plane, SeriesFacts, Stacking
from medidiff.volume import Volume

UIDS = "1.2.826.0.1.3680043.8.498.77"


def make_series(
    folder: Path,
    modality: str = "CT",
    shape: tuple[int, int, int] = (12, 10, 5),
    spacing_mm: tuple[float, float, float] = (0.7, 0.9, 2.5),
    *,
    syntax: str = ExplicitVRLittleEndian,
    stored: np.ndarray | None = None,
    signed: bool = False,
    slopes: Sequence[tuple[float, float]] | None = None,
    oblique: bool = True,
    **more: Any,
) -> list[Path]:
    """A classic series with all that identifies a person; `more` sets attributes, None removes them."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    if stored is None:
        stored = rng.integers(0, 4096, shape)
    turn = np.linalg.qr(np.array([[1.0, 0.1, 0.02], [-0.05, 1.0, 0.3], [0.01, -0.2, 1.0]]))[0] if oblique else np.eye(3)
    turn = turn * np.sign(np.diag(turn))
    turn[:, 2] = np.cross(turn[:, 0], turn[:, 1])
    paths = []
    for k in range(shape[2]):
        ds = Dataset()
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if modality == "CT" else ["ORIGINAL", "PRIMARY", "M", "NORM"]
        ds.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        ds.SOPInstanceUID = f"{UIDS}.1.{k + 1}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (f"{UIDS}.{i}" for i in (2, 3, 4))
        ds.Modality, ds.SeriesNumber, ds.InstanceNumber = modality, "7", str(shape[2] - k)
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = (
            "Musterfrau^Erika",
            "K4711-33",
            "19480229",
            "F",
        )
        ds.PatientAge, ds.PatientWeight = "077Y", "61.5"
        ds.StudyDate, ds.StudyTime, ds.AcquisitionDate, ds.AcquisitionTime = (
            "20250317",
            "101112",
            "20250317",
            "101530.25",
        )
        ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "ACC998877", "ST-55", "House^Gregory"
        ds.StudyDescription, ds.SeriesDescription = "Schaedel nativ", "Kopf Spirale 2.5"
        ds.InstitutionName, ds.StationName, ds.Manufacturer = "Klinikum Musterstadt", "CTAWP7", "ACME"
        ds.DeviceSerialNumber, ds.ProtocolName, ds.OperatorsName = "SN12345", "Kopf Routine", "Schmidt^Anna"
        ds.ImageComments, ds.PatientComments = "called Dr House", "allergic"
        ds.BodyPartExamined, ds.PatientPosition = "HEAD", "HFS"
        ds.AcquisitionNumber, ds.PositionReferenceIndicator = "1", ""
        if modality == "CT":
            ds.KVP, ds.ConvolutionKernel, ds.RescaleType = "120", "H30s", "HU"
        else:
            ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "SE", "SK", "", "2D"
            ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = "500", "9.5", "1"
        ds.SliceThickness = "3"
        ds.PixelSpacing = [spacing_mm[1], spacing_mm[0]]
        ds.ImageOrientationPatient = [format_number_as_ds(v) for v in turn[:, :2].T.reshape(-1)]
        position = np.array([-101.25, 33.5, -402.125]) + k * spacing_mm[2] * turn[:, 2]
        ds.ImagePositionPatient = [format_number_as_ds(float(v)) for v in position]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = shape[1], shape[0]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, int(signed)
        ds.SmallestImagePixelValue, ds.LargestImagePixelValue = int(stored.min()), int(stored.max())
        ds.WindowCenter, ds.WindowWidth = "40", "400"
        if slopes is not None or modality == "CT":
            slope, intercept = (1.0, -1024.0) if slopes is None else slopes[k]
            ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
        block = ds.private_block(0x0029, "ACME PRIVATE", create=True)
        block.add_new(0x10, "LO", "Musterfrau private")
        for keyword, value in more.items():
            if value is None:
                del ds[keyword]
            else:
                setattr(ds, keyword, value)
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        plane = np.ascontiguousarray(stored[:, :, k].T.astype(f"{order}{'i' if signed else 'u'}2"))
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if _compressed(syntax) else UID(syntax)
        ds.add_new("PixelData", "OW", plane.tobytes())
        if _compressed(syntax):
            ds.compress(syntax, generate_instance_uid=False)
        path = folder / f"IM{k:04d}"
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        paths.append(path)
    return paths


def _compressed(syntax: str) -> bool:
    return UID(syntax).is_compressed


def candidate_from(paths: Sequence[Path]) -> Candidate:
    """A candidate of classic files, or of one multi-frame file's first stack."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    planes = [
        _plane(path, header, frame)
        for path, header in zip(paths, headers, strict=True)
        for frame in range(int(header.get("NumberOfFrames", 1)))
    ]
    first = planes[0].orientation_lps
    assert first is not None
    normal = np.cross(first[:3], first[3:])
    planes = [plane for plane in planes if plane.orientation_lps == first]
    # one time, one echo
    unique = {round(float(normal @ np.array(p.position_lps_mm)), 3): p for p in reversed(planes)}
    planes = [unique[key] for key in sorted(unique)]
    positions = np.array([plane.position_lps_mm for plane in planes])
    affine = np.eye(4)
    rows_mm, columns_mm = planes[0].spacing_mm or (0.0, 0.0)
    affine[:3, 0], affine[:3, 1] = np.array(first[:3]) * columns_mm, np.array(first[3:]) * rows_mm
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(planes) - 1)
    affine[:3, 3] = positions[0]
    ds = headers[0]
    series = SeriesFacts(
        str(ds.SeriesInstanceUID), str(ds.get("StudyInstanceUID", "")), str(ds.get("FrameOfReferenceUID", "")),
        str(ds.get("PatientID", "")), (str(ds.get("PatientName", "")),),
        None if ds.get("SeriesNumber") is None else int(ds.SeriesNumber), str(ds.Modality),
        str(ds.get("SeriesDescription", "")), str(ds.get("Manufacturer", "")), str(ds.get("BodyPartExamined", "")),
        str(ds.get("BurnedInAnnotation", "")), str(ds.get("LossyImageCompression", "")) == "01",
    )  # fmt: skip
    shape = (planes[0].columns, planes[0].rows, len(planes))
    stacking = Stacking(shape, lps_to_ras(affine), tuple(range(len(planes))))
    return Candidate("0a1b2c3d", series, "", tuple(planes), stacking, files=len(paths))


def _plane(path: Path, ds: Dataset, frame: int) -> Plane:
    groups: list[Dataset] = [ds]
    frames = int(ds.get("NumberOfFrames", 1))
    if "PerFrameFunctionalGroupsSequence" in ds:
        both = (ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[frame])
        groups = [item.value[0] for group in reversed(both) for item in group if item.VR == "SQ" and item.value]

    def get(keyword: str, default: Any = None) -> Any:
        return next((g[keyword].value for g in groups if keyword in g and g[keyword].value is not None), default)

    form = PixelForm(
        str(ds.file_meta.TransferSyntaxUID), 1, str(ds.PhotometricInterpretation), 16, int(ds.BitsStored),
        int(ds.HighBit), bool(ds.PixelRepresentation),
    )  # fmt: skip
    rows_mm, columns_mm = (float(v) for v in get("PixelSpacing"))
    x, y, z = (float(v) for v in get("ImagePositionPatient"))
    return Plane(
        FileRef(path, label=path.name), frame, frames, str(ds.SOPClassUID), str(ds.SOPInstanceUID), None, int(ds.Rows),
        int(ds.Columns), form, float(get("RescaleSlope", 1)), float(get("RescaleIntercept", 0)), "",
        (rows_mm, columns_mm), tuple(float(v) for v in get("ImageOrientationPatient")),
        (x, y, z), float(get("SliceThickness") or 0) or None, None, Facts(),
    )  # fmt: skip


def volume_of(candidate: Candidate) -> Volume:
    """The voxels of a candidate, by pydicom."""
    arrays: dict[Path, np.ndarray] = {}
    planes = []
    for plane in candidate.planes:
        if plane.file.path not in arrays:
            arrays[plane.file.path] = pydicom.dcmread(plane.file.path).pixel_array
        pixels = arrays[plane.file.path]
        pixels = pixels[plane.frame] if plane.frames > 1 else pixels
        planes.append(pixels.T.astype(np.float64) * plane.slope + plane.intercept)
    assert candidate.stacking is not None
    data = np.stack(planes, axis=2).astype(np.float32)
    return Volume(data, candidate.stacking.affine_ras, modality=candidate.series.modality)


def read_back(paths: Sequence[Path]) -> Volume:
    """The volume of written files: sorted by place, never by number."""
    return volume_of(candidate_from(paths))


def dciodvfy(paths: Sequence[Path]) -> list[str]:
    """The distinct lines dciodvfy says of files, without the one about SyntheticData, which it does not know."""
    said: set[str] = set()
    for path in paths:
        done = subprocess.run(
            ["dciodvfy", "-new", str(path)], capture_output=True, text=True, errors="replace", check=False
        )
        said.update(line for line in (done.stderr + done.stdout).splitlines() if line)
    return sorted(line for line in said if "0008,001c" not in line.lower() and not line.endswith("Image"))
