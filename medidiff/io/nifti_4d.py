"""NIfTI files with a time or diffusion axis: volume after volume, one pass over the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from nibabel.nifti1 import Nifti1PairHeader

from medidiff.errors import GeometryError, OutputError, UsageError
from medidiff.geometry import same_grid
from medidiff.io.nifti import check_voxels, count_frames, reading
from medidiff.io.nifti_header import build_header, nifti_suffix, open_nifti, read_header
from medidiff.io.nifti_voxels import check_size, read_frame, read_to_the_end, seek_frame, write_file
from medidiff.io.quantise import choose_encoding
from medidiff.volume import Volume, check_finite

_TIME_UNITS = 0x38  # bits 3 to 5 of xyzt_units; hertz, ppm and rad/s are no times
_SECONDS_PER_UNIT = {8: 1.0, 16: 1e-3, 24: 1e-6}
_SECOND = 8


def frames_of(path: str | Path) -> int:
    """How many volumes a NIfTI file holds: 1 for a 3D file. Only the header is read.

    Raises:
        InputError: Missing, not NIfTI, damaged, colour, complex, 2D, or more than four axes.
        GeometryError: The header does not place the voxels in space.
        UsageError: The name does not end as a NIfTI file's does.
    """
    return count_frames(Path(path), read_header(Path(path)).shape)


def read_frames(path: str | Path, *, finite: bool = True) -> Iterator[Volume]:
    """Every volume of a 3D or 4D file in turn, as `read_nifti` gives it; a .gz file is decompressed once.

    Args:
        path: As for `read_nifti`.
        finite: False lets NaN and infinite values through.

    Yields:
        Volumes with the header's memory. Damage in the last bytes of a .gz file is found after the last volume only.

    Raises:
        InputError: Missing, damaged, truncated, not NIfTI, 2D or 5D, colour, complex, or not finite.
        GeometryError: The header does not place the voxels in space.
        MemoryLimitError: More than MAX_VOXELS voxels a volume.
        UsageError: The name does not end as a NIfTI file's does.
    """
    path = Path(path)
    name = path.name[: -len(nifti_suffix(path))]
    declared = read_header(path)
    frames = count_frames(path, declared.shape)
    check_size(path, declared)
    check_voxels(path, declared.shape[:3])
    with reading(path), open_nifti(declared.data_path) as file:
        seek_frame(file, declared, 0)
        for frame in range(frames):
            data = read_frame(file, declared)
            if finite:
                check_finite(data, f"{path}, frame {frame}" if frames > 1 else str(path))
            yield Volume(data, declared.memory.affine_ras, declared.memory, name)
        read_to_the_end(file, declared)


def write_nifti_4d(
    volumes: Sequence[Volume],
    path: str | Path,
    dtype: str | None = None,
    *,
    descrip: str | None = None,
    repetition_time_s: float | None = None,
) -> None:
    """Write volumes of one grid as one 4D file, whole or not at all.

    Grid, codes, units, byte order and kind of number are the first volume's, as `write_nifti` keeps them; number type,
    slope and intercept are chosen once, for the values of all volumes. Nothing is clipped.

    Args:
        volumes: At least one; one gives a file whose fourth axis is 1 long.
        path: .nii, .nii.gz, or .hdr/.img for a pair.
        dtype: As for `write_nifti`; None keeps the first volume's kind.
        descrip: Description field; None keeps the input's and adds medidiff's mark.
        repetition_time_s: From one volume to the next. None keeps what the first volume's header said (1 without a
            unit where there is none: several programs refuse a step of 0).

    Raises:
        GeometryError: The volumes are not on one grid, or it does not place voxels in space.
        OutputError: The file cannot be written, or the values cannot be stored so. No partial file remains.
        UsageError: No volume, not a NIfTI name, a repetition time that is not positive and finite, or `dtype` is
            unknown or too small for the values.
    """
    path = Path(path)
    single = nifti_suffix(path).startswith(".nii")
    if not volumes:
        raise UsageError(f"{path}: no volumes: at least one must be given.")
    first = volumes[0]
    name = first.name or "volume"
    if first.data.size == 0:
        raise OutputError(f"{name}: empty, shape {first.shape}: there is nothing to write.")
    for k, volume in enumerate(volumes[1:], start=1):
        if not same_grid(volume, first):
            raise GeometryError(
                f"{path}: frame {k} lies on another grid (shape {volume.shape}) than frame 0 (shape {first.shape}): "
                "one 4D file has one grid. Write them as separate files, or resample them first."
            )
    values = [volume.data for volume in volumes]
    encoding = choose_encoding(values, first.header, dtype, name)
    header = build_header(first, encoding, single, descrip, frames=len(volumes))
    if repetition_time_s is not None:
        _set_repetition_time(header, repetition_time_s)
    write_file(path, header, values, encoding)


def _set_repetition_time(header: Nifti1PairHeader, seconds: float) -> None:
    if not (math.isfinite(seconds) and seconds > 0):
        raise UsageError(f"repetition_time_s {seconds}: must be a positive number of seconds. Leave it out if unknown.")
    units = int(header["xyzt_units"])
    time_unit = units & _TIME_UNITS
    if time_unit not in _SECONDS_PER_UNIT:
        time_unit = _SECOND
    header["xyzt_units"] = (units & ~_TIME_UNITS) | time_unit
    header["pixdim"][4] = seconds / _SECONDS_PER_UNIT[time_unit]
