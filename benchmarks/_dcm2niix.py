"""dcm2niix as the second opinion: run it on a folder, get its 3D volumes back."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from medidiff.volume import Volume


@dataclass(frozen=True, eq=False)
class Second:
    """One NIfTI file of dcm2niix.

    Args:
        name: File name without ending; what follows the series' own name says what dcm2niix did to it.
        volumes: One, or each of a 4D file; float64. None for colour, which no volume is.
        shape: As in the file.
    """

    name: str
    volumes: tuple[Volume, ...]
    shape: tuple[int, ...]


def find_dcm2niix() -> str | None:
    """The program, beside this Python or on the path; None where it is not installed."""
    beside = Path(sys.executable).parent / "dcm2niix"
    return str(beside) if beside.is_file() else shutil.which("dcm2niix")


def version() -> str:
    """Its version, such as "v1.0.20250505"; "" where it is not installed."""
    program = find_dcm2niix()
    if program is None:
        return ""
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    return text.strip().splitlines()[-1] if text.strip() else ""


def convert(folder: Path, *options: str, name: str = "%s") -> list[Second]:
    """What dcm2niix makes of one folder and the folders in it.

    Args:
        folder: With DICOM.
        options: More of dcm2niix's.
        name: Its pattern for file names: "%s" series number, "%j" series UID; nothing of a patient.

    Raises:
        FileNotFoundError: dcm2niix is not installed.
    """
    program = find_dcm2niix()
    if program is None:
        raise FileNotFoundError("dcm2niix: not installed")
    with tempfile.TemporaryDirectory() as out:
        command = [program, "-b", "n", "-z", "n", "-ba", "y", "-f", name, "-o", out, *options, str(folder)]
        subprocess.run(command, capture_output=True, check=False, timeout=300)
        return [_load(path) for path in sorted(Path(out).rglob("*.nii"))]


def _load(path: Path) -> Second:
    image = nib.Nifti1Image.from_filename(path)
    shape = tuple(int(n) for n in image.shape)
    if np.dtype(image.get_data_dtype()).fields is not None:
        return Second(path.stem, (), shape)
    data = np.asarray(image.get_fdata(dtype=np.float64))
    frames = data.reshape(*data.shape[:3], -1) if data.ndim > 2 else data[:, :, None, None]
    volumes = tuple(Volume(frames[..., t].copy(), np.asarray(image.affine)) for t in range(frames.shape[3]))
    return Second(path.stem, volumes, shape)
