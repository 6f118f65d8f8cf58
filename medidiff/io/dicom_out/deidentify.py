"""De-identification by construction: a small allow-list, keyed UIDs, and a look at what was written before it appears.

Source: PS3.15 annex E, Basic Application Level Confidentiality Profile (no options: dates, descriptions, devices,
institutions and what describes the patient are removed, UIDs replaced).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

import medidiff
from medidiff.errors import OutputError
from medidiff.io.dicom_out.attributes import DEIDENTIFIED, DEIDENTIFIED_CODES, IMAGE_TYPES
from medidiff.io.dicom_out.image import PROCESSING, RESAMPLING, SOURCE_IMAGE, code
from medidiff.io.identity.attributes import meaning_of

BASIC_PROFILE = ("113100", "DCM", "Basic Application Confidentiality Profile")

_TEXT = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"})
_SHORTEST = {"number of the patient": 3}
_SHORTEST_OTHER = 4
"""Shorter words than these say nothing, and stand in any text by chance."""
_STANDARD_UIDS = "1.2.840.10008."

_STANDARD_WORDS = (word for codes in (*DEIDENTIFIED_CODES.values(), IMAGE_TYPES) for word in codes)
_OWN_WORDS = " ".join(
    (
        "medidiff MEDIDIFF Denoised denoised research use only Prior SHA sha256 settings noise diffusion prior DERIVED",
        "PRIMARY SECONDARY RESEARCH YES NO REMOVED MONOCHROME1 MONOCHROME2 LINEAR LINEAR_EXACT SIGMOID CT MR HU US",
        "ISO 10918 15444 14495 rebuilt from an allow-list",
        *PROCESSING, *SOURCE_IMAGE, *RESAMPLING, *BASIC_PROFILE, *_STANDARD_WORDS,
    )
)  # fmt: skip
"""What medidiff itself and the standard's lists say: a patient called Head does not make HEAD an identifier."""


def copied_deidentified(flat: Dataset, modality: str, identifiers: re.Pattern[str]) -> Dataset:
    """Of what a source says of a plane, what may stay: listed attributes without an identifier in their text."""
    kept = Dataset()
    for keyword in DEIDENTIFIED[modality]:
        if keyword not in flat:
            continue
        texts, allowed = _texts(flat[keyword]), DEIDENTIFIED_CODES.get(keyword)
        if not any(identifiers.search(t) or (allowed is not None and t not in allowed) for t in texts):
            kept[keyword] = flat[keyword]
    return kept


def mark_deidentified(image: Dataset) -> None:
    """Say in the image that, and how, its patient was removed."""
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = f"medidiff {medidiff.__version__}: rebuilt from an allow-list"
    image.DeidentificationMethodCodeSequence = Sequence([code(BASIC_PROFILE)])
    image.LongitudinalTemporalInformationModified = "REMOVED"


def identifiers_of(headers: Iterable[Dataset]) -> set[str]:
    """What complete source headers say of who, when, where and which study: to search with, never to print."""
    found: set[str] = set()
    for header in headers:
        for element in header.iterall():
            if element.VR in _TEXT:
                found.update(_identifiers_in(element))
    return found


def identifier_pattern(identifiers: Iterable[str]) -> re.Pattern[str]:
    """Finds any of them as a whole word, in any case, except words of medidiff's own and of the standard."""
    wanted = [re.escape(text) for text in sorted(identifiers) if not _whole_word(re.escape(text)).search(_OWN_WORDS)]
    return _whole_word("|".join(wanted)) if wanted else re.compile(r"(?!)")


def check_deidentified(image: Dataset, identifiers: re.Pattern[str]) -> None:
    """Look through a whole image, sequences and file header too, for anything that identified its source.

    Raises:
        OutputError: Something survived. The message names the attribute, not the value.
    """
    for dataset in (image, image.file_meta):
        for element in dataset.iterall():
            if element.tag.is_private:
                raise OutputError(
                    f"de-identification: {element.tag} is private and would be written. Please report it."
                )
            if element.VR in _TEXT and any(identifiers.search(text) for text in _texts(element)):
                raise OutputError(
                    f"de-identification: {element.keyword} would still hold something of the source's identity, so "
                    "nothing is written. Please report it."
                )


def _identifiers_in(element: Any) -> Iterator[str]:
    meaning = meaning_of(element.keyword, element.VR, element.tag.group)
    if meaning is None or meaning == "private":  # nothing private is ever copied
        return
    for text in _texts(element):
        if element.VR == "PN":
            names = re.split(r"[\s^=,]+", text)
            yield from (text, *(name for name in names if len(name) > 1 or not name.isascii()))
        elif element.VR == "UI":
            yield from () if text.startswith(_STANDARD_UIDS) else (text,)
        elif element.VR == "TM":
            yield from (text,) if len(text) > 6 else ()  # 120000 is also a number of voxels
        elif len(text) >= _SHORTEST.get(meaning, _SHORTEST_OTHER):
            yield text
            if element.VR == "DT" and len(text) > 8:
                yield text[:8]


def _texts(element: Any) -> list[str]:
    values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    return [text for value in values if value is not None and (text := str(value).strip())]


def _whole_word(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)
