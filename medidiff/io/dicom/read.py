"""A candidate's planes to a volume: float32, in the scan's unit, with its place in space."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from medidiff.errors import GeometryError, InputError, MedidiffError, MemoryLimitError
from medidiff.geometry import check_affine
from medidiff.io.dicom.choose import choose
from medidiff.io.dicom.model import Assembled, Candidate, Plane, Stacking
from medidiff.io.dicom.pixels import PlaneReader
from medidiff.io.dicom.tilt import straighten
from medidiff.io.nifti_header import scanner_memory
from medidiff.volume import MAX_VOXELS, NiftiMemory, Volume

_ERRORS: dict[str, type[MedidiffError]] = {
    **dict.fromkeys(("gap", "duplicate", "tilt", "uneven", "no-position", "spacing"), GeometryError),
    "too-large": MemoryLimitError,
}
_THREADS = 4
_FLOAT32_INTEGERS = 1 << 24  # float32 holds every integer up to here
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def read_dicom(path: str | Path, series: str | None = None, *, resample_tilt: bool = False) -> Volume:
    """Read one volume from a folder, a zip, a DICOMDIR or a file.

    Args:
        path: Where the files are.
        series: Which of several volumes: an id that `scan_dicom` or an error lists, a series number, or a series UID.
        resample_tilt: Take out a gantry tilt, which is refused otherwise.

    Returns:
        float32, in the scan's unit.

    Raises:
        UsageError: There are several volumes and `series` does not say which; the text lists them.
        InputError: No volume, or a damaged one.
        GeometryError: Slices are missing, doubled, tilted, unevenly spaced or without position.
        MemoryLimitError: More voxels than medidiff takes.
    """
    from medidiff.io.dicom.scan import scan_dicom

    return read_candidate(choose(scan_dicom(Path(path)), series), resample_tilt=resample_tilt).volume


def read_candidate(candidate: Candidate, *, resample_tilt: bool = False, fill_gaps: bool = False) -> Assembled:
    """Read a candidate's voxels: value = slope * stored + intercept, of each plane.

    Where one slope and intercept hold for all planes, both are taken to float32, as NIfTI keeps them, and the volume
    remembers how its integers were stored. Voxels with the padding value are kept, marked as unmeasured, and counted in
    the notes.

    Args:
        candidate: From `scan_dicom`.
        resample_tilt: Resample a tilted stack to an orthogonal grid.
        fill_gaps: Take a stack with missing slices; they hold 0 and are listed.

    Raises:
        GeometryError: Gap, duplicate, tilt, uneven spacing, no position, unless an option covers it.
        InputError: Any other refusal; a file that is absent, damaged, or changed since the scan.
        MemoryLimitError: More than `MAX_VOXELS`, or more than there is memory for.
    """
    stacking = _accepted(candidate, resample_tilt, fill_gaps)
    name = volume_name(candidate)
    check_affine(stacking.affine_ras, name)
    shared = _shared_scale(candidate.planes)
    data, unmeasured = _fill(candidate, stacking, shared)
    memory = _memory(candidate.planes, stacking.affine_ras, shared)
    volume = Volume(data, stacking.affine_ras, memory, name, candidate.series.modality, unmeasured)
    notes = []
    if unmeasured is not None:
        count = np.count_nonzero(unmeasured)
        notes.append(f"{count} of {data.size} voxels hold the padding value: nothing was measured there")
    if stacking.tilt_deg:
        background = float(data.min())
        volume = straighten(volume, background)
        notes.append(
            f"resampled from a gantry tilt of {stacking.tilt_deg:.1f} degrees: linear, within each slice; voxels that "
            f"no slice reaches hold {background:g}"
        )
    return Assembled(volume, stacking.missing, tuple(notes))


def volume_name(candidate: Candidate, own_id: str = "") -> str:
    """Name for messages and files, without patient data: "series-003-MR-1a2b3c4d".

    Args:
        candidate: A volume, or the first of a 4D scan.
        own_id: The 4D scan's id, where that is meant.
    """
    number, modality = candidate.series.number, candidate.series.modality
    parts = ["series", "" if number is None else f"{number:03d}", modality if modality.isalnum() else ""]
    return "-".join(filter(None, (*parts, own_id or candidate.id)))


def refusal_error(candidate: Candidate) -> MedidiffError:
    """A candidate's refusal as the error of its kind, which has an exit code."""
    code = "" if candidate.refusal is None else candidate.refusal.code
    return _ERRORS.get(code, InputError)(f"{volume_name(candidate)}: {candidate.refusal}")


def _accepted(candidate: Candidate, resample_tilt: bool, fill_gaps: bool) -> Stacking:
    """The grid, if it may be read so."""
    refusal, stacking = candidate.refusal, candidate.stacking
    name = volume_name(candidate)
    if refusal is not None:
        covered = {code for code, option in (("tilt", resample_tilt), ("gap", fill_gaps)) if option}
        needed = {refusal.code}
        if stacking is not None:
            needed |= {"tilt"} if stacking.tilt_deg else set()
            needed |= {"gap"} if stacking.missing else set()
        if stacking is None or not needed <= covered:
            raise refusal_error(candidate)
    if stacking is None or not candidate.planes:
        raise InputError(f"{name}: no image. Choose a series that is a volume.")
    if math.prod(stacking.shape) > MAX_VOXELS:
        raise MemoryLimitError(f"{name}: {stacking.shape} voxels: at most {MAX_VOXELS} can be read.")
    return stacking


def _fill(
    candidate: Candidate, stacking: Stacking, shared: tuple[float, float] | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The voxels, slice after slice in memory, and which hold the padding value; None where none does."""
    columns, rows, slices = stacking.shape
    planes, slots = candidate.planes, stacking.slots
    if any((p.columns, p.rows) != (columns, rows) for p in planes) or not all(0 <= s < slices for s in slots):
        raise InputError(f"{volume_name(candidate)}: its planes do not fit its grid. Scan the folder again.")
    try:
        data = np.empty((slices, rows, columns), dtype=np.float32)
        padded = any(plane.form.padding is not None for plane in planes)
        padding = np.zeros(data.shape if padded else (0, 0, 0), dtype=bool)
    except MemoryError as error:
        raise MemoryLimitError(f"{volume_name(candidate)}: no memory for {stacking.shape} voxels.") from error
    data[list(stacking.missing)] = 0.0
    work = sorted(zip(planes, slots, strict=True), key=lambda one: (one[0].file.label, one[0].frame))
    chunks = _chunks(work)

    def read(chunk: list[tuple[Plane, int]]) -> None:
        with PlaneReader() as reader:
            for plane, slot in chunk:
                stored = reader.stored(plane)
                _scale(stored, plane, shared, data[slot])
                if plane.form.padding is not None:
                    first, last = sorted(plane.form.padding)
                    padding[slot] = (stored >= first) & (stored <= last)

    if len(chunks) == 1:
        read(chunks[0])
    else:
        with ThreadPoolExecutor(len(chunks)) as pool:
            list(pool.map(read, chunks))
    return data.transpose(2, 1, 0), padding.transpose(2, 1, 0) if padding.any() else None


def _chunks(work: list[tuple[Plane, int]]) -> list[list[tuple[Plane, int]]]:
    """One for each thread where planes lie open in their files; one for all where one decoder serves them."""
    direct = all(plane.data_offset is not None and plane.file.member is None for plane, _ in work)
    threads = min(_THREADS, os.cpu_count() or 1, len(work)) if direct else 1
    size = -(-len(work) // threads)
    return [work[i : i + size] for i in range(0, len(work), size)]


def _scale(stored: np.ndarray, plane: Plane, shared: tuple[float, float] | None, out: np.ndarray) -> None:
    """Stored integers to values, in float64 where float32 would round twice."""
    slope, intercept = shared or (plane.slope, plane.intercept)
    bits = plane.form.bits_stored
    largest = abs(slope) * 2.0**bits + abs(intercept)
    if not (math.isfinite(largest) and largest < _FLOAT32_MAX):
        raise InputError(
            f"{plane.file.label}: rescale slope {slope:g} and intercept {intercept:g}: values would not be finite. "
            "Get the file again from its source."
        )
    if slope == 1.0 and float(intercept).is_integer() and largest < _FLOAT32_INTEGERS:
        np.add(stored, np.float32(intercept), out=out, dtype=np.float32, casting="unsafe")
    else:
        values = stored.astype(np.float64)
        values *= slope
        values += intercept
        out[...] = values


def _shared_scale(planes: tuple[Plane, ...]) -> tuple[float, float] | None:
    """Slope and intercept that all planes have, to float32, or None."""
    scales = {(plane.slope, plane.intercept) for plane in planes}
    if len(scales) > 1:
        return None
    with np.errstate(over="ignore"):
        slope, intercept = (float(np.float32(value)) for value in scales.pop())
    return (slope, intercept) if slope != 0 and math.isfinite(slope) and math.isfinite(intercept) else None


def _memory(
    planes: tuple[Plane, ...], affine_ras: np.ndarray, shared: tuple[float, float] | None
) -> NiftiMemory | None:
    """How NIfTI can store the same integers; None where planes differ, or where float32 does not hold them all."""
    forms = {(plane.form.bits_allocated, plane.form.bits_stored, plane.form.signed) for plane in planes}
    if shared is None or len(forms) > 1:
        return None
    bits_allocated, bits_stored, signed = forms.pop()
    if bits_stored > 24:
        return None
    if bits_allocated == 8:
        dtype = "int16" if signed else "uint8"
    elif bits_stored <= 16:
        dtype = "uint16" if bits_stored == 16 and not signed else "int16"
    else:
        dtype = "int32"
    return scanner_memory(affine_ras, dtype, *shared)
