"""How a DICOM candidate was acquired, in BIDS's names and units."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from medidiff.io.dicom.files import open_file
from medidiff.io.dicom.model import Candidate, Plane
from medidiff.io.json_sidecar import carried

if TYPE_CHECKING:
    from pydicom import Dataset

# BIDS name -> DICOM keywords, the first that is there; then the factor to BIDS's unit (DICOM's times are in ms).
_NUMBERS: dict[str, tuple[tuple[str, ...], float]] = {
    "MagneticFieldStrength": (("MagneticFieldStrength",), 1),
    "ImagingFrequency": (("ImagingFrequency", "TransmitterFrequency"), 1),
    "EchoTime": (("EchoTime", "EffectiveEchoTime"), 1e-3),
    "RepetitionTime": (("RepetitionTime",), 1e-3),
    "InversionTime": (("InversionTime", "InversionTimes"), 1e-3),
    "FlipAngle": (("FlipAngle",), 1),
    "EchoTrainLength": (("EchoTrainLength",), 1),
    "NumberOfAverages": (("NumberOfAverages",), 1),
    "PercentSampling": (("PercentSampling",), 1),
    "PercentPhaseFOV": (("PercentPhaseFieldOfView",), 1),
    "PixelBandwidth": (("PixelBandwidth",), 1),
    "ParallelReductionFactorInPlane": (("ParallelReductionFactorInPlane",), 1),
    "ParallelReductionFactorOutOfPlane": (("ParallelReductionFactorOutOfPlane",), 1),
    "AcquisitionDuration": (("AcquisitionDuration",), 1),
    "KVP": (("KVP",), 1),
    "XRayTubeCurrent": (("XRayTubeCurrent", "XRayTubeCurrentInmA"), 1),
    "XRayExposure": (("Exposure", "ExposureInmAs"), 1),
    "ExposureTime": (("ExposureTime", "ExposureTimeInms"), 1e-3),
    "SpiralPitchFactor": (("SpiralPitchFactor",), 1),
}
_TEXTS = {
    "Manufacturer": "Manufacturer",
    "ManufacturersModelName": "ManufacturerModelName",
    "MRAcquisitionType": "MRAcquisitionType",
    "ScanningSequence": "ScanningSequence",
    "SequenceVariant": "SequenceVariant",
    "ScanOptions": "ScanOptions",
    "ParallelAcquisitionTechnique": "ParallelAcquisitionTechnique",
    "ConvolutionKernel": "ConvolutionKernel",
    "SyntheticData": "SyntheticData",
}
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_MACROS = (
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRModifierSequence",
    "MRAveragesSequence",
    "MRFOVGeometrySequence",
    "MRImagingModifierSequence",
    "CTExposureSequence",
    "CTXRayDetailsSequence",
    "CTReconstructionSequence",
    "CTTableDynamicsSequence",
)
_PHASE_AXES = {"ROW": "i", "COL": "j", "COLUMN": "j"}  # x counts columns, so a direction along the rows is i
_NEVER_ZERO = frozenset({"EchoTime", "RepetitionTime", "InversionTime", "MagneticFieldStrength"})  # 0 means unknown


def acquisition_facts(candidate: Candidate) -> dict[str, Any]:
    """What a BIDS or dcm2niix sidecar says of a scan, as far as standard tags tell, and nothing of a patient.

    From the first plane's file, classic or enhanced; times in seconds, field in tesla, frequency in MHz. What only
    vendors' private tags say is left out: slice timing, echo spacing, the polarity of the phase encoding (the axis is
    given, on the grid as medidiff writes it: x counts columns, y rows).

    Args:
        candidate: With planes.

    Returns:
        BIDS keys that `carried` lets through; empty where the header cannot be parsed.

    Raises:
        InputError: The file cannot be opened.
    """
    if not candidate.planes:
        return {}
    plane = candidate.planes[0]
    with open_file(plane.file) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of values that break the standard: they are judged below
        try:
            import pydicom

            wanted = [keyword for keywords, _ in _NUMBERS.values() for keyword in keywords]
            wanted += [*_TEXTS.values(), *_GROUPS, "InPlanePhaseEncodingDirection"]
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=list(wanted))
            levels = list(_levels(dataset, plane.frame))
            facts = _facts(levels, plane)
        except Exception:  # noqa: BLE001  pydicom raises anything on damaged headers; these facts are an extra
            return {}
    return carried({"Modality": candidate.series.modality, **facts})


def _levels(dataset: Dataset, frame: int) -> Iterator[Dataset]:
    """Where a value may stand, the most specific first: the frame's own groups, the shared ones, the top."""
    shared, per_frame = (dataset.get(group) or [] for group in _GROUPS)
    for group in [*per_frame[frame : frame + 1], *shared[:1]]:
        for macro in _MACROS:
            yield from (group.get(macro) or [])[:1]
    yield dataset


def _facts(levels: Sequence[Dataset], plane: Plane) -> dict[str, Any]:
    facts: dict[str, Any] = {"ImageType": list(plane.facts.image_type)}
    for name, (keywords, factor) in _NUMBERS.items():
        number = _number(levels, keywords)
        if number is not None and (number != 0 or name not in _NEVER_ZERO):
            facts[name] = round(number * factor, 9)
    for name, keyword in _TEXTS.items():
        value = _value(levels, (keyword,))
        if value is not None:
            facts[name] = value if isinstance(value, str) else "\\".join(map(str, value))
    axis = _value(levels, ("InPlanePhaseEncodingDirection",))
    if axis in _PHASE_AXES:
        facts["InPlanePhaseEncodingDirectionDICOM"] = str(axis)[:3]
        facts["PhaseEncodingAxis"] = _PHASE_AXES[axis]
    for name, length_mm in (("SliceThickness", plane.thickness_mm), ("SpacingBetweenSlices", plane.gap_mm)):
        if length_mm is not None and length_mm > 0:
            facts[name] = length_mm
    return facts


def _value(levels: Sequence[Dataset], keywords: Sequence[str]) -> Any:
    """The first value that is there and not empty, None if there is none."""
    values = (level.get(keyword) for level in levels for keyword in keywords)
    return next((value for value in values if value not in (None, "", [])), None)


def _number(levels: Sequence[Dataset], keywords: Sequence[str]) -> float | None:
    value = _value(levels, keywords)
    if value is None or isinstance(value, str):
        return None
    try:
        return float(value[0] if hasattr(value, "__getitem__") else value)
    except (TypeError, ValueError, IndexError):
        return None
