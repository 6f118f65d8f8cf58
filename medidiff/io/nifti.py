"""NIfTI files: read with suspicion, written with the input's grid, codes, units and kind of number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medidiff.errors import InputError, MemoryLimitError, OutputError
from medidiff.io.hashing import hash_array, hash_file
from medidiff.io.nifti_header import (
    NIFTI_SUFFIXES,
    UNREADABLE,
    build_header,
    nifti_suffix,
    open_nifti,
    read_header,
)
from medidiff.io.nifti_voxels import check_size, read_frame, read_to_the_end, seek_frame, write_file
from medidiff.io.quantise import choose_encoding
from medidiff.volume import MAX_VOXELS, Volume, check_finite, check_shape

__all__ = ["MAX_VOXELS", "NIFTI_SUFFIXES", "hash_array", "hash_file", "read_nifti", "write_nifti"]


def read_nifti(path: str | Path, frame: int | None = None, *, finite: bool = True) -> Volume:
    """Read one 3D volume as float32, slope and intercept applied.

    Everything the header declares is held against the file's size before memory is taken for it.

    Args:
        path: .nii, .nii.gz, or either file of a .hdr/.img pair; NIfTI-1 or NIfTI-2, any byte order.
        frame: Which volume of a 4D file, from 0. None demands a 3D file.
        finite: False lets NaN and infinite values through (a noise map is infinite where nothing was observed).

    Returns:
        The volume, with the header's memory for `write_nifti`.

    Raises:
        InputError: Missing, damaged, truncated, not NIfTI, not 3D, colour, complex, or not finite.
        GeometryError: The header does not place the voxels in space.
        MemoryLimitError: More than MAX_VOXELS voxels.
        UsageError: The name does not end as a NIfTI file's does.
    """
    path = Path(path)
    suffix = nifti_suffix(path)
    declared = read_header(path)
    frame = _check_frame(path, declared.shape, frame)
    check_size(path, declared)
    check_voxels(path, declared.shape[:3])
    with reading(path), open_nifti(declared.data_path) as file:
        seek_frame(file, declared, frame)
        data = read_frame(file, declared)
        read_to_the_end(file, declared)
    if finite:
        check_finite(data, str(path))
    return Volume(data, declared.memory.affine_ras, declared.memory, path.name[: -len(suffix)])


def write_nifti(volume: Volume, path: str | Path, dtype: str | None = None, *, descrip: str | None = None) -> None:
    """Write a volume, whole or not at all.

    Grid, both forms with their codes, units and byte order are the input's. So is the kind of number: float is written
    as float32; integers stay integers, exactly where the values allow it, else as 16 bits with slope and intercept, in
    steps of at most 1/60000 of the range. Nothing is clipped. NIfTI extensions of the input are not carried over.

    Args:
        volume: The volume; `volume.header` None writes NIfTI-1 in mm, of the kind of `volume.data`.
        path: .nii, .nii.gz, or .hdr/.img for a pair.
        dtype: "float32", "float64", "uint8", "int16", "uint16", "int32" or "uint32"; None keeps the input's kind.
        descrip: Description field, at most 79 characters. None keeps the input's and adds medidiff's mark.

    Raises:
        OutputError: The file cannot be written, or the values cannot be stored so. No partial file remains.
        UsageError: The name is not a NIfTI file's, or `dtype` is unknown or too small for the values.
        GeometryError: The volume's affine does not place the voxels in space.
    """
    path = Path(path)
    single = nifti_suffix(path).startswith(".nii")
    if volume.data.size == 0:
        raise OutputError(f"{volume.name or 'volume'}: empty, shape {volume.shape}: there is nothing to write.")
    encoding = choose_encoding(volume.data, volume.header, dtype, volume.name or "volume")
    write_file(path, build_header(volume, encoding, single, descrip), [volume.data], encoding)


def check_voxels(path: Path, shape: tuple[int, ...]) -> None:
    """Refuse a volume larger than `MAX_VOXELS`.

    Raises:
        MemoryLimitError: It is.
    """
    if math.prod(shape) > MAX_VOXELS:
        raise MemoryLimitError(f"{path}: {shape} voxels: at most {MAX_VOXELS} can be read. Crop it first.")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what Python raises while reading a damaged file into an InputError that says so."""
    try:
        yield
    except EOFError as error:
        raise InputError(f"{path}: truncated: the file ends before its last voxel. Get it again.") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: damaged ({getattr(error, 'strerror', None) or error}). Get it again.") from error


def count_frames(path: Path, shape: tuple[int, ...]) -> int:
    """How many volumes a file of this shape holds.

    Raises:
        InputError: 2D, empty, or more than four axes.
    """
    if len(shape) > 4:
        raise InputError(f"{path}: {len(shape)}D, shape {shape}: must be 3D, or 4D. Extract the volumes first.")
    check_shape(shape[:3], str(path))
    return shape[3] if len(shape) == 4 else 1


def _check_frame(path: Path, shape: tuple[int, ...], frame: int | None) -> int:
    frames = count_frames(path, shape)
    if len(shape) < 4:
        if frame not in (None, 0):
            raise InputError(f"{path}: frame {frame}: this file is 3D, shape {shape}. Leave the frame out.")
        return 0
    if frame is None:
        raise InputError(
            f"{path}: 4D, shape {shape}: holds {frames} volumes, must be one 3D volume. Extract one volume first "
            "(in Python: read_nifti(path, frame=0))."
        )
    if not 0 <= frame < frames:
        raise InputError(f"{path}: frame {frame}: must be from 0 to {frames - 1}.")
    return frame
