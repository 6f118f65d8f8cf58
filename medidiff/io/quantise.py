"""Values to a file's number type: exact where possible, else 16 bits with slope and intercept, never clipped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medidiff.errors import OutputError, UsageError
from medidiff.volume import NiftiMemory

# Steps asked of 16 bits: span/65000, then the step is rounded up to 7 significant bits (at most 1/64 larger), so it
# stays below span/60000 and leaves room at both ends. Seven bits times a 16-bit integer is exact in float32, so the
# zero of the scan stays exactly zero.
_STEPS = 65000
_SMALLEST_STEP = float(np.finfo(np.float32).tiny)
_NARROWED = {"int64": "int32", "uint64": "uint32"}  # 64-bit integers are read by few programs, and float32 has 24 bits


@dataclass(frozen=True)
class Encoding:
    """stored = (value - inter) / slope, rounded to the nearest for integer types."""

    dtype: np.dtype
    slope: float = 1.0
    inter: float = 0.0

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values as they are stored."""
        if self.dtype.kind == "f":
            return values.astype(self.dtype)
        return self._levels(values).astype(self.dtype)

    def is_exact(self, values: np.ndarray) -> bool:
        """Whether these values, stored and read back as float32, are the same."""
        with np.errstate(all="ignore"):
            levels = self._levels(values)
            restored = (levels * self.slope + self.inter).astype(values.dtype)
        return self._in_range(levels) and np.array_equal(restored, values)

    def fits(self, lowest: float, highest: float) -> bool:
        """Whether the type holds everything between these two values."""
        return self._in_range(self._levels(np.array([lowest, highest])))

    def _levels(self, values: np.ndarray) -> np.ndarray:
        return np.rint((values.astype(np.float64) - self.inter) / self.slope)

    def _in_range(self, levels: np.ndarray) -> bool:
        limits = np.iinfo(self.dtype)
        return bool(levels.min() >= limits.min and levels.max() <= limits.max)


def choose_encoding(
    data: np.ndarray | Sequence[np.ndarray], memory: NiftiMemory | None, dtype: str | None, name: str
) -> Encoding:
    """How to store these values: the input's kind of number, or the one that was asked for.

    Args:
        data: Values in the scan's own unit; several volumes share one encoding.
        memory: The header of the input; None takes the kind of number from `data`.
        dtype: "float32", "float64", "uint8", "int16", "uint16", "int32", "uint32"; None keeps the input's kind.
        name: What messages call the volume.

    Raises:
        UsageError: `dtype` is none of these, or too small for the values.
        OutputError: Values that are not finite, for an integer type.
    """
    frames = [data] if isinstance(data, np.ndarray) else list(data)
    common = np.result_type(*(frame.dtype for frame in frames))
    if common.kind not in "biuf":
        raise OutputError(f"{name}: values of type {common} cannot be written: must be real numbers.")
    if dtype is not None:
        return _requested(frames, np.dtype(dtype), name)
    source = np.dtype(memory.dtype) if memory is not None else common
    if source.kind == "f":
        return Encoding(np.dtype(np.float32))
    _require_finite(frames, name)
    source = np.dtype("uint8" if source.kind == "b" else _NARROWED.get(source.name, source.name))
    candidates = [Encoding(np.dtype(kind)) for kind in (source, "int16", "uint16", "int32", "uint32")]
    if memory is not None:
        candidates.insert(0, Encoding(source, memory.slope, memory.inter))
    for candidate in candidates:
        if _all_slabs(frames, candidate.is_exact):
            return candidate
    return _sixteen_bits(frames, np.dtype(np.uint16 if source.kind == "u" else np.int16), name)


def nearest_storable(values: np.ndarray, memory: NiftiMemory | None) -> np.ndarray:
    """Values moved to the nearest that a scan's own number type, slope and intercept can store; float scans as given.

    For new voxels in an otherwise unchanged scan: the file then keeps its encoding, and every other voxel its bits.

    Args:
        values: New voxels in the scan's unit.
        memory: The scan's header.

    Returns:
        float32.
    """
    if memory is None or np.dtype(memory.dtype).kind not in "iu":
        return values.astype(np.float32)
    limits = np.iinfo(memory.dtype)
    levels = np.rint((values.astype(np.float64) - memory.inter) / memory.slope).clip(limits.min, limits.max)
    return (levels * memory.slope + memory.inter).astype(np.float32)


def _requested(frames: list[np.ndarray], wanted: np.dtype, name: str) -> Encoding:
    if wanted.name not in ("float32", "float64", "uint8", "int16", "uint16", "int32", "uint32"):
        raise UsageError(
            f"dtype {wanted}: must be float32, float64, uint8, int16, uint16, int32 or uint32. "
            "Leave it out to keep the input's kind of number."
        )
    if wanted.kind == "f":
        return Encoding(wanted)
    _require_finite(frames, name)
    if _all_slabs(frames, Encoding(wanted).is_exact):
        return Encoding(wanted)
    if wanted.itemsize != 2:
        raise UsageError(
            f"dtype {wanted}: the values of {name} are not whole numbers in its range. Use int16 or float32."
        )
    return _sixteen_bits(frames, wanted, name)


def _sixteen_bits(frames: list[np.ndarray], dtype: np.dtype, name: str) -> Encoding:
    """16-bit levels over the values' range, the zero of the scan exactly on a level where the range holds it."""
    lowest, highest = min(float(f.min()) for f in frames), max(float(f.max()) for f in frames)
    if lowest == highest:
        return Encoding(dtype, 1.0, float(np.float32(lowest)))
    mantissa, exponent = math.frexp((highest - lowest) / _STEPS)
    step = math.ldexp(math.ceil(mantissa * 128) / 128, exponent)
    if step < _SMALLEST_STEP:
        raise OutputError(f"{name}: the values span only {highest - lowest:g}: use dtype float32.")
    limits = np.iinfo(dtype)
    first, last = math.floor(lowest / step), math.ceil(highest / step)
    shift = 0
    if first < limits.min or last > limits.max:
        shift = first if dtype.kind == "u" else (first + last) // 2
    encoding = Encoding(dtype, step, float(np.float32(shift * step)))
    if encoding.fits(lowest, highest):
        return encoding
    # Far from zero the intercept's own rounding (float32) can exceed the room at the ends: start at the lowest value,
    # which is itself a float32.
    encoding = Encoding(np.dtype(np.uint16), step, float(np.float32(lowest)))
    if not encoding.fits(lowest, highest):
        raise OutputError(f"{name}: the values {lowest:g} to {highest:g} do not fit 16 bits. Use dtype float32.")
    return encoding


def _require_finite(frames: list[np.ndarray], name: str) -> None:
    if any(frame.dtype.kind == "f" and not np.isfinite(frame).all() for frame in frames):
        raise OutputError(f"{name}: NaN or infinite values cannot be written as integers. Use dtype float32.")


def _all_slabs(frames: list[np.ndarray], holds: Callable[[np.ndarray], bool]) -> bool:
    """Whether a property holds for every slice along z; one slice in memory at a time, the first failure ends it."""
    return all(holds(frame[..., k]) for frame in frames for k in range(frame.shape[-1]))
