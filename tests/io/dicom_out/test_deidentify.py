"""A de-identified series holds nothing of who, when, where, and is caught if it would."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset

from medidiff.errors import OutputError
from medidiff.io.dicom_out import Derivation, derived, write_derived
from medidiff.io.dicom_out.deidentify import check_deidentified, identifier_pattern, identifiers_of
from medidiff.io.dicom_out.uids import derived_uid
from medidiff.io.identity.attributes import meaning_of

from .making import UIDS, candidate_from, make_series, read_back, volume_of


def keyed(uid: str) -> str:
    return derived_uid("test key", uid)


def called(patient_id: str, *, issuer: str = "", study_uid: str = "") -> str:
    return f"p-{len(patient_id)}"


DONE = Derivation(
    "Denoised by a diffusion prior", "general", "ab" * 32, noise_std=14.0, deidentify=True, pseudonym=called,
    keyed_uid=keyed,
)  # fmt: skip

SECRETS = (
    "Musterfrau", "Erika", "K4711", "19480229", "20250317", "101112", "101530", "ACC998877", "ST-55", "House",
    "Schaedel", "Kopf", "Klinikum", "CTAWP7", "SN12345", "Schmidt", "allergic", "077Y", "61.5", f"{UIDS}.",
)  # fmt: skip


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_no_secret_is_in_the_bytes(tmp_path: Path, modality: str) -> None:
    source = candidate_from(make_series(tmp_path / "source", modality))
    volume = volume_of(source)
    paths = write_derived(volume, source, tmp_path / "out", DONE)
    for path in paths:
        image = pydicom.dcmread(path)
        del image.PixelData
        header = tmp_path / "header"
        image.save_as(header, enforce_file_format=True)
        content = header.read_bytes()
        for secret in SECRETS:
            assert secret.encode() not in content, secret
    np.testing.assert_array_equal(read_back(paths).affine_ras, volume.affine_ras)


def test_what_a_deidentified_image_says(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    paths = write_derived(volume_of(source), source, tmp_path / "out", DONE)
    for plane, path in zip(source.planes, paths, strict=True):
        image = pydicom.dcmread(path)
        assert image.PatientName == image.PatientID == "p-8"
        assert image.SeriesDescription == "MR [denoised, research]"
        assert (image.PatientIdentityRemoved, image.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
        assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert image.StudyInstanceUID == keyed(source.series.study_uid)
        assert image.FrameOfReferenceUID == keyed(source.series.frame_of_reference_uid)
        # so that the originals, de-identified with the same key, are still found
        assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == keyed(plane.sop_instance)
        assert (image.BodyPartExamined, image.PatientPosition, image.RepetitionTime) == ("HEAD", "HFS", 500)
        for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "StudyID", "PatientBirthDate", "PatientSex"):
            assert image[keyword].is_empty


def test_every_attribute_left_is_harmless(tmp_path: Path) -> None:
    """Held against the table of the profile itself."""
    source = candidate_from(make_series(tmp_path / "source", "CT"))
    image = pydicom.dcmread(write_derived(volume_of(source), source, tmp_path / "out", DONE)[0])
    own = {"PatientName", "PatientID", "SeriesDescription", "DerivationDescription"}
    for element in image.iterall():
        meaning = meaning_of(element.keyword, element.VR, element.tag.group)
        assert meaning in (None, "UID") or element.keyword in own or element.is_empty, element.keyword


@pytest.mark.parametrize(
    "leak",
    [
        {"Manufacturer": "bought by Musterfrau"},
        {"ManufacturerModelName": "scanner of k4711-33"},
        {"BodyPartExamined": "MUSTERFRAU"},
        {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ERIKA"]},
        {"MRAcquisitionType": "ERIKA"},
        {"ReceiveCoilName": "Musterfrau"},
        {"SequenceName": "Erika"},
    ],
    ids=lambda leak: next(iter(leak)),
)
def test_a_name_in_a_place_where_none_belongs_does_not_get_through(tmp_path: Path, leak: dict[str, Any]) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", **leak))
    text = repr(pydicom.dcmread(write_derived(volume_of(source), source, tmp_path / "out", DONE)[0])).lower()
    for secret in ("musterfrau", "erika", "k4711"):
        assert secret not in text


def test_a_patient_called_head_is_no_reason_to_refuse(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR", PatientName="HEAD^Research", PatientID="MR"))
    image = pydicom.dcmread(write_derived(volume_of(source), source, tmp_path / "out", DONE)[0])
    assert image.BodyPartExamined == "HEAD"


def test_a_hole_in_the_allow_list_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    monkeypatch.setattr(derived, "copied_deidentified", lambda flat, *_: flat)
    with pytest.raises(OutputError, match=r"de-identification: \w+ would still hold") as error:
        write_derived(volume_of(source), source, tmp_path / "out", DONE)
    assert not any(secret in str(error.value) for secret in SECRETS)
    assert not (tmp_path / "out").exists()


def test_what_the_caller_says_is_looked_through_as_well(tmp_path: Path) -> None:
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    with pytest.raises(OutputError, match="DerivationDescription"):
        write_derived(volume_of(source), source, tmp_path / "out", replace(DONE, what="Denoised for Erika Musterfrau"))


def test_the_search_finds_whole_words_at_any_depth() -> None:
    source = pydicom.Dataset()
    source.PatientName, source.PatientID, source.StudyDate = "Li^Ann", "123", "20240102"
    pattern = identifier_pattern(identifiers_of([source]))
    for text, found in (("x li y", True), ("Lion", False), ("id 123", True), ("id 1234", False), ("20240102", True)):
        image, item = pydicom.Dataset(), pydicom.Dataset()
        item.ContributionDescription = text
        image.ContributingEquipmentSequence = [item]
        image.file_meta = FileMetaDataset()
        if found:
            with pytest.raises(OutputError, match="ContributionDescription"):
                check_deidentified(image, pattern)
        else:
            check_deidentified(image, pattern)


def test_private_attributes_are_refused_whatever_they_say() -> None:
    image = pydicom.Dataset()
    image.file_meta = FileMetaDataset()
    image.private_block(0x0029, "ACME", create=True).add_new(1, "LO", "harmless")
    with pytest.raises(OutputError, match="private"):
        check_deidentified(image, re.compile(r"(?!)"))


def test_without_injection_the_keyed_functions_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medidiff.io.identity import home, pseudonym

    monkeypatch.setenv("MEDIDIFF_HOME", str(tmp_path / "home"))
    assert home.home_folder() == tmp_path / "home"
    source = candidate_from(make_series(tmp_path / "source", "MR"))
    done = replace(DONE, pseudonym=None, keyed_uid=None)
    image = pydicom.dcmread(write_derived(volume_of(source), source, tmp_path / "out", done)[0])
    assert image.PatientID == pseudonym.pseudonym("K4711-33")
    assert image.StudyInstanceUID == pseudonym.keyed_uid(source.series.study_uid)
