"""The table of attributes against the standard's dictionary."""

import pytest
from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

from medidiff.io.identity.attributes import MEANINGS, listed_keywords, meaning_of


def test_every_keyword_is_in_the_dictionary() -> None:
    known = {entry[4] for table in (DicomDictionary, RepeatersDictionary) for entry in table.values()}
    assert not listed_keywords() - known


# One or more of every kind of value that PS3.15 table E.1-1 names, and what must stay: the geometry and the physics.
@pytest.mark.parametrize(
    ("keyword", "meaning"),
    [
        ("PatientName", "patient's name"),
        ("OtherPatientNames", "patient's name"),
        ("PatientMotherBirthName", "patient's name"),
        ("PatientID", "number of the patient"),
        ("AccessionNumber", "number of the patient"),
        ("StudyID", "number of the patient"),
        ("ClinicalTrialSubjectID", "number of the patient"),
        ("PatientBirthDate", "date or time"),
        ("AcquisitionDateTime", "date or time"),
        ("StudyTime", "date or time"),
        ("TimezoneOffsetFromUTC", "date or time"),
        ("PatientAge", "about the patient"),
        ("EthnicGroup", "about the patient"),
        ("PatientAddress", "about the patient"),
        ("SeriesDescription", "free text"),
        ("ProtocolName", "free text"),
        ("ImageComments", "free text"),
        ("AdditionalPatientHistory", "free text"),
        ("UserContentLabel", "free text"),
        ("CommentsOnRadiationDose", "free text"),
        ("OperatorsName", "staff"),
        ("ReferringPhysicianName", "staff"),
        ("PersonIdentificationCodeSequence", "staff"),
        ("InstitutionName", "institution"),
        ("GPSLatitude", "institution"),
        ("StationName", "device"),
        ("DeviceSerialNumber", "device"),
        ("RetrieveAETitle", "device"),
        ("SeriesInstanceUID", "UID"),
        ("FrameOfReferenceUID", "UID"),
        ("EncapsulatedDocument", "picture or document"),
        ("IconImageSequence", "picture or document"),
        *(
            (keyword, None)
            for keyword in (
                "Rows", "PixelSpacing", "ImagePositionPatient", "EchoTime", "KVP", "Modality", "SOPClassUID",
                "ImageType", "ContextGroupVersion", "CodeMeaning", "Manufacturer", "ManufacturerModelName",
                "SequenceName", "BodyPartExamined", "PatientPosition", "SeriesNumber", "WindowCenter",
            )
        ),
    ],
)  # fmt: skip
def test_what_attributes_tell(keyword: str, meaning: str | None) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert meaning_of(keyword, dictionary_VR(tag), tag >> 16) == meaning


def test_private_and_repeating_groups() -> None:
    assert meaning_of("", "LO", 0x0029) == "private"
    assert meaning_of("OverlayData", "OW", 0x6002) == "picture or document"
    assert meaning_of("CurveData", "OW", 0x5004) == "picture or document"
    assert meaning_of("", "UN", 0x6000) == "picture or document"


def test_every_person_date_time_and_long_text_of_the_dictionary_tells_something() -> None:
    for tag, entry in DicomDictionary.items():
        if entry[0] in ("PN", "DA", "TM", "LT", "ST", "UT", "AS"):
            told = meaning_of(entry[4], entry[0], tag >> 16)
            assert told in MEANINGS or entry[4].startswith("CodingScheme"), entry[4]
