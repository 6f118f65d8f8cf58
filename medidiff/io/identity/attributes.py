"""Which DICOM attributes say, or may say, who a patient is.

The attributes are those of the Basic Application Level Confidentiality Profile (DICOM PS3.15, table E.1-1). Most follow
from the kind of value: every person's name, date, time, free text and UID is one of them. Only the short strings, which
hold codes as often as names, are listed by keyword.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

Meaning = Literal[
    "patient's name",
    "number of the patient",
    "about the patient",
    "date or time",
    "free text",
    "staff",
    "institution",
    "device",
    "UID",
    "private",
    "picture or document",
]
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)
"""What an attribute tells, the most telling first."""

_BY_KEYWORD: dict[Meaning, str] = {
    "patient's name": "ResponsibleOrganization",
    "number of the patient": """
        PatientID IssuerOfPatientID OtherPatientIDs AccessionNumber AdmissionID IssuerOfAdmissionID StudyID
        RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID
        PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest PlacerOrderNumberProcedure
        FillerOrderNumberProcedure PlacerOrderNumberImagingServiceRequestRetired
        FillerOrderNumberImagingServiceRequestRetired MedicalRecordLocator InsurancePlanIdentification
        PatientInsurancePlanCodeSequence ServiceEpisodeID IssuerOfServiceEpisodeID ClinicalTrialSubjectID
        ClinicalTrialSubjectReadingID ClinicalTrialProtocolID ClinicalTrialSiteID ClinicalTrialTimePointID
        ClinicalTrialSeriesID ClinicalTrialProtocolEthicsCommitteeApprovalNumber
        IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSiteID IssuerOfClinicalTrialSubjectID
        IssuerOfClinicalTrialSubjectReadingID IssuerOfClinicalTrialTimePointID IssuerOfClinicalTrialSeriesID
        SpecimenIdentifier SpecimenAccessionNumber ContainerIdentifier BarcodeValue FileSetID
        StorageMediaFileSetID PatientBirthDateInAlternativeCalendar PatientDeathDateInAlternativeCalendar ResultsID
        InterpretationID SlideIdentifier StudyIDIssuer ResultsIDIssuer InterpretationIDIssuer ContainerComponentID
        FlowIdentifier
        """,
    "about the patient": """
        PatientAge PatientSex PatientSexNeutered PatientSize PatientWeight PatientBodyMassIndex PatientAddress
        CountryOfResidence RegionOfResidence PatientTelephoneNumbers PatientTelecomInformation Occupation EthnicGroup
        EthnicGroupCodeSequence PatientReligiousPreference PatientPrimaryLanguageCodeSequence MilitaryRank
        BranchOfService SmokingStatus PregnancyStatus PatientState CurrentPatientLocation
        MedicalAlerts Allergies SpecialNeeds PatientTransportArrangements AdmittingDiagnosesDescription
        AdmittingDiagnosesCodeSequence RouteOfAdmissions VisitStatusID ConfidentialityCode PreMedication
        PatientInstitutionResidence ScheduledPatientInstitutionResidence
        """,
    "date or time": "TimezoneOffsetFromUTC CertifiedTimestamp FrameOriginTimestamp",
    "free text": """
        ProtocolName ReasonForStudy ReasonForTheRequestedProcedure ReasonForTheImagingServiceRequest ReasonForVisit
        ContrastBolusAgent RequestedContrastAgent RTPlanName StructureSetName ROIName BeamName EntityName Arbitrary
        RequestingService TextString
        """,
    "staff": """
        ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers PersonAddress PersonTelephoneNumbers
        PersonTelecomInformation PersonIdentificationCodeSequence OrderEntererLocation OrderCallbackPhoneNumber
        OrderCallbackTelecomInformation DistributionAddress TelephoneNumberTrial CameraOwnerName OwnerID
        ContentCreatorIdentificationCodeSequence CertificateOfSigner
        """,
    "institution": """
        InstitutionName InstitutionAddress InstitutionalDepartmentName InstitutionCodeSequence
        InstitutionalDepartmentTypeCodeSequence PerformedLocation ScheduledProcedureStepLocation
        RequestedProcedureLocation ClinicalTrialSiteName ClinicalTrialSponsorName
        ClinicalTrialCoordinatingCenterName ClinicalTrialProtocolName
        ClinicalTrialProtocolEthicsCommitteeName HumanPerformerOrganization VerifyingOrganization
        ScheduledStationGeographicLocationCodeSequence PerformedStationGeographicLocationCodeSequence
        ScheduledStudyLocation AssignedLocation
        """,
    "device": """
        StationName DeviceSerialNumber GantryID DetectorID PlateID CassetteID GeneratorID XRayDetectorID
        ScheduledStationName PerformedStationName ScheduledStationNameCodeSequence PerformedStationNameCodeSequence
        UniqueDeviceIdentifier UDISequence DeviceLabel DeviceAlternateIdentifier
        SourceSerialNumber LensSerialNumber TransducerIdentificationSequence ApplicatorID DeviceID
        SecondaryCaptureDeviceID HardcopyCreationDeviceID PatientSupportID FixationDeviceLabel DestinationAE
        DeviceSettingDescription
        """,
    "picture or document": """
        IconImageSequence EncapsulatedDocument OverlayData CurveData AudioSampleData EncryptedAttributesSequence
        DigitalSignaturesSequence
        """,
}  # fmt: skip
_MEANING_OF_KEYWORD: dict[str, Meaning] = {
    keyword: meaning for meaning, keywords in _BY_KEYWORD.items() for keyword in keywords.split()
}
_MEANING_OF_KIND: dict[str, Meaning] = {
    "PN": "staff", "DA": "date or time", "DT": "date or time", "TM": "date or time", "AS": "about the patient",
    "LT": "free text", "ST": "free text", "UT": "free text", "UC": "free text", "UI": "UID", "AE": "device",
}  # fmt: skip
# Versions of vocabularies are dates and codes are text, the same for everybody.
_HARMLESS = frozenset(
    """
    ContextGroupVersion ContextGroupLocalVersion TemplateVersion TemplateLocalVersion LongCodeValue CodingSchemeUID
    CodingSchemeName CodingSchemeResponsibleOrganization CodingSchemeURL ContextUID MappingResourceUID
    MappingResourceName
    ContextGroupExtensionCreatorUID ImplementationClassUID PrivateInformationCreatorUID SOPClassUID
    MediaStorageSOPClassUID TransferSyntaxUID ReferencedSOPClassUID Manufacturer DimensionDescriptionLabel LUTLabel
    CodeMeaning
    """.split()
)
# Attributes of one short line that somebody typed; the standard has some two hundred of them.
_TYPED = re.compile(r"(Description|Label|Comments?|Notes|Trial)$")
_WHERE_IT_STOOD = "GPS"
_PATIENT_GROUP = 0x0010
_OVERLAYS, _CURVES = 0x6000, 0x5000


def meaning_of(keyword: str, kind: str, group: int) -> Meaning | None:
    """What an attribute tells about a person; None: nothing.

    Args:
        keyword: As in the standard's dictionary; "" for what is not in it.
        kind: Value representation, such as "PN".
        group: First half of the tag.

    Source: DICOM PS3.15, table E.1-1.
    """
    if group % 2:
        return "private"
    if keyword in _MEANING_OF_KEYWORD:
        return _MEANING_OF_KEYWORD[keyword]
    if keyword in _HARMLESS:
        return None
    if kind == "PN" and group == _PATIENT_GROUP:
        return "patient's name"
    if kind in ("OB", "OW", "UN") and group & 0xFF00 in (_OVERLAYS, _CURVES):
        return "picture or document"
    if keyword.startswith(_WHERE_IT_STOOD):
        return "institution"
    if kind in ("LO", "SH") and _TYPED.search(keyword):
        return "free text"
    return _MEANING_OF_KIND.get(kind)


def listed_keywords() -> frozenset[str]:
    """Every keyword that is named one by one, for the test that holds them against the standard's dictionary."""
    return frozenset(_MEANING_OF_KEYWORD) | _HARMLESS
