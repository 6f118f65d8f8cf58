"""Age at the scan and sex, from what headers say."""

from pathlib import Path

import pytest

from medidiff.io.dicom.model import FileRef
from medidiff.io.identity.demographics import Demographics, demographics

from .planted import plant


@pytest.mark.parametrize(
    ("said", "age"),
    [
        ({"PatientAge": "041Y"}, "41"),
        ({"PatientAge": "088Y"}, "88"),
        ({"PatientAge": "089Y"}, "89+"),
        ({"PatientAge": "101Y"}, "89+"),
        ({"PatientAge": "006M"}, "0.5"),
        ({"PatientAge": "026W"}, "0.5"),
        ({"PatientAge": "036M"}, "3"),
        ({"PatientAge": "", "PatientBirthDate": "19800615", "AcquisitionDate": "20200614"}, "39"),
        ({"PatientAge": "", "PatientBirthDate": "19800615", "AcquisitionDate": "20200615"}, "40"),
        ({"PatientAge": "", "PatientBirthDate": "19200615", "AcquisitionDate": "20200614"}, "89+"),
        ({"PatientAge": "", "PatientBirthDate": "20200101", "AcquisitionDate": "20200714"}, "0.5"),
        ({"PatientAge": "", "PatientBirthDate": "20191101", "AcquisitionDate": "20201002"}, "0.9"),
        ({"PatientAge": "", "PatientBirthDate": "20191101", "AcquisitionDate": "20191020"}, "n/a"),
        ({"PatientAge": "", "PatientBirthDate": "20200101", "AcquisitionDate": "20190714"}, "n/a"),
        ({"PatientAge": "", "PatientBirthDate": "", "AcquisitionDate": "20190714"}, "n/a"),
        ({"PatientAge": "", "PatientBirthDate": "20200101", "AcquisitionDate": "", "SeriesDate": "20300102"}, "10"),
    ],
)
def test_age(tmp_path: Path, said: dict[str, str], age: str) -> None:
    planted = plant(tmp_path, 1, **said)
    path = next(path for path in planted.folder.rglob("*") if path.is_file())
    assert demographics(FileRef(path)) == Demographics(age, "F")


def test_what_says_nothing(tmp_path: Path) -> None:
    planted = plant(tmp_path, 1, PatientSex="", PatientAge="", PatientBirthDate="")
    path = next(path for path in planted.folder.rglob("*") if path.is_file())
    assert demographics(FileRef(path)) == Demographics("n/a", "n/a")
    path.write_bytes(b"no DICOM at all")
    assert demographics(FileRef(path)) == Demographics()
    assert demographics(FileRef(path.with_name("nothing"))) == Demographics()
