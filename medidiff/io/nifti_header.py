"""NIfTI headers: what a file declares, judged before any voxel is read, and the header of an output."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError

from medidiff import __version__
from medidiff.errors import GeometryError, InputError, OutputError, UsageError
from medidiff.geometry import check_affine
from medidiff.io.quantise import Encoding
from medidiff.volume import NiftiMemory, Volume

NIFTI_SUFFIXES = (".nii.gz", ".nii", ".hdr.gz", ".img.gz", ".hdr", ".img")
UNREADABLE = (OSError, EOFError, zlib.error)
"""What Python raises while reading damaged or truncated files."""

_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown (taken as mm), metre, mm, micron
_HEADERS = {  # by version, and whether header and voxels share one file
    (1, True): Nifti1Header,
    (1, False): Nifti1PairHeader,
    (2, True): Nifti2Header,
    (2, False): Nifti2PairHeader,
}
_TIMING = ("slice_start", "slice_end", "slice_code", "slice_duration", "toffset")
_DESCRIP_BYTES = 79  # 80 with the closing zero


@dataclass(frozen=True)
class Declared:
    """What a header says about its voxels, and where they are."""

    data_path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype
    memory: NiftiMemory


def nifti_suffix(path: Path) -> str:
    """The ending that makes this a NIfTI name, in lower case.

    Raises:
        UsageError: None does.
    """
    for suffix in NIFTI_SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return suffix
    raise UsageError(f"{path}: must be a NIfTI file name, ending in .nii.gz, .nii, .hdr or .img.")


def pair_of(path: Path) -> tuple[Path, Path]:
    """The header file and the voxel file of a .hdr/.img pair, given either."""
    suffix = nifti_suffix(path)
    stem, ending = path.name[: -len(suffix)], path.name[-len(suffix) :]
    upper = ending[1:4].isupper()
    header, image = (ending[0] + (kind.upper() if upper else kind) + ending[4:] for kind in ("hdr", "img"))
    return path.with_name(stem + header), path.with_name(stem + image)


def open_nifti(path: Path) -> BinaryIO | gzip.GzipFile:
    """Open for reading, decompressed if the name ends in .gz."""
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else open(path, "rb")


def read_header(path: Path) -> Declared:
    """Read and judge a header; no voxel is read.

    Raises:
        InputError: Not a NIfTI file, damaged, or of a type that is not a scan.
        GeometryError: The header does not place the voxels in space.
    """
    single = nifti_suffix(path).startswith(".nii")
    header_path, data_path = (path, path) if single else pair_of(path)
    header, version = _parse(header_path, _first_bytes(header_path), single)
    dims = [int(n) for n in header["dim"]]
    if not 1 <= dims[0] <= 7 or min(dims[1 : dims[0] + 1]) < 1:
        raise InputError(f"{path}: damaged header, its dimensions are {dims}. Get the file again from its source.")
    shape = tuple(dims[1 : dims[0] + 1])
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        code = int(header["datatype"])
        raise InputError(f"{path}: unknown number type {code}. Convert it to int16 or float32.") from error
    if dtype.fields is not None or dtype.kind not in "iuf":
        kind = "colour (RGB)" if dtype.fields is not None else {"c": "complex"}.get(dtype.kind, "one-bit or unnamed")
        raise InputError(f"{path}: {kind} values: must be one real number a voxel. Extract one channel.")
    offset = float(header["vox_offset"])
    smallest = {1: 352, 2: 544}[version] if single else 0
    if offset == 0:
        offset = smallest
    if not (math.isfinite(offset) and offset >= smallest):
        raise InputError(f"{path}: damaged header, voxels cannot start at byte {offset:g}. Get the file again.")
    return Declared(data_path, int(offset), shape, dtype, _remember(header, version, dtype, path))


def _first_bytes(path: Path) -> bytes:
    try:
        with open_nifti(path) as file:
            block = file.read(540)
    except gzip.BadGzipFile as error:
        raise InputError(
            f"{path}: not a gzip file despite its name. If it is an uncompressed NIfTI file, rename it to end in .nii."
        ) from error
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder: must be a NIfTI file.") from error
    except EOFError as error:
        raise InputError(f"{path}: truncated: the file ends within its header. Get it again.") from error
    except UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if not block:
        raise InputError(f"{path}: the file is empty. Get it again from its source.")
    return block


def _parse(path: Path, block: bytes, single: bool) -> tuple[Nifti1PairHeader, int]:
    """The header object, in the file's byte order, and the NIfTI version."""
    sizes = {(int.from_bytes(block[:4], order), order) for order in ("little", "big")}
    for version, size in ((1, 348), (2, 540)):
        for order, endianness in (("little", "<"), ("big", ">")):
            if (size, order) not in sizes:
                continue
            if len(block) < size:
                raise InputError(f"{path}: truncated: the file ends within its header. Get it again.")
            magic = block[344:348] if version == 1 else block[4:8]
            if magic[:3] != f"{'n+' if single else 'ni'}{version}".encode():
                raise InputError(
                    f"{path}: has the size of a NIfTI header but not its mark ({magic!r}): Analyze 7.5, renamed "
                    "or damaged. Convert it to .nii.gz first."
                )
            return _HEADERS[version, single](block[:size], endianness=endianness, check=False), version
    raise InputError(f"{path}: not a NIfTI file (it starts with {block[:12]!r}). Give a NIfTI file.")


def _remember(header: Nifti1PairHeader, version: int, dtype: np.dtype, path: Path) -> NiftiMemory:
    slope, inter = (float(header[key]) for key in ("scl_slope", "scl_inter"))
    if not math.isfinite(slope) or slope == 0:  # the standard's "no scaling"
        slope, inter = 1.0, 0.0
    if not math.isfinite(inter):
        raise InputError(f"{path}: damaged header, intercept {inter}. Get the file again from its source.")
    mm = _MM_PER_UNIT.get(int(header["xyzt_units"]) & 7, 1.0)
    scale = np.diag([mm, mm, mm, 1.0])
    try:
        with np.errstate(all="ignore"):
            affine = scale @ header.get_best_affine()
            qform = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError) as error:
        raise GeometryError(f"{path}: the header's orientation is damaged ({error}). Correct it first.") from error
    check_affine(affine, str(path))
    differ = 0.0
    if qform is not None and int(header["sform_code"]) > 0:
        extent = np.array([int(n) - 1 for n in header["dim"][1:4]])
        difference = np.abs(scale @ (qform - _srow(header)))[:3]
        differ = float((difference[:, :3] @ np.maximum(extent, 0) + difference[:, 3]).max())
    pixdim = tuple(float(p) for p in header["pixdim"])
    b, c, d = (float(header[f"quatern_{i}"]) for i in "bcd")
    x, y, z = (float(header[f"qoffset_{i}"]) for i in "xyz")
    return NiftiMemory(
        dtype=dtype.name,
        byteorder=header.endianness,
        version=version,
        slope=slope,
        inter=inter,
        qform_code=int(header["qform_code"]),
        sform_code=int(header["sform_code"]),
        pixdim=pixdim,
        quaternion=(b, c, d),
        qoffset=(x, y, z),
        sform=_srow(header),
        xyzt_units=int(header["xyzt_units"]),
        dim_info=int(header["dim_info"]),
        descrip=bytes(header["descrip"].item()).rstrip(b"\0").decode("latin-1"),
        affine_ras=affine,
        mm_per_unit=mm,
        forms_differ_mm=differ,
        timing={key: float(header[key]) for key in _TIMING if header[key] != 0},
    )


def scanner_memory(affine_ras: np.ndarray, dtype: str, slope: float, inter: float) -> NiftiMemory:
    """What a NIfTI-1 header would say of a scan from elsewhere: mm, both forms in scanner coordinates.

    Args:
        affine_ras: Voxel index to mm.
        dtype: Type of the stored numbers, such as "int16".
        slope, inter: value = slope * stored + inter; float32 numbers, which is what the header holds.

    Raises:
        GeometryError: The affine does not place voxels in space.
    """
    header = Nifti1PairHeader()
    header["xyzt_units"] = 2
    _set_forms(header, Volume(np.zeros((1, 1, 1)), affine_ras), None)
    memory = _remember(header, 1, np.dtype(dtype), Path("volume"))
    return replace(memory, slope=slope, inter=inter, affine_ras=np.array(affine_ras, dtype=np.float64))


def _srow(header: Nifti1PairHeader) -> np.ndarray:
    return np.array([*(header[f"srow_{axis}"] for axis in "xyz"), (0, 0, 0, 1)], dtype=np.float64)


def build_header(
    volume: Volume, encoding: Encoding, single: bool, descrip: str | None, frames: int | None = None
) -> Nifti1PairHeader:
    """The header of an output: the input's fields where there was one, both forms set from the affine where not.

    Args:
        volume: The volume, or the first of a 4D file.
        encoding: How values are stored.
        single: Whether header and voxels share one file.
        descrip: Description field; None keeps the input's and adds medidiff's mark.
        frames: Volumes in a 4D file; None for a 3D one.

    Raises:
        OutputError: The volume is not 3D.
    """
    if volume.data.ndim != 3:
        raise OutputError(f"{volume.name or 'volume'}: shape {volume.shape} cannot be written: must be 3D.")
    memory = volume.header
    version = memory.version if memory is not None else 1
    shape = volume.shape if frames is None else (*volume.shape, frames)
    if max(shape) > np.iinfo(np.int16).max:
        version = 2  # NIfTI-1 counts voxels in 16 bits
    header = _HEADERS[version, single](endianness=memory.byteorder if memory is not None else "<")
    header.set_data_dtype(encoding.dtype)
    header.set_data_shape(shape)
    header["scl_slope"], header["scl_inter"] = encoding.slope, encoding.inter
    if single:
        header["vox_offset"] = {1: 352, 2: 544}[version]
    header["descrip"] = _mark(memory.descrip if memory is not None else "", descrip)
    header["xyzt_units"] = memory.xyzt_units if memory is not None else 2
    if memory is not None:
        header["dim_info"] = memory.dim_info
    if memory is not None and np.array_equal(memory.affine_ras, volume.affine_ras):
        _restore_forms(header, memory)
    else:
        _set_forms(header, volume, memory)
    return header


def _restore_forms(header: Nifti1PairHeader, memory: NiftiMemory) -> None:
    header["pixdim"] = memory.pixdim
    header["qform_code"], header["sform_code"] = memory.qform_code, memory.sform_code
    for axis, value in zip("bcd", memory.quaternion, strict=True):
        header[f"quatern_{axis}"] = value
    for axis, value in zip("xyz", memory.qoffset, strict=True):
        header[f"qoffset_{axis}"] = value
    for axis, row in zip("xyz", memory.sform[:3], strict=True):
        header[f"srow_{axis}"] = row
    for key, value in memory.timing.items():
        header[key] = value


def _set_forms(header: Nifti1PairHeader, volume: Volume, memory: NiftiMemory | None) -> None:
    """Both forms from the affine; a form keeps its code; a sheared grid has no qform (a quaternion cannot hold it)."""
    check_affine(volume.affine_ras, volume.name or "volume")
    mm = memory.mm_per_unit if memory is not None else 1.0
    affine = np.diag([1 / mm, 1 / mm, 1 / mm, 1.0]) @ volume.affine_ras
    if memory is not None:
        header["pixdim"][4:] = memory.pixdim[4:]
    code = max(memory.sform_code, memory.qform_code, 1) if memory is not None else 1
    header.set_sform(affine, code=(memory.sform_code if memory is not None else 0) or code)
    header.set_qform(affine, code=(memory.qform_code if memory is not None else 0) or code, strip_shears=True)
    qform = header.get_qform(coded=True)[0]
    # Near half a turn the quaternion's fourth part, sqrt(1-b^2-c^2-d^2) in float32, is good to 5e-4: less is no shear.
    tolerance = 1e-3 * max(volume.spacing_mm) / mm
    if qform is None or not np.allclose(qform[:3, :3], affine[:3, :3], rtol=0, atol=tolerance):
        header["qform_code"] = 0


def _mark(kept: str, descrip: str | None) -> bytes:
    """The description field: the caller's text, or the input's with the mark that this file is derived."""
    if descrip is not None:
        return descrip.encode("latin-1", "replace")[:_DESCRIP_BYTES]
    mark = f"medidiff {__version__}"
    if kept.endswith(mark):
        return kept.encode("latin-1", "replace")[:_DESCRIP_BYTES]
    text = kept[: _DESCRIP_BYTES - len(mark) - 2]
    return (f"{text}; {mark}" if text else mark).encode("latin-1", "replace")
