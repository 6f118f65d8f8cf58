"""b-values and gradient directions: the standard's attributes, and where Siemens, GE and Philips kept them before.

Private places as in the vendors' conformance statements. Checked against dcm2niix on GE's for one direction along
x, and on generated Siemens and Philips series; GE's swap of phase and frequency was not, for want of a real series.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from medidiff.io.dicom.tags import first_item, number, numbers, text, triple

if TYPE_CHECKING:
    from pydicom import Dataset

Diffusion = tuple[float | None, tuple[float, float, float] | None]
"""b-value in s/mm2, and the gradient's direction in LPS; None for what is not said, or has no direction."""

_MR_DIFFUSION, _B_VALUE, _DIRECTION, _DIRECTION_SEQUENCE = 0x00189117, 0x00189087, 0x00189089, 0x00189076
_CREATOR_SIEMENS, _SIEMENS_B, _SIEMENS_DIRECTION = 0x00190010, 0x0019100C, 0x0019100E
_GE_B, _GE_DIRECTION = 0x00431039, (0x001910BB, 0x001910BC, 0x001910BD)
_PHILIPS_B, _PHILIPS_DIRECTION = 0x20011003, (0x200510B0, 0x200510B1, 0x200510B2)
_GE_MULTI_SHELL = 1e9  # added to b by newer GE software; the b-value is what lies under it
_MAX_B = 1e6


def diffusion_of_file(dataset: Dataset, manufacturer: str, orientation_lps: tuple[float, ...] | None) -> Diffusion:
    """b-value and direction of a classic file.

    Args:
        dataset: Its header.
        manufacturer: As the file says; private elements are read by it, for anonymisers drop the creators' names.
        orientation_lps: Of the image; GE writes directions along the image's own axes.
    """
    b_value = number(dataset, _B_VALUE, "FD")
    if b_value is not None:
        return _checked(b_value, triple(dataset, _DIRECTION, "FD"))
    maker = manufacturer.upper()
    if maker.startswith("SIEMENS") and "MR HEADER" in text(dataset, _CREATOR_SIEMENS):
        return _checked(number(dataset, _SIEMENS_B, "IS"), triple(dataset, _SIEMENS_DIRECTION, "FD"))
    if maker.startswith("GE"):
        return _of_ge(dataset, orientation_lps)
    if maker.startswith("PHILIPS"):
        parts = [number(dataset, tag, "FL") for tag in _PHILIPS_DIRECTION]
        return _checked(number(dataset, _PHILIPS_B, "FL"), _whole(parts))
    return None, None


def diffusion_of_frame(group: Dataset | None) -> Diffusion:
    """b-value and direction of a frame of a multi-frame file.

    Args:
        group: The item of its MR Diffusion Sequence, or None.

    Raises:
        Exception: Whatever pydicom meets in damaged bytes.
    """
    if group is None:
        return None, None
    inner = first_item(group, _DIRECTION_SEQUENCE)
    return _checked(number(group, _B_VALUE, "FD"), None if inner is None else triple(inner, _DIRECTION, "FD"))


def _of_ge(dataset: Dataset, orientation_lps: tuple[float, ...] | None) -> Diffusion:
    said = numbers(dataset, _GE_B, "IS")
    if not said:
        return None, None
    b_value = said[0] % _GE_MULTI_SHELL if said[0] >= _GE_MULTI_SHELL else said[0]
    along = _whole([number(dataset, tag, "DS") for tag in _GE_DIRECTION])
    if along is None or orientation_lps is None:
        return _checked(b_value, None)
    row, column = np.array(orientation_lps[:3]), np.array(orientation_lps[3:])
    # Frequency, phase and slice direction. Frequency runs along a row unless the phase does.
    frequency, phase = (column, row) if text(dataset, 0x00181312) == "ROW" else (row, column)
    direction = along[0] * frequency + along[1] * phase + along[2] * np.cross(row, column)
    return _checked(b_value, (float(direction[0]), float(direction[1]), float(direction[2])))


def _whole(parts: list[float | None]) -> tuple[float, float, float] | None:
    x, y, z = parts
    return None if x is None or y is None or z is None else (x, y, z)


def _checked(b_value: float | None, direction: tuple[float, float, float] | None) -> Diffusion:
    """The direction as a unit vector; none without diffusion weighting."""
    if b_value is None or not 0 <= b_value <= _MAX_B:
        return None, None
    length = math.hypot(*direction) if direction is not None and max(map(abs, direction)) < 10 else 0.0
    if not b_value or length < 0.01 or direction is None:
        return b_value, None
    return b_value, (direction[0] / length, direction[1] / length, direction[2] / length)
