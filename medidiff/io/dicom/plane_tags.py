"""What describes one plane, wherever it stands: in a classic file, or in the functional groups of a multi-frame one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from medidiff.io.dicom.diffusion_tags import diffusion_of_file
from medidiff.io.dicom.model import Facts, FileRef, PixelForm, Plane, SeriesFacts
from medidiff.io.dicom.tags import integer, number, numbers, text, texts, triple

if TYPE_CHECKING:
    from pydicom import Dataset

PERPENDICULAR = 1e-3
"""Largest cosine between directions that should be at right angles (facts.md, rule 3)."""

_UNIT_LENGTH = 1e-2  # cosines rounded to three digits; directions are normalised, so only their angle matters
_FAR_MM = 1e6  # further from the isocentre than anything in a scanner
_SPACING_MM = (1e-5, 1e4)
_UNIT = re.compile(r"[A-Za-z0-9%/^*._-]{1,16}")


def plane_of_file(dataset: Dataset, series: SeriesFacts, file: FileRef, syntax: str) -> Plane:
    """The plane that the top level of a header describes; a multi-frame file's frames start from it."""
    orientation = direction_cosines(dataset)
    slope, intercept = rescale(dataset)
    return Plane(
        file=file,
        frame=0,
        frames=1,
        sop_class="",
        sop_instance=text(dataset, 0x00080018),
        instance_number=integer(dataset, 0x00200013),
        rows=_size(dataset, 0x00280010),
        columns=_size(dataset, 0x00280011),
        form=_pixel_form(dataset, syntax),
        slope=slope,
        intercept=intercept,
        unit=unit_of(dataset, series.modality),
        spacing_mm=pixel_spacing(dataset),
        orientation_lps=orientation,
        position_lps_mm=place(dataset),
        thickness_mm=positive(dataset, 0x00180050),
        gap_mm=positive(dataset, 0x00180088),
        facts=_facts(dataset, series, orientation),
    )


def direction_cosines(dataset: Dataset) -> tuple[float, ...] | None:
    """Image Orientation (Patient), both directions normalised; None where they are no perpendicular unit vectors."""
    values = numbers(dataset, 0x00200037)
    if len(values) != 6 or max(map(abs, values)) > 2:
        return None
    row, column = np.array(values[:3]), np.array(values[3:])
    row_length, column_length = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(row_length - 1), abs(column_length - 1)) > _UNIT_LENGTH or abs(float(row @ column)) > PERPENDICULAR:
        return None
    return (*(row / row_length).tolist(), *(column / column_length).tolist())


def _size(dataset: Dataset, tag: int) -> int:
    """Rows or columns; 0, which is refused, for what their 16 bits cannot say."""
    size = integer(dataset, tag, "US")
    return size if size is not None and 0 < size <= 0xFFFF else 0


def place(dataset: Dataset) -> tuple[float, float, float] | None:
    """Image Position (Patient), LPS in mm."""
    values = triple(dataset, 0x00200032)
    return values if values is not None and max(map(abs, values)) < _FAR_MM else None


def pixel_spacing(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing in mm: between rows, between columns."""
    values = numbers(dataset, 0x00280030)
    if len(values) != 2 or not all(_SPACING_MM[0] < v < _SPACING_MM[1] for v in values):
        return None
    return values[0], values[1]


def rescale(dataset: Dataset) -> tuple[float, float]:
    """Slope and intercept, 1 and 0 where the file has none; a slope of 0 where it has one that is no number."""
    slope, intercept = number(dataset, 0x00281053), number(dataset, 0x00281052)
    garbled = any(v is None and text(dataset, tag) for v, tag in ((slope, 0x00281053), (intercept, 0x00281052)))
    return (0.0 if garbled else 1.0 if slope is None else slope), (0.0 if intercept is None else intercept)


def unit_of(dataset: Dataset, modality: str) -> str:
    """Unit of the rescaled values; free text is dropped."""
    said = text(dataset, 0x00281054) or text(dataset, 0x00541001) or ("HU" if modality == "CT" else "")
    return said if _UNIT.fullmatch(said) else ""


def positive(dataset: Dataset, tag: int) -> float | None:
    """A number of mm that is above zero."""
    value = number(dataset, tag)
    return value if value is not None and 0 < value < _SPACING_MM[1] else None


def _pixel_form(dataset: Dataset, syntax: str) -> PixelForm:
    allocated = integer(dataset, 0x00280100, "US") or 0
    stored = integer(dataset, 0x00280101, "US") or allocated
    high = integer(dataset, 0x00280102, "US")
    signed = integer(dataset, 0x00280103, "US") == 1
    return PixelForm(
        transfer_syntax=syntax,
        samples=integer(dataset, 0x00280002, "US") or 1,
        photometric=text(dataset, 0x00280004).upper(),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else high,
        signed=signed,
        padding=_padding(dataset, signed, allocated),
    )


def _padding(dataset: Dataset, signed: bool, bits: int) -> tuple[int, int] | None:
    """The stored values that mean "no measurement"; their own type in the file is wrong as often as not."""
    first = integer(dataset, 0x00280120, "SS" if signed else "US")
    last = integer(dataset, 0x00280121, "SS" if signed else "US")
    if first is None or not bits:
        return None
    whole = 1 << bits
    ends = sorted(
        (v % whole) - whole if signed and v % whole >= whole // 2 else v % whole
        for v in (first, first if last is None else last)
    )
    return ends[0], ends[1]


def _facts(dataset: Dataset, series: SeriesFacts, orientation: tuple[float, ...] | None) -> Facts:
    is_mr = series.modality == "MR"
    b_value, gradient = diffusion_of_file(dataset, series.manufacturer, orientation) if is_mr else (None, None)
    return Facts(
        image_type=tuple(value.upper() for value in texts(dataset, 0x00080008)),
        echo_number=text(dataset, 0x00180086) or None,
        echo_time_ms=number(dataset, 0x00180081),
        inversion_time_ms=number(dataset, 0x00180082),
        trigger_time_ms=number(dataset, 0x00181060),
        temporal_position=integer(dataset, 0x00200100),
        acquisition_number=integer(dataset, 0x00200012),
        acquisition_time=_moment(dataset),
        b_value_s_per_mm2=b_value,
        gradient_lps=gradient,
        stack_id=text(dataset, 0x00209056) or None,
        coil=text(dataset, 0x00181250) or None,
        frame_of_reference_uid=series.frame_of_reference_uid,
    )


def _moment(dataset: Dataset) -> str | None:
    """When it was measured: as text that sorts like time."""
    moment = text(dataset, 0x0008002A)
    if not moment:
        time = text(dataset, 0x00080032)
        moment = text(dataset, 0x00080022) + time if time else ""
    return moment or None
