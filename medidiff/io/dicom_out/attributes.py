"""Which attributes of a source image go into a derived one. What is not named here is not copied: no private tags, no
sequences, no comments.

Source: PS3.3, tables C.7-1 (patient), C.7-3 (study), C.7-4a (patient study), C.7-5a (series), C.7-6 (frame of
reference), C.7-8 (equipment), C.7-9 (general image), C.7-12 (contrast), C.8-3 (CT image), C.8-4 (MR image).
"""

from __future__ import annotations

PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")
IDENTITY = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate")
"""What a PACS files by: copied as it is."""
PATIENT_STUDY = ("PatientAge", "PatientSize", "PatientWeight")
STUDY = (
    "StudyDate", "StudyTime", "TimezoneOffsetFromUTC", "AccessionNumber", "ReferringPhysicianName", "StudyID",
    "StudyDescription",
)  # fmt: skip
SERIES = ("SeriesDate", "SeriesTime", "ProtocolName", "Laterality", "BodyPartExamined", "PatientPosition")
EQUIPMENT = (
    "Manufacturer", "ManufacturerModelName", "InstitutionName", "InstitutionalDepartmentName", "StationName",
    "DeviceSerialNumber", "SoftwareVersions",
)  # fmt: skip
FRAME_OF_REFERENCE = ("PositionReferenceIndicator",)
ACQUISITION = ("AcquisitionNumber", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime", "ImageLaterality")
CONTENT = ("ContentDate", "ContentTime")
REMOVED = ("PatientIdentityRemoved", "DeidentificationMethod", "LongitudinalTemporalInformationModified")
LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
CONTRAST = (
    "ContrastBolusAgent", "ContrastBolusRoute", "ContrastBolusVolume", "ContrastBolusTotalDose",
    "ContrastBolusIngredient", "ContrastBolusIngredientConcentration",
)  # fmt: skip

CT_NUMBERS = (
    "KVP", "DataCollectionDiameter", "ReconstructionDiameter", "DistanceSourceToDetector", "DistanceSourceToPatient",
    "GantryDetectorTilt", "TableHeight", "ExposureTime", "XRayTubeCurrent", "Exposure", "GeneratorPower", "FocalSpots",
    "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed", "TableFeedPerRotation",
    "SpiralPitchFactor", "CTDIvol",
)  # fmt: skip
CT_WORDS = ("ScanOptions", "RotationDirection", "FilterType", "ConvolutionKernel", "ExposureModulationType")

MR_NUMBERS = (
    "RepetitionTime", "EchoTime", "InversionTime", "NumberOfAverages", "ImagingFrequency", "EchoNumbers",
    "MagneticFieldStrength", "NumberOfPhaseEncodingSteps", "EchoTrainLength", "PercentSampling",
    "PercentPhaseFieldOfView", "PixelBandwidth", "TriggerTime", "AcquisitionMatrix", "FlipAngle", "SAR", "dBdt",
    "TemporalPositionIdentifier", "NumberOfTemporalPositions", "TemporalResolution", "DiffusionBValue",
    "DiffusionGradientOrientation",
)  # fmt: skip
MR_CODES = (
    "ScanningSequence", "SequenceVariant", "MRAcquisitionType", "AngioFlag", "InPlanePhaseEncodingDirection",
    "VariableFlipAngleFlag",
)  # fmt: skip
MR_WORDS = ("ScanOptions", "SequenceName", "ImagedNucleus", "ReceiveCoilName", "TransmitCoilName")

COPIED: dict[str, tuple[str, ...]] = {
    modality: (
        *PATIENT, *PATIENT_STUDY, *REMOVED, *STUDY, *SERIES, *EQUIPMENT, *FRAME_OF_REFERENCE, *ACQUISITION, *CONTENT,
        *LOSSY, *CONTRAST, *image,
    )
    for modality, image in {
        "CT": (*CT_NUMBERS, *CT_WORDS),
        "MR": (*MR_NUMBERS, *MR_CODES, *MR_WORDS),
    }.items()
}  # fmt: skip
"""What is copied into a derived image that keeps its patient."""

DEIDENTIFIED: dict[str, tuple[str, ...]] = {
    modality: (
        "Manufacturer", "ManufacturerModelName", "Laterality", "BodyPartExamined", "PatientPosition",
        "AcquisitionNumber", "ImageLaterality", *LOSSY, *image,
    )
    for modality, image in {"CT": CT_NUMBERS, "MR": (*MR_NUMBERS, *MR_CODES)}.items()
}  # fmt: skip
"""What is copied into a de-identified one: physics, and words of which the standard has a list."""

PLACED = (
    "ImageType", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness",
    "SpacingBetweenSlices", "WindowCenter", "WindowWidth", "VOILUTFunction", "SeriesDescription", "BurnedInAnnotation",
    "SpecificCharacterSet", "DeidentificationMethodCodeSequence",
)  # fmt: skip
"""What is read of the source and written by a rule of its own."""

CODES: dict[str, frozenset[str]] = {
    "ScanningSequence": frozenset({"SE", "IR", "GR", "EP", "RM"}),
    "SequenceVariant": frozenset({"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF", "NONE"}),
    "MRAcquisitionType": frozenset({"2D", "3D"}),
    "AngioFlag": frozenset({"Y", "N"}),
    "InPlanePhaseEncodingDirection": frozenset({"ROW", "COL"}),
    "VariableFlipAngleFlag": frozenset({"Y", "N"}),
    "PatientPosition": frozenset(
        {"HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS", "LFP", "LFS", "RFP", "RFS", "AFDR", "AFDL"}
        | {"PFDR", "PFDL", "SITTING"}
    ),
    "Laterality": frozenset({"R", "L"}),
    "PatientSex": frozenset({"M", "F", "O"}),
    "PatientIdentityRemoved": frozenset({"YES", "NO"}),
    "LongitudinalTemporalInformationModified": frozenset({"UNMODIFIED", "MODIFIED", "REMOVED"}),
    "ImageLaterality": frozenset({"R", "L", "U", "B"}),
    "LossyImageCompressionMethod": frozenset({"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_13818_2"}),
}
"""Codes of which the standard enumerates the values; any other value is dropped."""

PRESENT = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "StudyID", "PositionReferenceIndicator", "Manufacturer", "PatientPosition",
    "AcquisitionNumber",
)  # fmt: skip
"""Type 2 for every image: written empty where the source has no value."""
PRESENT_OF: dict[str, tuple[str, ...]] = {
    "CT": ("KVP",),
    "MR": ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
}
"""Type 2 for one kind of image."""

BODY_PARTS = frozenset(
    """ABDOMEN ABDOMENPELVIS ADRENAL ANKLE AORTA ARM AXILLA BACK BLADDER BRAIN BREAST BRONCHUS BUTTOCK CALCANEUS CALF
    CAROTID CEREBELLUM CERVIX CHEEK CHEST CHESTABDOMEN CHESTABDPELVIS CIRCLEOFWILLIS CLAVICLE COCCYX COLON CORNEA
    CORONARYARTERY CSPINE CTSPINE DUODENUM EAR ELBOW ESOPHAGUS EXTREMITY EYE EYELID FACE FEMUR FINGER FOOT GALLBLADDER
    HAND HEAD HEADNECK HEART HIP HUMERUS IAC ILEUM ILIUM JAW JEJUNUM KIDNEY KNEE LARYNX LEG LIVER LSPINE LSSPINE LUNG
    MEDIASTINUM NECK NECKCHEST NECKCHESTABDOMEN NECKCHESTABDPELV ORBIT PANCREAS PAROTID PATELLA PELVIS PENIS PHARYNX
    PROSTATE RECTUM RIB SCALP SCAPULA SCLERA SCROTUM SHOULDER SKULL SPINE SPLEEN SSPINE STERNUM STOMACH TESTIS THIGH
    THUMB THYMUS THYROID TIBIA TLSPINE TMJ TOE TONGUE TRACHEA TSPINE UTERUS VAGINA WHOLEBODY WRIST ZYGOMA""".split()
)
"""PS3.16 table L-1 and what scanners write beside it; another word in this place could be anything."""
PAIRED_PARTS = frozenset(
    """ADRENAL ANKLE ARM AXILLA BREAST CALCANEUS CALF CAROTID CLAVICLE EAR ELBOW EXTREMITY EYE EYELID FEMUR FINGER FOOT
    HAND HIP HUMERUS IAC KIDNEY KNEE LEG LUNG ORBIT PAROTID PATELLA RIB SCAPULA SHOULDER TESTIS THIGH THUMB TIBIA TMJ
    TOE WRIST ZYGOMA CHEEK BUTTOCK CORNEA""".split()
)
IMAGE_TYPES = frozenset(
    """AXIAL LOCALIZER M P R I IP OP IN_PHASE OUT_PHASE T1 T2 PD FFE SE IR MAGNITUDE PHASE REAL IMAGINARY NORM DIS2D
    DIS3D ND FIL MPR MIP AVERAGE ADC TRACEW FA DIFFUSION NONE OTHER MIXED PERFUSION ANGIO WATER FAT B0 FM M_FFE M_SE
    M_IR P_FFE PHASE_MAP VELOCITY DENSITY_MAP VOLUME REFORMATTED CT_SOM5 SPI HELIX SHUTTER MFSPLIT""".split()
)
"""Values of ImageType that say nothing of a patient."""
DEIDENTIFIED_CODES: dict[str, frozenset[str]] = {**CODES, "BodyPartExamined": BODY_PARTS}
