"""Which scan becomes which output: jobs, and the files beside an output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medidiff.cli.discover import Found
from medidiff.cli.sources import WRITTEN_SUFFIXES, Source
from medidiff.errors import UsageError
from medidiff.io.nifti_header import nifti_suffix

_FILE_SUFFIXES = frozenset(
    ".dcm .dicom .ima .img .hdr .gz .zip .tar .txt .json .html .csv .tsv .npy .npz .mgz .mha .mhd .nrrd .png .jpg "
    ".pdf".split()
)
"""A folder called so would be a slip; dots in other names are nobody's business."""


@dataclass(frozen=True)
class Job:
    """One scan to work on.

    Args:
        source: The scan.
        target: The main output: a NIfTI file, or a folder of DICOM files.
        form: "nifti" or "dicom".
        order: Which job of the run it is, from 0.
    """

    source: Source
    target: Path
    form: str = "nifti"
    order: int = 0

    @property
    def stem(self) -> str:
        """The output's name without its ending."""
        return self.target.name if self.form == "dicom" else self.target.name[: -len(self._suffix)]

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
        return self.target.with_name(f"{self.source.beside(self.stem, kind)}{self._suffix}")

    @property
    def _suffix(self) -> str:
        return ".nii.gz" if self.form == "dicom" else nifti_suffix(self.target)


def plan(found: Found, output: str, form: str = "same") -> list[Job]:
    """The jobs of a command.

    Args:
        found: The scans.
        output: What the person wrote after -o.
        form: "nifti", "dicom", or "same" as the input.

    Raises:
        UsageError: `output` does not fit what was found.
    """
    named = _is_file_name(output)
    if form == "same":
        form = "dicom" if found.kind == "dicom" and writes_dicom(output, form) else "nifti"
    if named and form == "dicom":
        raise UsageError(f"-o {output}: --format dicom writes a folder, this is a NIfTI file name. Give a folder.")
    if found.many or found.kind != "nifti" or form == "dicom":
        if named and not found.many:
            return [Job(source, Path(output), form) for source in found.sources]
        folder = _folder(found, output, form)
        return [Job(source, _within(folder, source, form), form, k) for k, source in enumerate(found.sources)]
    target = Path(output)
    if target.is_dir() or output.endswith(("/", os.sep)):
        target = target / found.sources[0].output_name
    elif not named:
        raise UsageError(f"-o {output}: must end in .nii.gz or .nii, or be a folder.")
    return [Job(found.sources[0], target)]


def writes_dicom(output: str, form: str) -> bool:
    """Whether DICOM becomes DICOM: it was asked for, or OUT is no NIfTI file name."""
    return form == "dicom" or (form == "same" and not _is_file_name(output))


def _is_file_name(output: str) -> bool:
    return output.lower().endswith(WRITTEN_SUFFIXES) and not Path(output).is_dir()


def check_collisions(jobs: Sequence[Job], outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse a plan in which an output would replace an input, or two outputs have one name.

    Args:
        jobs: The plan.
        outputs: Every file that will be written.
        inputs: Every file that will be read besides the scans (mask, noise map, prior).

    Raises:
        UsageError: Such a pair exists; it is named.
    """
    read = {_key(path): path for path in [*(path for job in jobs for path in job.source.files), *inputs]}
    seen: set[str] = set()
    for path in outputs:
        key = _key(path)
        if key in read:
            raise UsageError(f"-o: {path} is also an input ({read[key]}). Choose another name or folder.")
        if key in seen:
            raise UsageError(f"-o: {path} would be written for two inputs. Rename one of them.")
        seen.add(key)


def _folder(found: Found, output: str, form: str) -> Path:
    """The folder that all outputs go to, judged against what was found."""
    folder, root = Path(output), found.root
    what = "IN is a folder" if root.is_dir() else "the output is DICOM" if form == "dicom" else "IN is DICOM"
    if folder.name.lower().endswith(WRITTEN_SUFFIXES) and not folder.is_dir():
        raise UsageError(f"-o {output}: {what}, so the output must be one too.")
    if folder.suffix.lower() in _FILE_SUFFIXES and not folder.is_dir() and not output.endswith(("/", os.sep)):
        raise UsageError(f"-o {output}: is named like a file, and {what}. Give a folder.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {output}: is a file, and {what}. Give a folder.")
    if folder.is_dir() and folder.samefile(root):
        raise UsageError(f"-o {output}: is the input folder. Give another one; inputs are never replaced.")
    if form == "dicom" and root.is_dir() and Path(_key(root)) in Path(_key(folder)).parents:
        raise UsageError(
            f"-o {output}: lies inside the input folder: the next run would take the new series for another scan. "
            "Give a folder outside of it."
        )
    return folder


def _within(folder: Path, source: Source, form: str) -> Path:
    name = source.output_name
    return folder / (name[: -len(nifti_suffix(Path(name)))] if form == "dicom" else name)


def _key(path: Path) -> str:
    return os.path.normcase(os.path.realpath(path))
