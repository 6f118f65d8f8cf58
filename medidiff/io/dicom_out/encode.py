"""Values to the 16-bit integers of a DICOM image: the source's steps where they are fine enough, else new ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from pydicom.valuerep import format_number_as_ds

from medidiff.errors import OutputError

_STEPS = 60500
"""Asked of 16 bits: rounded to 3 digits, span / step lies between 60 100 and 60 900, below 65 535 with room."""
_FINE = 4
"""Plain numbers and the source's steps serve where the error is at most this part of the noise: steps of half the
noise add 2% to its power. New steps would be finer, but programs that overlook the slope of an MR image exist."""
_VISIBLE = 2
"""An error of more than this part of the noise would be seen: refused."""
_SMALLEST_STEP = 1e-30  # float32, in which most readers compute, ends at 1e-38


@dataclass(frozen=True)
class Scale:
    """value = slope * stored + intercept; both as the text that stands in the file.

    Args:
        slope, intercept: Decimal strings of at most 16 characters.
        signed: Pixel representation 1.
        largest_error: Largest difference between a value and what is read back, in the scan's unit.
    """

    slope: str
    intercept: str
    signed: bool
    largest_error: float = 0.0

    @property
    def dtype(self) -> np.dtype:
        """Little-endian 16-bit integer."""
        return np.dtype("<i2" if self.signed else "<u2")

    def levels(self, values: np.ndarray) -> np.ndarray:
        """Nearest stored values, as float64, whatever their range."""
        return np.rint((values.astype(np.float64) - float(self.intercept)) / float(self.slope))

    def error(self, values: np.ndarray) -> float:
        """Largest error of storing these values; infinite where they do not fit."""
        levels = self.levels(values)
        limits = np.iinfo(self.dtype)
        if levels.min() < limits.min or levels.max() > limits.max:
            return float("inf")
        return float(np.abs(levels * float(self.slope) + float(self.intercept) - values).max())


def choose_scale(
    data: np.ndarray, modality: str, noise_std: float | None, source: Iterable[tuple[float, float, bool]] = ()
) -> Scale:
    """How to store a volume. Nothing is ever clipped.

    The source's slope and intercept serve if all its planes share them and the error stays below noise_std / 4 (for no
    known noise: below rounding). MR may store plain integers under the same condition. Else the values' whole range
    gets about 60 500 steps, zero exactly on one where that is possible.

    Args:
        data: Values (x, y, z), in the scan's unit.
        modality: "CT" or "MR".
        noise_std: Noise standard deviation in the scan's unit, or None.
        source: Slope, intercept and signedness of the source's planes.

    Raises:
        OutputError: Values that are not finite, or whose range is so wide that 16 bits would show.
    """
    lowest, highest = float(data.min()), float(data.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise OutputError("DICOM: NaN or infinite values cannot be stored. Use --format nifti.")
    candidates = [Scale(decimal_string(s), decimal_string(i), signed) for s, i, signed in set(source)]
    candidates = candidates if len(candidates) == 1 else []
    if modality == "MR":
        candidates.append(Scale("1", "0", lowest < 0))
    for scale in candidates:
        tolerance = noise_std / _FINE if noise_std else _rounding(scale, lowest, highest)
        error = _largest(scale, data, tolerance)
        if error <= tolerance:
            return Scale(scale.slope, scale.intercept, scale.signed, error)
    scale = _over_range(lowest, highest, signed=modality == "CT")
    error = _largest(scale, data, float("inf"))
    # More than a step: the range is so far from zero that 16 characters cannot say where it starts.
    if error > float(scale.slope) or (noise_std and error > noise_std / _VISIBLE):
        raise OutputError(
            f"DICOM: the values from {lowest:g} to {highest:g} do not fit 16 bits without visible steps. "
            "Use --format nifti."
        )
    return Scale(scale.slope, scale.intercept, scale.signed, error)


def decimal_string(value: float) -> str:
    """A number as DICOM writes it: at most 16 characters, as exact as they allow."""
    if value == 0:
        return "0"
    text = repr(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    return text if len(text) <= 16 else format_number_as_ds(float(value))


def _rounding(scale: Scale, lowest: float, highest: float) -> float:
    """How far float32 arithmetic, in which the scan was read, may lie from slope * stored + intercept."""
    return 2.0**-23 * (max(abs(lowest), abs(highest)) + abs(float(scale.intercept)))


def _largest(scale: Scale, data: np.ndarray, enough: float) -> float:
    """Largest error, slice by slice; stops at the first slice that is above `enough`."""
    largest = 0.0
    for k in range(data.shape[2]):
        largest = max(largest, scale.error(data[:, :, k]))
        if largest > enough:
            break
    return largest


def _over_range(lowest: float, highest: float, signed: bool) -> Scale:
    if lowest == highest:
        return Scale("1", decimal_string(lowest), signed)
    step = Decimal(f"{(highest - lowest) / _STEPS:.3g}")
    if step < Decimal(_SMALLEST_STEP):
        raise OutputError(f"DICOM: the values span only {highest - lowest:g}. Use --format nifti.")
    limits = np.iinfo(np.int16 if signed else np.uint16)
    first, last = round(lowest / float(step)), round(highest / float(step))
    shift = 0
    if first < limits.min or last > limits.max:
        shift = (first + last) // 2 if signed else first  # unsigned: the lowest value is stored as 0
    return Scale(decimal_string(float(step)), decimal_string(float(step * shift)), signed)
