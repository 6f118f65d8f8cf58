"""Where identifiers are: every planted one is found, none is printed."""

import gzip
import json
import struct
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension, Nifti1Header, Nifti1Image
from nibabel.nifti2 import Nifti2Image

from medidiff.errors import InputError
from medidiff.io.identity.find import IN_A_NAME, IdentityReport, find_identifiers
from medidiff.io.identity.traces_dicom import BURNED_IN, FACE

from .planted import NAME, NUMBER, Planted, plant


def where(report: IdentityReport, meaning: str) -> dict[str, int]:
    return {found.where: found.files for found in report.findings if found.meaning == meaning}


@pytest.fixture(scope="module")
def planted_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, IdentityReport]:
    planted = plant(tmp_path_factory.mktemp("planted"))
    return planted, find_identifiers(planted.folder)


def test_every_planted_attribute_is_found_in_every_file(planted_report: tuple[Planted, IdentityReport]) -> None:
    planted, report = planted_report
    names = {found.where: found for found in report.findings if found.medium == "DICOM"}
    inside = ("nested id", "nested text", "private", "private creator", "family", "given")
    missing = {keyword for keyword in planted.tokens if keyword not in inside} - set(names)
    assert not missing
    assert all(found.files == 5 for found in names.values())
    assert names["PatientID"].values == tuple(sorted((NUMBER, "ZQnested1")))
    assert names["PatientName"].values == (NAME,)
    assert names["RequestedProcedureDescription"].values == tuple(
        sorted((planted.tokens["RequestedProcedureDescription"], "ZQnested2"))
    )
    assert len(names["SOPInstanceUID"].values) == 5
    assert names["private elements"].values == ("(0029,1010)",)
    assert report.looked_at == {"DICOM": 5}
    assert report.removed == 0


def test_the_report_itself_holds_none_of_them(planted_report: tuple[Planted, IdentityReport]) -> None:
    planted, report = planted_report
    assert not planted.left_in([repr(report), *(found.where for found in report.findings)])
    assert where(report, IN_A_NAME) == {"[id]/[id]-[id]/[id]...": 5}


def test_pixels_that_may_hold_text(tmp_path: Path) -> None:
    capture = "1.2.840.10008.5.1.4.1.1.7.2"
    cases: list[tuple[dict[str, object], str | None]] = [
        ({}, None),
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation says YES"),
        ({"SOPClassUID": capture}, "secondary capture, nothing said about text"),
        ({"SOPClassUID": capture, "BurnedInAnnotation": "NO"}, None),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, "derived image, nothing said about text"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "SCREEN SAVE"]}, "derived image, nothing said about text"),
        ({"Modality": "US"}, "modality US, nothing said about text"),
    ]
    for number, (said, expected) in enumerate(cases):
        report = find_identifiers(plant(tmp_path / str(number), 1, **said).folder)
        assert where(report, BURNED_IN) == ({expected: 1} if expected else {})


def test_faces_and_removed_identity(tmp_path: Path) -> None:
    report = find_identifiers(plant(tmp_path / "1", 2, BodyPartExamined="HEAD", PatientIdentityRemoved="YES").folder)
    assert list(where(report, FACE).values()) == [2]
    assert report.removed == 2
    report = find_identifiers(plant(tmp_path / "2", 2, BodyPartExamined="HEAD", RecognizableVisualFeatures="NO").folder)
    assert not where(report, FACE)


def test_a_zip_and_one_file(tmp_path: Path) -> None:
    planted = plant(tmp_path / "a")
    files = [path for path in sorted(planted.folder.rglob("*")) if path.is_file()]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in files:
            archive.write(path, path.relative_to(planted.folder))
    assert find_identifiers(tmp_path / "x.zip").findings == find_identifiers(planted.folder).findings
    assert find_identifiers(files[0]).looked_at == {"DICOM": 1}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_texts_and_extensions(tmp_path: Path, version: int, ending: str) -> None:
    kind = Nifti1Image if version == 1 else Nifti2Image
    image = kind(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header["descrip"], image.header["aux_file"], image.header["intent_name"] = b"Zq1", b"Zq2", b"Zq3"
    image.header.extensions.append(Nifti1Extension("comment", b"Zq4 was here"))
    image.header.extensions.append(Nifti1Extension(40, b"Zq5"))
    nibabel.save(image, tmp_path / f"a{ending}")
    report = find_identifiers(tmp_path)
    assert where(report, "free text") == {
        "descrip": 1, "aux_file": 1, "intent_name": 1, "extension (comment)": 1, "extension (code 40)": 1,
    }  # fmt: skip
    assert {found.values for found in report.findings} == {("Zq1",), ("Zq2",), ("Zq3",), ("Zq4 was here",), ("Zq5",)}
    assert report.looked_at == {"NIfTI": 1}


def test_an_old_database_name_and_the_other_byte_order(tmp_path: Path) -> None:
    image = Nifti1Image(np.zeros((2, 2, 2), ">i2"), np.eye(4), Nifti1Header(endianness=">"))
    image.header["db_name"] = b"Zq^db"
    nibabel.save(image, tmp_path / "a.nii")
    assert struct.unpack(">i", (tmp_path / "a.nii").read_bytes()[:4]) == (348,)
    assert where(find_identifiers(tmp_path), "free text") == {"db_name": 1}


def test_json_beside_a_scan(tmp_path: Path) -> None:
    said = {
        "PatientName": "Zq", "PatientID": "Zq1", "AcquisitionDateTime": "2019-01-01T10:00:00", "InstitutionName": "Zq2",
        "EchoTime": 0.03, "SeriesInstanceUID": "1.2.999.3", "PatientBirthDate": "", "Manufacturer": "x",
        "global": {"const": {"PatientWeight": 70, "OtherPatientIDs": ["Zq3", "Zq4"]}},
    }  # fmt: skip
    (tmp_path / "Zq1.json").write_text(json.dumps(said))
    report = find_identifiers(tmp_path)
    assert {found.where for found in report.findings if found.medium == "JSON"} == {
        "PatientName", "PatientID", "AcquisitionDateTime", "InstitutionName", "SeriesInstanceUID", "PatientWeight",
        "OtherPatientIDs",
    }  # fmt: skip
    assert where(report, IN_A_NAME) == {"[id]...": 1}


def test_tables_beside_scans(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text(
        "participant_id\tage\tDate of Birth\tPatientName\tgroup\nsub-1\t30\tn/a\tZq\tx\n"
    )
    (tmp_path / "sub-1_scans.tsv").write_text("filename\tacq_time\nanat/x.nii.gz\t2019-01-31T10:00:00\n")
    (tmp_path / "on 31.01.2019").mkdir()
    (tmp_path / "on 31.01.2019" / "x").write_text("")
    (tmp_path / "bad.tsv").write_bytes(b"\xff\xfe\x00\n")
    report = find_identifiers(tmp_path)
    assert {(found.where, found.meaning) for found in report.findings} == {
        ("column age", "about the patient"), ("column PatientName", "patient's name"),
        ("column acq_time", "date or time"), ("on [id]/...", IN_A_NAME),
    }  # fmt: skip
    assert report.looked_at == {"table": 2}
    assert report.unreadable == ("bad.tsv",)


def test_what_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    planted = plant(tmp_path)
    (tmp_path / "Zqfamily_Zqgiven" / "x.nii.gz").write_bytes(gzip.compress(b"nothing"))
    (tmp_path / "Zqfamily_Zqgiven" / "y.nii").write_bytes(b"")
    (tmp_path / "Zqfamily_Zqgiven" / "z.json").write_text("{")
    (tmp_path / "readme.txt").write_text("no scan")
    report = find_identifiers(planted.folder)
    assert report.unreadable == ("[id]/x.nii.gz", "[id]/y.nii", "[id]/z.json")
    with pytest.raises(InputError):
        find_identifiers(tmp_path / "nothing")


@pytest.mark.parametrize("length", [0, 100, 132, 140, 200, 400, 700, 1500, 4000])
def test_a_truncated_file_is_looked_at_or_named(tmp_path: Path, length: int) -> None:
    planted = plant(tmp_path, 1)
    path = next(path for path in planted.folder.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:length])
    report = find_identifiers(path)
    assert len(report.unreadable) + sum(report.looked_at.values()) <= 1
    assert not planted.left_in(found.where for found in report.findings)


def test_progress_counts_every_file(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    find_identifiers(plant(tmp_path).folder, lambda done, all_of_them: seen.append((done, all_of_them)))
    assert seen == [(i, 5) for i in range(1, 6)]
