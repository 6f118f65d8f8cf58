from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from medidiff.io.dicom.header import Header, read_header
from medidiff.io.dicom.model import FileNote, FileRef


def dataset(**changes: Any) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = MRImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    made.SeriesInstanceUID, made.Modality, made.PatientID, made.PatientName = "1.2", "MR", "P-77", "Doe^Jane"
    made.Rows, made.Columns, made.SamplesPerPixel, made.PhotometricInterpretation = 4, 3, 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], ["11", "22", "33"]
    made.PixelSpacing, made.PixelData = [0.5, 0.75], bytes(24)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def write(made: Dataset, path: Path) -> FileRef:
    made.save_as(path, enforce_file_format=True)
    return FileRef(path, label=path.name)


def read(made: Dataset, path: Path) -> Header:
    found = read_header(write(made, path))
    assert isinstance(found, Header)
    return found


def garble(path: Path, old: bytes, new: bytes) -> FileRef:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return FileRef(path, label=path.name)


def test_a_plane(tmp_path: Path) -> None:
    header = read(dataset(), tmp_path / "a")
    (plane,) = header.planes
    assert header.trouble is None
    assert (plane.rows, plane.columns, plane.spacing_mm) == (4, 3, (0.5, 0.75))
    assert (plane.position_lps_mm, plane.orientation_lps) == ((11, 22, 33), (1, 0, 0, 0, 1, 0))
    assert (plane.slope, plane.intercept, plane.form.padding) == (1, 0, None)
    assert plane.data_offset == len((tmp_path / "a").read_bytes()) - 24
    assert {"P-77", "Doe^Jane"} <= header.identifiers


@pytest.mark.parametrize("written", [b"11\\22   ", b"11\\bc\\33", b"1\\22\\1e9", b"NaN\\2\\33"])
def test_garbled_positions_are_none(written: bytes, tmp_path: Path) -> None:
    write(dataset(), tmp_path / "a")
    header = read_header(garble(tmp_path / "a", b"11\\22\\33", written[:8]))
    assert isinstance(header, Header)
    assert header.planes[0].position_lps_mm is None


def test_signed_padding(tmp_path: Path) -> None:
    made = dataset(PixelRepresentation=1)
    made.add_new(0x00280120, "US", 63536)  # -2000 in the wrong type
    assert read(made, tmp_path / "a").planes[0].form.padding == (-2000, -2000)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Rows": 0}, "damaged"),
        ({"Rows": 65535}, "damaged"),
        ({"PixelData": bytes(22)}, "damaged"),
        ({"BitsStored": 20}, "pixels"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PixelData": bytes(72)}, "colour"),
        ({"NumberOfFrames": 2, "PixelData": bytes(48)}, "no-geometry"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "damaged"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.2"}, "segmentation"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImagePositionPatient": None}, "film"),
    ],
)
def test_trouble(changes: dict[str, Any], code: str, tmp_path: Path) -> None:
    header = read(dataset(**changes), tmp_path / "a")
    assert header.trouble is not None
    assert header.trouble[0] == code


def test_without_preamble(tmp_path: Path) -> None:
    file = write(dataset(), tmp_path / "a")
    data = file.path.read_bytes()
    file.path.write_bytes(data[132:])
    assert isinstance(read_header(file), Header)


def test_notes(tmp_path: Path) -> None:
    for content, kind in ((b"", "empty"), (b"hello" * 100, "not DICOM"), (bytes(900), "empty")):
        (tmp_path / "n").write_bytes(content)
        note = read_header(FileRef(tmp_path / "n"))
        assert isinstance(note, FileNote)
        assert note.kind == kind
    note = read_header(FileRef(tmp_path / "absent"))
    assert isinstance(note, FileNote)
    assert note.kind == "listed in the DICOMDIR but not there"
