"""A DICOMDIR: the table of contents of a folder that goes onto a disc or a stick."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from medidiff.errors import InputError, OutputError
from medidiff.io.dicom_out.directory_records import KEYS, Image, write_directory
from medidiff.io.dicom_out.headers import quiet_pydicom

_ROOT = "PT*"


@dataclass(frozen=True)
class _Found:
    """An image, where it lies now, and what it is sorted by."""

    path: Path
    header: Dataset

    @property
    def key(self) -> tuple[str, str, int, str, int, str]:
        """Patient, study, series, image."""
        header = self.header
        return (
            str(header.PatientID), str(header.StudyInstanceUID), int(header.SeriesNumber or 0),
            str(header.SeriesInstanceUID), int(header.InstanceNumber or 0), str(header.SOPInstanceUID),
        )  # fmt: skip


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
    images: dict[str, _Found] = {}
    for path in (*old, *new):  # a new image replaces the older one of the same UID
        found = _Found(path, _header(path))
        images[str(found.header.SOPInstanceUID)] = found
    try:
        _arrange(folder, sorted(images.values(), key=lambda found: found.key), new)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}). Choose another folder.") from error
    return folder / "DICOMDIR"


def _header(path: Path) -> Dataset:
    try:
        with quiet_pydicom():
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(KEYS))
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"):
            header[keyword]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except Exception as error:  # a file that is no image of ours may raise anything
        raise InputError(f"{path.name}: not a DICOM image that medidiff wrote. Move it out of the folder.") from error
    return header


def _arrange(folder: Path, images: list[_Found], new: list[Path]) -> None:
    """Build the tree beside the old one, from links to the images, then change places."""
    work = Path(tempfile.mkdtemp(prefix=".dicomdir-", suffix=".partial", dir=folder))
    try:
        placed = [Image(name, found.header) for name, found in zip(_names(images), images, strict=True)]
        for image, found in zip(placed, images, strict=True):
            target = work.joinpath(*image.file_id)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(found.path, target)
        write_directory(work / "DICOMDIR", placed)
        before = work / "before"
        before.mkdir()
        for path in (*folder.glob(_ROOT), folder / "DICOMDIR"):
            if path.exists():
                os.replace(path, before / path.name)
        for path in (*sorted(work.glob(_ROOT)), work / "DICOMDIR"):
            os.replace(path, folder / path.name)
        for path in new:
            path.unlink()
            if path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _names(images: list[_Found]) -> list[tuple[str, ...]]:
    """File ids: numbered within the patient, the study and the series."""
    names: list[tuple[str, ...]] = []
    last: tuple[object, ...] = ()
    numbers = [0, 0, 0, 0]
    for found in images:
        key = (found.key[0], found.key[1], found.key[3], found.key[5])
        if last:
            level = next(i for i in range(4) if key[i] != last[i])
            numbers = [*numbers[:level], numbers[level] + 1, *[0] * (3 - level)]
        last = key
        names.append(tuple(f"{kind}{n:06d}" for kind, n in zip(("PT", "ST", "SE", "IM"), numbers, strict=True)))
    return names


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links, such as a stick's
        shutil.copyfile(source, target)
