"""A DICOM series with a token of its own in every attribute that may say who a patient is, and in its path.

Whatever a verb prints or writes is searched for the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from medidiff.io.identity.attributes import meaning_of

NAME, NUMBER, BORN, ACCESSION = "Zqfamily^Zqgiven", "ZQ4471193", "18731104", "ZQ88117"
# Attributes that a reader of the series needs as they are, and those whose words are not a person's.
_KEPT = frozenset({"PatientSex", "PatientAge", "SOPInstanceUID", "TimezoneOffsetFromUTC"})
_COMMAND, _FILE_META, _DIRECTORY, _REPEATING = 0x0000, 0x0002, 0x0004, 0x5000


@dataclass(frozen=True)
class Planted:
    """What was planted.

    Args:
        folder: Above the folder that is named after the patient.
        tokens: By keyword; "private" and "nested" for what has none of its own.
    """

    folder: Path
    tokens: dict[str, str]

    def left_in(self, texts: Iterable[str]) -> set[str]:
        """Keywords whose token stands in one of the texts."""
        whole = "\n".join(texts).casefold()
        return {keyword for keyword, token in self.tokens.items() if token.casefold() in whole}


def plant(folder: Path, slices: int = 5, **more: object) -> Planted:
    """Write a readable MR series of 16 by 12 voxels into a folder named after its patient.

    Args:
        folder: Where.
        slices: How many.
        more: Further attributes by keyword.
    """
    tokens: dict[str, str] = {}
    template = Dataset()
    for number, (tag, entry) in enumerate(sorted(DicomDictionary.items())):
        kind, keyword, group = entry[0], entry[4], tag >> 16
        if group in (_COMMAND, _FILE_META, _DIRECTORY) or group >= _REPEATING or keyword in _KEPT:
            continue
        value = _value(kind, number) if meaning_of(keyword, kind, group) else None
        if value is not None:
            setattr(template, keyword, value)
            tokens[keyword] = value.decode() if isinstance(value, bytes) else value
    own = {"PatientName": NAME, "PatientID": NUMBER, "PatientBirthDate": BORN, "AccessionNumber": ACCESSION}
    for keyword, value in own.items():
        setattr(template, keyword, value)
    tokens |= {"family": "Zqfamily", "given": "Zqgiven", **{k: v for k, v in own.items() if k != "PatientName"}}
    tokens.pop("PatientName")
    _nest(template, tokens)
    place = folder / "Zqfamily_Zqgiven" / f"{NUMBER}-1873-11-04"
    place.mkdir(parents=True)
    for index in range(slices):
        _write(template, place / f"{ACCESSION}_{index}", index, more)
    return Planted(folder, tokens)


def _value(kind: str, number: int) -> str | bytes | None:
    match kind:
        case "PN":
            return f"Zq{number}fam"
        case "LO" | "SH" | "LT" | "ST" | "UT" | "UC":
            return f"Zq{number}text"
        case "CS" | "AE":
            return f"ZQ{number}"
        case "DA":
            return f"1{600 + number // 28 % 300}11{number % 28 + 1:02d}"
        case "TM":
            return f"114233.9{number:05d}"
        case "DT":
            return f"18660203114233.9{number:05d}"
        case "UI":
            return f"1.2.999.{number}.777001"
        case "OB":
            return f"Zq{number}bytes".ljust(12).encode()
        case _:
            return None


def _nest(template: Dataset, tokens: dict[str, str]) -> None:
    other, request = Dataset(), Dataset()
    other.PatientID, tokens["nested id"] = "ZQnested1", "ZQnested1"
    request.RequestedProcedureDescription, tokens["nested text"] = "ZQnested2", "ZQnested2"
    template.OtherPatientIDsSequence, template.RequestAttributesSequence = [other], [request]
    block = template.private_block(0x0029, "ZQCREATOR", create=True)
    block.add_new(0x10, "LO", "ZQprivate")
    tokens["private"], tokens["private creator"] = "ZQprivate", "ZQCREATOR"
    template.add_new(0x60000022, "LO", "ZQoverlay")
    tokens["OverlayDescription"] = "ZQoverlay"


def _write(template: Dataset, path: Path, index: int, more: dict[str, object]) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.999.1.{index + 1}")
    file = FileDataset(path, template, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = MRImageStorage, meta.MediaStorageSOPInstanceUID, "MR"
    file.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    file.SeriesNumber, file.InstanceNumber, file.PatientSex, file.PatientAge = 7, index + 1, "F", "093Y"
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 12, 16, 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    file.PixelSpacing, file.SliceThickness = [1.5, 1.25], 3
    file.ImageOrientationPatient, file.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * index]
    file.PixelData = np.random.default_rng(index).integers(0, 900, (12, 16), dtype=np.uint16).tobytes()
    for keyword, value in more.items():
        setattr(file, keyword, value)
    file.save_as(path, enforce_file_format=True)
