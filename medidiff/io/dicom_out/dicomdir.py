"""A DICOMDIR: the table of contents of a folder that goes onto a disc or a stick."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet, RecordNode

from medidiff.errors import InputError, OutputError
from medidiff.io.dicom_out.headers import quiet_pydicom
from medidiff.io.dicom_out.uids import derived_uid

_ROOT = "PT*"
_NO_DATE, _NO_TIME, _NO_ID = "19000101", "000000", "1"
"""A study's record needs a date, a time and an id (type 1). The images themselves keep theirs empty."""


def write_dicomdir(folder: Path) -> Path:
    """Turn a folder of written series into a DICOM file-set.

    A DICOMDIR may only name files whose path has at most eight parts of at most eight capitals and digits, without an
    ending (PS3.10, 8.2 and 8.5), and `00001.dcm` is none. The images are therefore MOVED to
    `PT000000/ST000000/SE000000/IM000000` and so on beside the DICOMDIR, in the order patient id, study, series,
    instance number. A second run adds its images to the file-set; one with the same SOPInstanceUID replaces the older.

    Args:
        folder: With images that medidiff wrote, `*.dcm` in it or in its subfolders.

    Returns:
        The DICOMDIR.

    Raises:
        InputError: No image below the folder, or a file that is none.
        OutputError: The folder cannot be written.
    """
    new = sorted(folder.rglob("*.dcm"))
    old = sorted(path for path in folder.glob(f"{_ROOT}/ST*/SE*/IM*") if path.is_file())
    if not new:
        raise InputError(f"{folder}: no DICOM images below it. Write a series into it first.")
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(prefix=".dicomdir-", suffix=".partial", dir=folder))
        _write_file_set(work, new, old)
        _swap(folder, work, new)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return folder / "DICOMDIR"


def _write_file_set(work: Path, new: list[Path], old: list[Path]) -> None:
    images: dict[str, tuple[tuple[str, str, int, str, int], Path]] = {}
    for path in (*old, *new):  # a new image replaces the older of the same UID
        header = _header(path)
        key = (
            str(header.PatientID), str(header.StudyInstanceUID), int(header.SeriesNumber or 0),
            str(header.SeriesInstanceUID), int(header.InstanceNumber or 0),
        )  # fmt: skip
        images[str(header.SOPInstanceUID)] = (key, path)
    file_set = FileSet()
    file_set.ID = "MEDIDIFF"
    with quiet_pydicom():
        for _, path in sorted(images.values()):
            image = dcmread(path)
            file_set.add_custom(image, _records(image))
        file_set.UID = derived_uid("file-set", *sorted(images))
        file_set.write(work)


def _header(path: Path) -> Dataset:
    try:
        with quiet_pydicom():
            header = dcmread(path, stop_before_pixels=True)
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"):
            header[keyword]
    except OSError:
        raise
    except Exception as error:  # a file that is no image of ours may raise anything
        raise InputError(f"{path.name}: not a DICOM image that medidiff wrote. Move it out of the folder.") from error
    return header


def _records(image: Dataset) -> RecordNode:
    """Patient, study, series and image record, each above the next; returns the image's."""
    patient = {"PatientName": image.get("PatientName"), "PatientID": image.PatientID}
    study = {
        "StudyDate": image.get("StudyDate") or _NO_DATE,
        "StudyTime": image.get("StudyTime") or _NO_TIME,
        "StudyDescription": image.get("StudyDescription", ""),
        "StudyInstanceUID": image.StudyInstanceUID,
        "StudyID": image.get("StudyID") or _NO_ID,
        "AccessionNumber": image.get("AccessionNumber", ""),
    }
    series = {key: image[key].value for key in ("Modality", "SeriesInstanceUID", "SeriesNumber")}
    node = _record("PATIENT", patient, image, None)
    node = _record("STUDY", study, image, node)
    node = _record("SERIES", series, image, node)
    instance = {"InstanceNumber": image.InstanceNumber, "ReferencedSOPInstanceUIDInFile": image.SOPInstanceUID}
    return _record("IMAGE", instance, image, node)


def _record(kind: str, values: dict[str, Any], image: Dataset, above: RecordNode | None) -> RecordNode:
    record = Dataset()
    record.DirectoryRecordType = kind
    if "SpecificCharacterSet" in image:
        record.SpecificCharacterSet = image.SpecificCharacterSet
    for keyword, value in values.items():
        setattr(record, keyword, value)
    node = RecordNode(record)
    if above is not None:
        node.parent = above
    return node


def _swap(folder: Path, work: Path, new: list[Path]) -> None:
    """Put the complete file-set in the place of the older one and of the images it was made from."""
    before = work / "before"
    before.mkdir()
    for path in (*folder.glob(_ROOT), folder / "DICOMDIR"):
        if path.exists():
            os.replace(path, before / path.name)
    for path in sorted(work.glob(_ROOT)):
        os.replace(path, folder / path.name)
    os.replace(work / "DICOMDIR", folder / "DICOMDIR")
    for path in new:
        path.unlink()
        if path.parent != folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
