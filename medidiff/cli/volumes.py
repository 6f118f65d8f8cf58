"""The volumes of a result on disk: which there are, in which number type, and what of them was rounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medidiff import __version__
from medidiff.io import read_nifti, write_nifti
from medidiff.io.dicom.model import Assembled
from medidiff.io.nifti_4d import read_frames, write_nifti_4d
from medidiff.io.nifti_header import read_header
from medidiff.result import Result
from medidiff.volume import Volume


def volumes_of(results: Sequence[Result], kinds: Sequence[str]) -> dict[str, tuple[list[Volume], str | None]]:
    """The volumes by kind, a frame each, and the number type to store them in (None: the input's kind).

    Maps and residuals are float32 whatever the scan is: they have signs, small values and infinities.

    Args:
        results: Of the frames of one scan.
        kinds: What is to be written.
    """
    frames = [_volumes_of(result, kinds) for result in results]
    return {kind: ([volumes[kind][0] for volumes in frames], dtype) for kind, (_, dtype) in frames[0].items()}


def _volumes_of(result: Result, kinds: Sequence[str]) -> dict[str, tuple[Volume, str | None]]:
    volumes: dict[str, tuple[Volume, str | None]] = {"output": (result.output, None)}
    for kind, volume in (
        ("residual", result.residual),
        ("noise-map", result.noise_map),
        ("uncertainty", result.uncertainty),
    ):
        if kind in kinds:
            if volume is None:
                raise ValueError(f"the task returned no {kind}")
            volumes[kind] = (volume, "float32")
    for kind in kinds:
        if kind.split("-")[0] == "label":
            number = int(kind.partition("-")[2] or 1)
            volumes[kind] = (result.masks[number - 1], "uint8")
    for i, sample in enumerate(result.samples):
        volumes[f"sample-{i + 1}"] = (sample, None)
    if "std" in kinds:
        spread = np.std([sample.data for sample in result.samples], axis=0, ddof=1, dtype=np.float64)
        volumes["std"] = (result.output.with_data(spread.astype(np.float32)), "float32")
    return volumes


def write_volumes(
    frames: Sequence[Volume],
    path: Path,
    dtype: str | None = None,
    repetition_time_s: float | None = None,
    descrip: str | None = None,
) -> None:
    """Write a volume as a 3D NIfTI file, several as a 4D one; `descrip` as in `write_nifti`.

    Raises:
        OutputError: It cannot be written.
    """
    if len(frames) == 1:
        write_nifti(frames[0], path, dtype, descrip=descrip)
    else:
        write_nifti_4d(frames, path, dtype, descrip=descrip, repetition_time_s=repetition_time_s)


def synthetic_descrip(result: Result) -> str | None:
    """The description of files that are synthetic in part; None where nothing is."""
    if "synthetic_content" not in result.provenance:
        return None
    prior = result.provenance["prior"]
    return f"SYNTHETIC in part, see its JSON; medidiff {__version__} {prior['hash'][:12]}"


def residual_of(scan: Assembled, written: Volume) -> Volume:
    """Scan minus output as it was written; 0 on slices that were not measured, where nothing was removed."""
    residual = scan.volume.data.astype(np.float32) - written.data
    residual[:, :, list(scan.missing)] = 0
    return scan.volume.with_data(residual)


def read_written(path: Path, frames: int) -> list[Volume]:
    """The output as it was written: integers are rounded to their step."""
    return [read_nifti(path)] if frames == 1 else list(read_frames(path))


def encoding_warnings(scan: Volume, written: Path) -> list[str]:
    """What to know where an integer scan's output is stored with another slope, intercept or type than the scan."""
    before = scan.header
    if before is None or np.dtype(before.dtype).kind not in "iu":
        return []
    after = read_header(written).memory
    if (before.dtype, before.slope, before.inter) == (after.dtype, after.slope, after.inter):
        return []
    old, new = (f"{m.dtype}, slope {m.slope:.6g}, intercept {m.inter:.6g}" for m in (before, after))
    return [f"stored as {new} (the scan: {old}): programs that read raw integers without these see other numbers."]
