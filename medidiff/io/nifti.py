"""NIfTI files: read with suspicion, written with the input's grid, codes, units and kind of number."""

from __future__ import annotations

import gzip
import math
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from medidiff.errors import InputError, MemoryLimitError, OutputError
from medidiff.io.atomic import atomic_files
from medidiff.io.hashing import hash_array, hash_file
from medidiff.io.nifti_header import (
    NIFTI_SUFFIXES,
    UNREADABLE,
    Declared,
    build_header,
    nifti_suffix,
    open_nifti,
    pair_of,
    read_header,
)
from medidiff.io.quantise import Encoding, choose_encoding
from medidiff.volume import Volume, check_finite, check_shape

__all__ = ["MAX_VOXELS", "NIFTI_SUFFIXES", "hash_array", "hash_file", "read_nifti", "write_nifti"]

MAX_VOXELS = 2**31
"""Largest volume read_nifti takes: 8 GiB as float32."""

_DEFLATE_LIMIT = 1032  # zlib's documented maximum expansion: a .gz file cannot hold more than this times its size
_GZIP_LEVEL = 4
_AFTER_THE_VOXELS = 1 << 20


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
    shape = declared.shape[:3]
    _check_size(path, declared)
    if math.prod(shape) > MAX_VOXELS:
        raise MemoryLimitError(f"{path}: {shape} voxels: at most {MAX_VOXELS} can be read. Crop it first.")
    name = path.name[: -len(suffix)]
    try:
        data = _read_voxels(declared, frame)
    except EOFError as error:
        raise InputError(f"{path}: truncated: the file ends before its last voxel. Get it again.") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: damaged ({getattr(error, 'strerror', None) or error}). Get it again.") from error
    if finite:
        check_finite(data, str(path))
    return Volume(data, declared.memory.affine_ras, declared.memory, name)


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
    header = build_header(volume, encoding, single, descrip)
    targets = (path,) if single else pair_of(path)
    with atomic_files(*targets) as files, ExitStack() as stack:
        streams = [_compressed(file, target, stack) for file, target in zip(files, targets, strict=True)]
        streams[0].write(header.binaryblock)
        if single:
            streams[0].write(bytes(4))  # no extensions
        _write_voxels(streams[-1], volume.data, encoding, header.get_data_dtype())


def _check_frame(path: Path, shape: tuple[int, ...], frame: int | None) -> int:
    if len(shape) > 4:
        raise InputError(f"{path}: {len(shape)}D, shape {shape}: must be one 3D volume. Extract one volume first.")
    if len(shape) < 4:
        check_shape(shape, str(path))
        if frame not in (None, 0):
            raise InputError(f"{path}: frame {frame}: this file is 3D, shape {shape}. Leave the frame out.")
        return 0
    check_shape(shape[:3], str(path))
    if frame is None:
        raise InputError(
            f"{path}: 4D, shape {shape}: holds {shape[3]} volumes, must be one 3D volume. Extract one volume first "
            "(in Python: read_nifti(path, frame=0))."
        )
    if not 0 <= frame < shape[3]:
        raise InputError(f"{path}: frame {frame}: must be from 0 to {shape[3] - 1}.")
    return frame


def _check_size(path: Path, declared: Declared) -> None:
    """Hold the declared size against the file's (in unbounded integers), so that no header can claim memory."""
    needed = declared.offset + math.prod(declared.shape) * declared.dtype.itemsize
    try:
        held = declared.data_path.stat().st_size
    except OSError as error:
        raise InputError(f"{declared.data_path}: the voxels' file cannot be read ({error.strerror}).") from error
    compressed = declared.data_path.name.lower().endswith(".gz")
    if needed > (held * _DEFLATE_LIMIT if compressed else held):
        raise InputError(
            f"{path}: truncated, or its header is wrong: it declares shape {declared.shape} of {declared.dtype.name}, "
            f"{needed} bytes, and the file has {held}{' compressed' if compressed else ''}. Get it again."
        )


def _read_voxels(declared: Declared, frame: int) -> np.ndarray:
    """One volume as float32, C order, a slice at a time; the rest of the file is read too, for gzip's checksum."""
    nx, ny, nz = declared.shape[:3]
    slice_bytes = nx * ny * declared.dtype.itemsize
    end = declared.offset + math.prod(declared.shape) * declared.dtype.itemsize
    slope, inter = declared.memory.slope, declared.memory.inter
    data = np.empty((nx, ny, nz), dtype=np.float32)
    with open_nifti(declared.data_path) as file, np.errstate(all="ignore"):
        file.seek(declared.offset + frame * nz * slice_bytes)
        for k in range(nz):
            block = file.read(slice_bytes)
            if len(block) < slice_bytes:
                raise EOFError
            plane = np.frombuffer(block, dtype=declared.dtype).reshape((nx, ny), order="F")
            if slope != 1.0 or inter != 0.0:
                plane = plane.astype(np.float64) * slope + inter
            data[..., k] = plane
        left = end - file.tell() + _AFTER_THE_VOXELS
        while left > 0 and (block := file.read(min(left, _AFTER_THE_VOXELS))):
            left -= len(block)
    return data


def _compressed(file: BinaryIO, target: Path, stack: ExitStack) -> BinaryIO | gzip.GzipFile:
    if not target.name.lower().endswith(".gz"):
        return file
    # No time and no name inside: the same volume gives the same bytes.
    return stack.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0))


def _write_voxels(stream: BinaryIO | gzip.GzipFile, data: np.ndarray, encoding: Encoding, stored: np.dtype) -> None:
    with np.errstate(over="ignore"):
        for k in range(data.shape[-1]):
            stream.write(encoding.encode(data[..., k]).astype(stored).tobytes(order="F"))
