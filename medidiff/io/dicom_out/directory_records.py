"""The bytes of a DICOMDIR: patient, study, series and image records that point at each other by place in the file.

Source: PS3.3 annex F, PS3.10 section 8.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from medidiff.io.atomic import atomic_open
from medidiff.io.dicom_out.headers import quiet_pydicom
from medidiff.io.dicom_out.uids import IMPLEMENTATION_UID, derived_uid

_LEVELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("PATIENT", ("PatientName", "PatientID")),
    (
        "STUDY",
        ("StudyDate", "StudyTime", "StudyDescription", "StudyInstanceUID", "StudyID", "AccessionNumber"),
    ),
    ("SERIES", ("Modality", "SeriesInstanceUID", "SeriesNumber")),
    ("IMAGE", ("InstanceNumber",)),
)
_NEVER_EMPTY = {"StudyDate": "19000101", "StudyTime": "000000", "StudyID": "1"}
"""A study's record must have these (type 1). The images of a study without a date keep theirs empty."""
KEYS = ("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", *(key for _, keys in _LEVELS for key in keys))
_ITEM_HEADER = 8  # tag and length


@dataclass(frozen=True)
class Image:
    """An image of the file-set: its path in parts, and its attributes `KEYS`."""

    file_id: tuple[str, ...]
    header: Dataset


@dataclass(eq=False)
class _Node:
    record: Dataset
    level: int
    index: int


def write_directory(path: Path, images: Sequence[Image]) -> None:
    """Write a DICOMDIR.

    Args:
        path: The file.
        images: Sorted, so that those of a series, study or patient follow each other.

    Raises:
        OutputError: It cannot be written.
    """
    nodes = _nodes(images)
    directory = _directory(images)
    directory.DirectoryRecordSequence = DicomSequence([node.record for node in nodes])
    with quiet_pydicom():
        places = _places(directory, nodes)
        _connect(directory, nodes, places)
        with atomic_open(path) as file:
            dcmwrite(file, directory, enforce_file_format=True)


def _directory(images: Sequence[Image]) -> Dataset:
    directory = Dataset()
    directory.FileSetID = "MEDIDIFF"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    meta.MediaStorageSOPInstanceUID = UID(derived_uid("file-set", *(str(i.header.SOPInstanceUID) for i in images)))
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "MEDIDIFF"
    directory.file_meta = meta
    return directory


def _nodes(images: Sequence[Image]) -> list[_Node]:
    """Records in the order in which they lie in the file: each before what it holds."""
    nodes: list[_Node] = []
    last: tuple[str, ...] = ("", "", "", "")
    for image in images:
        changed = next(level for level in range(4) if image.file_id[: level + 1] != last[: level + 1])
        nodes.extend(_Node(_record(image, level), level, 0) for level in range(changed, 4))
        last = image.file_id
    for index, node in enumerate(nodes):
        node.index = index
    return nodes


def _record(image: Image, level: int) -> Dataset:
    kind, keys = _LEVELS[level]
    record = Dataset()
    record.OffsetOfTheNextDirectoryRecord = 0
    record.RecordInUseFlag = 0xFFFF
    record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
    record.DirectoryRecordType = kind
    if kind == "IMAGE":
        record.ReferencedFileID = list(image.file_id)
        record.ReferencedSOPClassUIDInFile = image.header.SOPClassUID
        record.ReferencedSOPInstanceUIDInFile = image.header.SOPInstanceUID
        record.ReferencedTransferSyntaxUIDInFile = ExplicitVRLittleEndian
    if "SpecificCharacterSet" in image.header:
        record.SpecificCharacterSet = image.header.SpecificCharacterSet
    for key in keys:
        setattr(record, key, image.header.get(key) or _NEVER_EMPTY.get(key, ""))
    return record


def _places(directory: Dataset, nodes: list[_Node]) -> list[int]:
    """Where in the file each record starts; the pointers, zero as yet, have a fixed size."""
    whole = DicomBytesIO()
    dcmwrite(whole, directory, enforce_file_format=True)
    sizes = []
    for node in nodes:
        buffer = DicomBytesIO()
        dcmwrite(buffer, node.record, implicit_vr=False, little_endian=True)
        sizes.append(_ITEM_HEADER + len(buffer.getvalue()))
    start = len(whole.getvalue()) - sum(sizes)  # the records are the last of the file
    return [start + before for before in itertools.accumulate(sizes, initial=0)][:-1]


def _connect(directory: Dataset, nodes: list[_Node], places: list[int]) -> None:
    """Point each record at the next of its level and at the first of what it holds."""
    previous: dict[int, _Node] = {}
    for node in nodes:
        sibling = previous.get(node.level)
        if sibling is not None:
            sibling.record.OffsetOfTheNextDirectoryRecord = places[node.index]
        if node.level and node.level not in previous:
            previous[node.level - 1].record.OffsetOfReferencedLowerLevelDirectoryEntity = places[node.index]
        previous = {level: other for level, other in previous.items() if level < node.level} | {node.level: node}
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = places[0]
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = places[previous[0].index]
