"""Diffusion weighting beside a NIfTI file: FSL's .bval and .bvec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medidiff.errors import GeometryError, InputError
from medidiff.geometry import check_affine, spacing_from_affine
from medidiff.io.atomic import atomic_files
from medidiff.io.nifti_header import nifti_suffix

_UNIT_TOLERANCE = 0.01  # of a direction's length: files are written with as few as three decimals
_LARGEST_FILE = 1 << 24
# FSL's directions are components along the voxel axes, which must be orthogonal for that to mean a direction.
_ORTHOGONAL = 1e-3


@dataclass(frozen=True, eq=False)
class Gradients:
    """Diffusion weighting of every frame, in FSL's convention.

    Args:
        b_values_s_per_mm2: (frames,).
        directions: (frames, 3), unit vectors along the voxel axes x, y, z, x negated where the affine's determinant is
            positive; (0, 0, 0) where there is none.
        warnings: What to know before fitting a model to them.
    """

    b_values_s_per_mm2: np.ndarray
    directions: np.ndarray
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Carried:
    """What was copied beside an output, and what to know about it."""

    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def gradient_paths(path: Path) -> tuple[Path, Path]:
    """The names of the .bval and .bvec that belong to a NIfTI file, whether they are there or not.

    Raises:
        UsageError: The name is not a NIfTI file's.
    """
    stem = path.name[: -len(nifti_suffix(path))]
    return path.with_name(f"{stem}.bval"), path.with_name(f"{stem}.bvec")


def read_gradients(path: Path, frames: int, files: tuple[Path, Path] | None = None) -> Gradients | None:
    """The .bval and .bvec beside a NIfTI file.

    Args:
        path: The NIfTI file.
        frames: How many volumes it holds.
        files: Its .bval and .bvec where they lie elsewhere (BIDS: `inherited_gradients`); None: beside it.

    Returns:
        The gradients; None where neither file is there. Three columns instead of three rows are turned round, and
        directions of another length than 1 are kept, each with a warning.

    Raises:
        InputError: One of the two is missing, a value is not a finite number, a b-value is negative, or the counts are
            not the frames'.
    """
    bval, bvec = files or gradient_paths(path)
    there = [file.name for file in (bval, bvec) if file.is_file()]
    if not there:
        return None
    if len(there) == 1:
        missing = {bval.name, bvec.name} - set(there)
        raise InputError(f"{there[0]}: without {missing.pop()}: both belong together. Put the other one beside it.")
    return _parse(bval, _content(bval), bvec, _content(bvec), frames)


def write_gradients(gradients: Gradients, path: Path) -> tuple[Path, Path]:
    """Write .bval (one row) and .bvec (three rows) beside a NIfTI file, both or neither.

    Args:
        gradients: One b-value and direction a frame.
        path: The NIfTI file.

    Returns:
        The two files.

    Raises:
        OutputError: They cannot be written.
    """
    values = np.asarray(gradients.b_values_s_per_mm2, dtype=np.float64)
    rows = np.asarray(gradients.directions, dtype=np.float64).T
    bval, bvec = gradient_paths(path)
    with atomic_files(bval, bvec) as (values_file, directions_file):
        values_file.write(_line(values).encode())
        directions_file.write("".join(map(_line, rows)).encode())
    return bval, bvec


def carry_gradients(source: Path, target: Path, frames: int, files: tuple[Path, Path] | None = None) -> Carried:
    """Copy the .bval and .bvec beside a scan, byte for byte, beside an output that has the same frames.

    Args:
        source: The scan.
        target: The output: a NIfTI file's name.
        frames: How many volumes both hold.
        files: As for `read_gradients`.

    Returns:
        The files written, none where the scan has none; where the scan's do not fit it, none either, with a warning.

    Raises:
        OutputError: They cannot be written.
    """
    try:
        gradients = read_gradients(source, frames, files)
    except InputError as error:
        return Carried(warnings=(f"the gradients were not carried along: {error}",))
    if gradients is None:
        return Carried()
    contents = [_content(file) for file in files or gradient_paths(source)]
    targets = gradient_paths(target)
    with atomic_files(*targets) as copies:
        for file, content in zip(copies, contents, strict=True):
            file.write(content)
    return Carried(targets, gradients.warnings)


def fsl_gradients(
    b_values_s_per_mm2: Sequence[float],
    gradients_lps: Sequence[Sequence[float] | None],
    affine_ras: np.ndarray,
) -> Gradients:
    """DICOM's diffusion weighting in FSL's convention, for a NIfTI file with this affine.

    A frame with b > 0 and no direction (the isotropic, or trace, image that a scanner derives) keeps its b-value, gets
    the direction (0, 0, 0) and is named in a warning: no vector says what it is.

    Args:
        b_values_s_per_mm2: Of every frame.
        gradients_lps: Of every frame, of any length; None or zeros for none.
        affine_ras: Of the voxel grid as it is written.

    Raises:
        InputError: The counts differ, or a value is negative or not finite.
        GeometryError: The grid's axes are not orthogonal, so that no direction can be given along them.
    """
    values = np.asarray(b_values_s_per_mm2, dtype=np.float64)
    lps = np.array([(0.0, 0.0, 0.0) if g is None else tuple(g) for g in gradients_lps], dtype=np.float64)
    lps = lps.reshape(-1, 3)
    if len(values) != len(lps):
        raise InputError(f"{len(values)} b-values and {len(lps)} gradients: must be one of each a frame.")
    if not (np.isfinite(values).all() and np.isfinite(lps).all() and (values >= 0).all()):
        raise InputError("b-values and gradients: must be finite, b-values not negative. Leave them out of the output.")
    check_affine(affine_ras, "gradients")
    axes = np.asarray(affine_ras, dtype=np.float64)[:3, :3] / np.asarray(spacing_from_affine(affine_ras))
    if np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHOGONAL:
        raise GeometryError("gradients: the voxel axes are not orthogonal. Resample the scan first (--resample-tilt).")
    lengths = np.linalg.norm(lps, axis=1, keepdims=True)
    directions = np.divide(lps, lengths, out=np.zeros_like(lps), where=lengths > 0)
    directions = directions * (-1.0, -1.0, 1.0) @ axes  # LPS to RAS, then the component along each axis
    if np.linalg.det(axes) > 0:
        directions[:, 0] *= -1
    directions[values == 0] = 0
    without = np.flatnonzero((values > 0) & ~directions.any(axis=1))
    warnings = ()
    if without.size:
        warnings = (
            f"{_frames(without)}: diffusion-weighted without a direction (an isotropic or trace image of the scanner): "
            "written as 0 0 0; leave such frames out before fitting a tensor.",
        )
    return Gradients(values, directions + 0.0, warnings)  # + 0.0: no minus zero in the file


def _parse(bval: Path, values_text: bytes, bvec: Path, directions_text: bytes, frames: int) -> Gradients:
    values, directions = _numbers(bval, values_text), _numbers(bvec, directions_text)
    warnings: list[str] = []
    if 1 not in values.shape or values.size != frames:
        raise InputError(f"{bval.name}: {_size(values)} numbers: must be one row of {frames}, one a frame.")
    if (values < 0).any():
        raise InputError(f"{bval.name}: negative b-values. Correct the file.")
    if directions.shape == (3, frames):
        directions = directions.T
    elif directions.shape == (frames, 3):
        warnings.append(f"{bvec.name}: {frames} rows of 3 numbers; FSL writes 3 rows of {frames}. Taken as such.")
    else:
        raise InputError(f"{bvec.name}: {_size(directions)} numbers: must be 3 rows of {frames}, a column a frame.")
    lengths = np.linalg.norm(directions, axis=1)
    odd = np.flatnonzero((lengths != 0) & (np.abs(lengths - 1) > _UNIT_TOLERANCE))
    if odd.size:
        warnings.append(
            f"{bvec.name}: {_frames(odd)}: directions of another length than 1 (the first: {lengths[odd[0]]:.3g})."
        )
    return Gradients(values.ravel(), directions, tuple(warnings))


def _numbers(path: Path, content: bytes) -> np.ndarray:
    """Rows and columns of finite numbers."""
    try:
        rows = [[float(word) for word in line.split()] for line in content.decode("ascii").splitlines() if line.strip()]
        table = np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path.name}: not rows of as many numbers each. Correct the file.") from error
    if table.ndim != 2 or not np.isfinite(table).all():
        raise InputError(f"{path.name}: empty, or holds values that are not finite. Correct the file.")
    return table


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path.name}: larger than 16 MiB: not a table of gradients.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({error.strerror}).") from error


def _line(values: np.ndarray) -> str:
    return " ".join(f"{value:.9g}" for value in values) + "\n"


def _size(table: np.ndarray) -> str:
    return f"{table.shape[0]} rows of {table.shape[1]}"


def _frames(indices: np.ndarray) -> str:
    shown = ", ".join(map(str, indices[:8].tolist()))
    return f"frame{'s' if len(indices) > 1 else ''} {shown}{', ...' if len(indices) > 8 else ''}"
