"""The voxels of a NIfTI file as bytes: one volume after another, each slice after slice."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1PairHeader

from medidiff.errors import InputError
from medidiff.io.atomic import atomic_files
from medidiff.io.nifti_header import Declared, nifti_suffix, pair_of
from medidiff.io.quantise import Encoding

_DEFLATE_LIMIT = 1032  # zlib's documented maximum expansion: a .gz file cannot hold more than this times its size
_GZIP_LEVEL = 4
_AFTER_THE_VOXELS = 1 << 20


def check_size(path: Path, declared: Declared) -> None:
    """Hold the declared size against the file's (in unbounded integers), so that no header can claim memory.

    Raises:
        InputError: The file cannot hold what its header declares.
    """
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


def seek_frame(file: BinaryIO | gzip.GzipFile, declared: Declared, frame: int) -> None:
    """Go to the first voxel of a frame."""
    file.seek(declared.offset + frame * math.prod(declared.shape[:3]) * declared.dtype.itemsize)


def read_frame(file: BinaryIO | gzip.GzipFile, declared: Declared) -> np.ndarray:
    """The volume at the file's position as float32, C order, slope and intercept applied; a slice in memory at a time.

    Raises:
        EOFError: The file ends before the last voxel.
    """
    nx, ny, nz = declared.shape[:3]
    slice_bytes = nx * ny * declared.dtype.itemsize
    slope, inter = declared.memory.slope, declared.memory.inter
    data = np.empty((nx, ny, nz), dtype=np.float32)
    with np.errstate(all="ignore"):
        for k in range(nz):
            block = file.read(slice_bytes)
            if len(block) < slice_bytes:
                raise EOFError
            plane = np.frombuffer(block, dtype=declared.dtype).reshape((nx, ny), order="F")
            if slope != 1.0 or inter != 0.0:
                plane = plane.astype(np.float64) * slope + inter
            data[..., k] = plane
    return data


def read_to_the_end(file: BinaryIO | gzip.GzipFile, declared: Declared) -> None:
    """Read what is left, so that gzip holds its checksum against all of it."""
    end = declared.offset + math.prod(declared.shape) * declared.dtype.itemsize
    left = end - file.tell() + _AFTER_THE_VOXELS
    while left > 0 and (block := file.read(min(left, _AFTER_THE_VOXELS))):
        left -= len(block)


def write_file(path: Path, header: Nifti1PairHeader, frames: Iterable[np.ndarray], encoding: Encoding) -> None:
    """Write header and volumes, encoded, in the header's byte order; whole or not at all.

    Raises:
        OutputError: The file cannot be written. No partial file remains.
    """
    single = nifti_suffix(path).startswith(".nii")
    targets = (path,) if single else pair_of(path)
    with atomic_files(*targets) as files, ExitStack() as stack:
        streams = [_compressed(file, target, stack) for file, target in zip(files, targets, strict=True)]
        streams[0].write(header.binaryblock)
        if single:
            streams[0].write(bytes(4))  # no extensions
        for data in frames:
            _write_frame(streams[-1], data, encoding, header.get_data_dtype())


def _compressed(file: BinaryIO, target: Path, stack: ExitStack) -> BinaryIO | gzip.GzipFile:
    if not target.name.lower().endswith(".gz"):
        return file
    # No time and no name inside: the same volume gives the same bytes.
    return stack.enter_context(gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0))


def _write_frame(stream: BinaryIO | gzip.GzipFile, data: np.ndarray, encoding: Encoding, stored: np.dtype) -> None:
    with np.errstate(over="ignore"):
        for k in range(data.shape[-1]):
            stream.write(encoding.encode(data[..., k]).astype(stored).tobytes(order="F"))
