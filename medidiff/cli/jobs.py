"""Which file becomes which: inputs, outputs, and the files beside an output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medidiff.errors import InputError, UsageError
from medidiff.io.nifti_header import nifti_suffix

OUTPUT_SUFFIXES = (".nii.gz", ".nii")
_INPUT_SUFFIXES = (".nii.gz", ".nii", ".hdr")


@dataclass(frozen=True)
class Job:
    """One scan to work on.

    Args:
        source: The scan.
        target: The main output.
    """

    source: Path
    target: Path

    @property
    def stem(self) -> str:
        """The output's name without its ending."""
        return self.target.name[: -len(nifti_suffix(self.target))]

    @property
    def sidecar(self) -> Path:
        """The record beside the output."""
        return self.target.with_name(f"{self.stem}.json")

    @property
    def report(self) -> Path:
        """The page beside the output."""
        return self.target.with_name(f"{self.stem}.html")

    def beside(self, kind: str) -> Path:
        """Another volume beside the output, such as `clean_residual.nii.gz`."""
        return self.target.with_name(f"{self.stem}_{kind}{nifti_suffix(self.target)}")


def plan(source: Path, output: str) -> tuple[list[Job], bool]:
    """The jobs of a command, and whether a folder was given.

    Args:
        source: A NIfTI file or a folder of them; a folder's subfolders are not entered.
        output: What the person wrote after -o; a folder's outputs keep the names of their inputs.

    Raises:
        InputError: `source` is missing, or a folder without NIfTI files.
        UsageError: `output` does not fit `source`.
    """
    if source.is_dir():
        return _plan_folder(source, Path(output)), True
    if not source.exists():
        raise InputError(f"{source}: no such file or folder.")
    nifti_suffix(source)
    target = Path(output)
    if target.is_dir() or output.endswith(("/", os.sep)):
        target = target / _output_name(source)
    elif not target.name.lower().endswith(OUTPUT_SUFFIXES):
        raise UsageError(f"-o {output}: must end in .nii.gz or .nii, or be a folder.")
    return [Job(source, target)], False


def check_collisions(jobs: Sequence[Job], outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse a plan in which an output would replace an input, or two outputs have one name.

    Args:
        jobs: The plan.
        outputs: Every file that will be written.
        inputs: Every file that will be read besides the scans (mask, noise map, prior).

    Raises:
        UsageError: Such a pair exists; it is named.
    """
    read = {_key(path): path for path in [*(job.source for job in jobs), *inputs]}
    seen: set[str] = set()
    for path in outputs:
        key = _key(path)
        if key in read:
            raise UsageError(f"-o: {path} is also an input ({read[key]}). Choose another name or folder.")
        if key in seen:
            raise UsageError(f"-o: {path} would be written for two inputs. Rename one of them.")
        seen.add(key)


def _plan_folder(source: Path, output: Path) -> list[Job]:
    if output.name.lower().endswith(OUTPUT_SUFFIXES) and not output.is_dir():
        raise UsageError(f"-o {output}: {source} is a folder, so the output must be one too.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {output}: is a file, and {source} is a folder. Give a folder.")
    if output.is_dir() and output.samefile(source):
        raise UsageError(f"-o {output}: is the input folder. Give another one; inputs are never replaced.")
    try:
        names = sorted(entry.name for entry in source.iterdir() if entry.is_file() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{source}: the folder cannot be read ({error.strerror}).") from error
    scans = [source / name for name in names if name.lower().endswith(_INPUT_SUFFIXES)]
    if not scans:
        raise InputError(f"{source}: no NIfTI files (.nii, .nii.gz) in this folder; subfolders are not entered.")
    return [Job(scan, output / _output_name(scan)) for scan in scans]


def _output_name(source: Path) -> str:
    suffix = nifti_suffix(source)
    return source.name if suffix in OUTPUT_SUFFIXES else f"{source.name[: -len(suffix)]}.nii.gz"


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
