"""Which facts of an acquisition may travel with an output, in BIDS's names and units: the allow-list, and nothing else.

Names: BIDS 1.10 (glossary of metadata) and, for what BIDS does not name, dcm2niix. Codes: DICOM PS3.3, C.7.6.1.1.2
(image type), C.8.3.1 (MR), C.8.13 (enhanced MR), and what vendors add to the image type.
"""

from __future__ import annotations

import re

NUMBERS = frozenset(
    """
    EchoTime EchoTime1 EchoTime2 RepetitionTime RepetitionTimeExcitation RepetitionTimePreparation InversionTime
    FlipAngle EchoNumber EchoTrainLength NumberOfAverages DwellTime DelayTime AcquisitionDuration VolumeTiming
    SliceTiming EffectiveEchoSpacing TotalReadoutTime EstimatedEffectiveEchoSpacing EstimatedTotalReadoutTime
    NumberOfVolumesDiscardedByScanner NumberOfVolumesDiscardedByUser MagneticFieldStrength ImagingFrequency
    PartialFourier PercentPhaseFOV PercentSampling PhaseResolution PixelBandwidth BandwidthPerPixelPhaseEncode
    BaseResolution AcquisitionMatrixPE ReconMatrixPE PhaseEncodingSteps ParallelReductionFactorInPlane
    ParallelReductionFactorOutOfPlane MultibandAccelerationFactor CompressedSensingFactor WaterFatShift MTState
    MTOffsetFrequency SpoilingState NonlinearGradientCorrection LabelingDuration PostLabelingDelay
    BackgroundSuppression SliceThickness SpacingBetweenSlices KVP XRayTubeCurrent XRayExposure ExposureTime
    SpiralPitchFactor
    """.split()
)
"""Numbers, true or false, or lists of those; seconds, tesla, degrees, MHz, mm, kV, mA, mAs."""

_DIRECTIONS = frozenset({"i", "j", "k", "i-", "j-", "k-"})

CODES: dict[str, frozenset[str]] = {
    "Modality": frozenset({"MR", "CT"}),
    "PhaseEncodingDirection": _DIRECTIONS,
    "SliceEncodingDirection": _DIRECTIONS,
    "PhaseEncodingAxis": frozenset({"i", "j", "k"}),
    "InPlanePhaseEncodingDirectionDICOM": frozenset({"ROW", "COL"}),
    "MRAcquisitionType": frozenset({"1D", "2D", "3D"}),
    "ScanningSequence": frozenset({"SE", "IR", "GR", "EP", "RM"}),
    "SequenceVariant": frozenset({"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF", "NONE"}),
    "ScanOptions": frozenset({"PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS", "AXIAL", "HELICAL"}),
    "ParallelAcquisitionTechnique": frozenset({"GRAPPA", "SENSE", "SMASH", "ASSET", "ARC", "mSENSE", "SPACE_RIP"}),
    "SpoilingType": frozenset({"RF", "GRADIENT", "COMBINED"}),
    "ArterialSpinLabelingType": frozenset({"CASL", "PCASL", "PASL"}),
    "M0Type": frozenset({"Separate", "Included", "Estimate", "Absent"}),
    "ImageType": frozenset(
        """
        ORIGINAL DERIVED PRIMARY SECONDARY OTHER NONE MIXED AXIAL CORONAL SAGITTAL OBLIQUE VOLUME RESAMPLED LOCALIZER
        MPR MIP MINIP PROJECTION REFORMATTED AVERAGE SUBTRACTION M P R I MAGNITUDE PHASE REAL IMAGINARY COMPLEX
        M_FFE M_SE M_IR R_FFE R_IR I_FFE PHASE_MAP FFE SE IR TSE EPI GRE MPRAGE ND NORM DIS2D DIS3D MOSAIC FM FIL SFS
        MEAN MSUM T1 T2 T2_STAR PROTON_DENSITY FLUID_ATTENUATED STIR TOF DIFFUSION DIFFUSION_ANISO ADC TRACEW FA TENSOR
        PERFUSION ASL BOLD FMRI FIELDMAP FIELD_MAP B0 DIXON WATER FAT IN_PHASE OUT_PHASE INV1 INV2 UNI UNIFORM
        SPIRAL SEQUENCE HELICAL
        """.split()
    )
    | {f"CT_SOM{generation} {mode}" for generation in (5, 7, 8) for mode in ("SEQ", "SPI", "MON", "TOP")},
    "SyntheticData": frozenset({"YES"}),
}
"""Codes, one or several: each is kept if it is in the vocabulary."""

TEXTS: dict[str, re.Pattern[str]] = {
    # Open lists, filled in by the machine and not by people. Short, no comma or caret (which part names), at most four
    # digits (a date has more).
    "ManufacturersModelName": re.compile(r"(?!(?:\D*\d){5})[A-Za-z][A-Za-z0-9 .+/_-]{0,31}"),
    "ConvolutionKernel": re.compile(r"(?!(?:\D*\d){5})[A-Za-z0-9][A-Za-z0-9.+_-]{0,15}"),
}
"""Short names out of an open list."""

VENDORS = {
    "siemens": "Siemens",
    "philips": "Philips",
    "ge": "GE",
    "general electric": "GE",
    "toshiba": "Toshiba",
    "canon": "Canon",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "uih": "UIH",
    "united imaging": "UIH",
    "shanghai united imaging": "UIH",
    "bruker": "Bruker",
    "hyperfine": "Hyperfine",
    "neusoft": "Neusoft",
    "esaote": "Esaote",
    "mediso": "Mediso",
    "marconi": "Marconi",
    "picker": "Picker",
}
"""How a maker's text starts (whole words), in lower case, and the one name it travels under."""
