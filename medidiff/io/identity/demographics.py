"""Age and sex, which describe a cohort without naming anybody."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medidiff.errors import InputError
from medidiff.io.dicom.model import FileRef

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OLDEST = 89
"""From here on ages say "89+": the very old are few enough to be found (HIPAA; BIDS recommends the same)."""

UNKNOWN = "n/a"
"""BIDS' word for what is not known."""

_AGE = re.compile(r"(\d{1,3})([DWMY])")
_A_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0}
_DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)")
_SCANNED = ("AcquisitionDate", "SeriesDate", "StudyDate", "ContentDate")
_INFANT = 2.0
_YEARS = re.compile(r"\d{1,3}(\.\d+)?")
_SEXES = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}


@dataclass(frozen=True)
class Demographics:
    """Of one patient at one scan.

    Args:
        age: Full years, one decimal below two years, "89+" or "n/a".
        sex: "M", "F", "O" or "n/a".
    """

    age: str = UNKNOWN
    sex: str = UNKNOWN


def demographics(file: FileRef) -> Demographics:
    """Age and sex by the header of a DICOM file; the age at the scan, from PatientAge or else the birth date.

    A file that cannot be read says nothing of either.
    """
    from pydicom import dcmread

    from medidiff.io.dicom.files import open_file

    wanted = ["PatientAge", "PatientSex", "PatientBirthDate", *_SCANNED]
    try:
        with open_file(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that break the standard
            try:
                dataset = dcmread(stream, force=True, stop_before_pixels=True, specific_tags=wanted)  # type: ignore[arg-type]
                said = {keyword: _text(dataset, keyword) for keyword in wanted}
            except Exception as error:  # pydicom raises anything on damaged files, and quotes them
                raise InputError(f"{file.label}: damaged DICOM file.") from error
    except InputError:
        return Demographics()
    years = _age(said["PatientAge"])
    if years is None:
        years = _between(said["PatientBirthDate"], next((said[key] for key in _SCANNED if said[key]), ""))
    sex = said["PatientSex"].upper()
    return Demographics(_told(years), sex if sex in ("M", "F", "O") else UNKNOWN)


def stated(age: str, sex: str) -> Demographics:
    """Age and sex as a table says them, in the words of `Demographics`; "n/a" for what is no age in years or no sex."""
    years = float(age) if _YEARS.fullmatch(age.strip()) else float(OLDEST) if age.strip() == f"{OLDEST}+" else None
    return Demographics(_told(years), _SEXES.get(sex.strip().lower(), UNKNOWN))


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _age(text: str) -> float | None:
    match = _AGE.fullmatch(text.upper())
    return int(match[1]) / _A_YEAR[match[2]] if match else None


def _between(born: str, scanned: str) -> float | None:
    first, last = _DATE.match(born), _DATE.match(scanned)
    if not first or not last:
        return None
    year, month, day = (int(b) - int(a) for a, b in zip(first.groups(), last.groups(), strict=True))
    years = year - ((month, day) < (0, 0))
    if years < 0:
        return None
    return years if years >= _INFANT else years + (month - (day < 0)) % 12 / 12


def _told(years: float | None) -> str:
    if years is None:
        return UNKNOWN
    if years >= OLDEST:
        return f"{OLDEST}+"
    return f"{years:.1f}" if years < _INFANT else f"{int(years)}"
