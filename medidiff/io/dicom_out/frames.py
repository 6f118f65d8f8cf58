"""A frame of an enhanced multi-frame image in the words of a classic single-frame one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

_RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "EffectiveEchoTime": ("EchoTime", lambda v: _ds(v)),
    "InversionTimes": ("InversionTime", lambda v: _ds(_first(v))),
    "ResonantNucleus": ("ImagedNucleus", str),
    "TransmitterFrequency": ("ImagingFrequency", lambda v: _ds(_first(v))),
    "PulseSequenceName": ("SequenceName", str),
    "FrameType": ("ImageType", lambda v: v),
    "FrameAcquisitionNumber": ("AcquisitionNumber", lambda v: str(int(v))),
    "MRAcquisitionPhaseEncodingStepsInPlane": ("NumberOfPhaseEncodingSteps", lambda v: str(int(v))),
    "FrameLaterality": ("ImageLaterality", str),
    "ExposureTimeInms": ("ExposureTime", lambda v: str(round(float(v)))),
    "XRayTubeCurrentInmA": ("XRayTubeCurrent", lambda v: str(round(float(v)))),
    "ExposureInmAs": ("Exposure", lambda v: str(round(float(v)))),
}
"""Attribute of a functional group: what a classic image calls it, and its value there (PS3.3 C.8.13, C.8.15)."""

_SEQUENCES = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_PULSE = ("EchoPulseSequence", "EchoPlanarPulseSequence", "InversionRecovery")
FRAME_KEYWORDS = frozenset((*_RENAMED, *_SEQUENCES, *_PULSE))


def flatten(header: Dataset, frame: int, keywords: frozenset[str]) -> Dataset:
    """What a multi-frame file says of one frame.

    Later and closer wins: the file, what all frames share, the frame itself.

    Args:
        header: The multi-frame file without its pixels.
        frame: From 0.
        keywords: What is wanted.
    """
    flat, pulse = Dataset(), {}
    for element in _elements(header, frame):
        if element.keyword in keywords:
            flat[element.tag] = element
        elif element.keyword in _PULSE:
            pulse[element.keyword] = str(element.value)
        elif element.keyword in _RENAMED and element.value not in (None, ""):
            name, convert = _RENAMED[element.keyword]
            if name in keywords:
                setattr(flat, name, convert(element.value))
        elif element.keyword == "FrameAcquisitionDateTime" and len(str(element.value)) >= 14:
            text = str(element.value)
            flat.AcquisitionDate, flat.AcquisitionTime = text[:8], text[8:].split("+")[0].split("-")[0]
    if flat.get("InPlanePhaseEncodingDirection") == "COLUMN":
        flat.InPlanePhaseEncodingDirection = "COL"
    if "ScanningSequence" in keywords and not flat.get("ScanningSequence"):
        flat.ScanningSequence = _scanning_sequence(pulse)
    return flat


def _elements(header: Dataset, frame: int) -> Iterator[Any]:
    for element in header:
        if element.VR != "SQ":
            yield element
    for keyword, index in zip(_SEQUENCES, (0, frame), strict=True):
        groups = header.get(keyword)
        if not groups or index >= len(groups):
            continue
        for group in groups[index]:
            if group.VR == "SQ" and group.value:
                yield from group.value[0]
                yield from (group.value[0].get("DiffusionGradientDirectionSequence") or [()])[0]


def _scanning_sequence(pulse: dict[str, str]) -> list[str]:
    """ScanningSequence (SE, GR, IR, EP; RM where nobody says) from what enhanced images say instead."""
    echo = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}.get(pulse.get("EchoPulseSequence", ""), [])
    recovery = ["IR"] if pulse.get("InversionRecovery") == "YES" else []
    planar = ["EP"] if pulse.get("EchoPlanarPulseSequence") == "YES" else []
    return [*echo, *recovery, *planar] or ["RM"]


def _first(value: Any) -> float:
    return float(value[0] if isinstance(value, (list, tuple)) or hasattr(value, "__len__") else value)


def _ds(value: Any) -> str:
    return format_number_as_ds(float(value))
