"""The names, numbers and dates by which a header could tell who somebody is: for redaction, never for printing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from medidiff.io.dicom.tags import items, texts

if TYPE_CHECKING:
    from pydicom import Dataset

_CHARACTER_SET = 0x00080005
_NAMES = (0x00100010, 0x00101001, 0x00101005, 0x00101060)  # patient, other, birth, mother's birth name
_DOCTORS = (0x00080090, 0x00081048, 0x00081050, 0x00081070, 0x00321032)
_NUMBERS = (0x00100020, 0x00101000, 0x00080050, 0x00200010, 0x00380010)  # patient, others, accession, study, admission
_DATES = (0x00100030, 0x00080020, 0x00080021, 0x00080022, 0x00080023)
_OTHER_PATIENT_IDS, _PATIENT_ID = 0x00101002, 0x00100020


def person_names(dataset: Dataset) -> tuple[str, ...]:
    """Every spelling of the patient's name."""
    return tuple(sorted(_all(dataset, _NAMES)))


def identifiers_of(dataset: Dataset) -> frozenset[str]:
    """Names, numbers and dates of the patient, of the visit and of the doctors.

    Raises:
        Exception: Whatever pydicom meets in a damaged sequence.
    """
    found = set(_all(dataset, _NAMES + _DOCTORS + _NUMBERS + _DATES))
    for item in items(dataset, _OTHER_PATIENT_IDS):
        found.update(texts(item, _PATIENT_ID))
    return frozenset(found)


def _all(dataset: Dataset, tags: Iterable[int]) -> set[str]:
    character_sets = texts(dataset, _CHARACTER_SET)
    found: set[str] = set()
    for tag in tags:
        element: Any = dataset.get_item(tag)
        if element is None or not element.value:
            continue
        raw = isinstance(element.value, bytes)
        found.update(_decode(element.value, character_sets) if raw else texts(dataset, tag))
    return {name for name in found if name}


@lru_cache(maxsize=4096)
def _decode(value: bytes, character_sets: tuple[str, ...]) -> tuple[str, ...]:
    """In the character sets that the file names, and Latin-1: files lie about them."""
    from pydicom.charset import convert_encodings, decode_bytes

    found = {value.decode("latin-1")}
    try:
        found.add(decode_bytes(value, convert_encodings(list(character_sets) or "ISO_IR 6"), {0x5C, 0x5E, 0x3D}))
    except (LookupError, ValueError):  # no such character set, or other bytes than it has
        found.add(value.decode("utf-8", errors="ignore"))
    return tuple(part.strip(" \0") for text in found for part in text[:1024].split("\\"))
