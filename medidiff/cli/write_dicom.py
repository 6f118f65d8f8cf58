"""A result as DICOM: a series derived from its source, or a study of its own for a NIfTI scan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.cli.dicom_source import DicomSource
from medidiff.cli.jobs import Job
from medidiff.cli.like import Like
from medidiff.cli.output_choice import OutputChoice
from medidiff.cli.sources import NiftiSource, Source
from medidiff.errors import InputError, UsageError
from medidiff.io.dicom.model import Assembled
from medidiff.io.dicom_out.records import Derivation, Standalone
from medidiff.result import Result, json_safe
from medidiff.volume import Volume

_DONE = {
    "denoise": ("Denoised by a diffusion prior", "[denoised, research]"),
    "inpaint": ("Filled in by a diffusion prior", "[inpainted, research]"),
    "insert": ("A condition was inserted by a diffusion prior: synthetic content", "[inserted, research]"),
    "convert": ("Converted", "[converted]"),
}
_PSEUDONYM_LETTERS = 10


@dataclass(frozen=True)
class DicomWriter:
    """Writes results of one run as DICOM.

    Args:
        wanted: What was said about the output.
        request: What decides the output: it decides the UIDs too.
        like: The series that a NIfTI scan came from.
    """

    wanted: OutputChoice
    request: Mapping[str, Any]
    like: Like | None = None

    def write(self, result: Result, job: Job, scan: Assembled, folder: Path) -> list[Path]:
        """Write a result's output.

        Args:
            result: Of the task.
            job: The scan it came from, and which of the run's it is.
            scan: The same, as it was read.
            folder: Where.

        Returns:
            The files.

        Raises:
            GeometryError: The grid cannot be DICOM's.
            OutputError: It cannot be written.
        """
        from medidiff.io.dicom_out import write_standalone

        volume, source = result.output, job.source
        derivation = self._derivation(result, scan)
        if isinstance(source, DicomSource):
            return self._beside(source, source.new_number, volume, derivation, folder)
        if self.like is not None:
            return self._beside(self.like.source, self.like.number(job.order), volume, derivation, folder)
        if isinstance(source, NiftiSource) and source.frame is not None:
            derivation = replace(derivation, series_number=source.frame + 1)
        source_hash = str(self.request["input_file_sha256"])
        origin = Standalone(_patient(source, source_hash), volume.modality, derivation, source_hash)
        return write_standalone(volume, folder, origin)

    def _beside(
        self, source: DicomSource, number: int, volume: Volume, derivation: Derivation, folder: Path
    ) -> list[Path]:
        """Write a series of the study that the source lies in."""
        from medidiff.io.dicom_out import write_derived

        candidate = source.candidate
        series = replace(candidate.series, modality=candidate.series.modality or volume.modality)
        derivation = replace(derivation, series_number=number, deidentify=self.wanted.deidentify)
        return write_derived(volume, replace(candidate, series=series), folder, derivation)

    def _derivation(self, result: Result, scan: Assembled) -> Derivation:
        what, suffix = _DONE[result.task]
        prior: Mapping[str, str] = self.request.get("prior", {})
        level = result.figures.get("noise_std")
        settings = {key: self.request[key] for key in ("task", "settings", "input_file_sha256")}
        return Derivation(
            "; ".join([what, *scan.notes]),
            prior_name=prior.get("name", ""),
            prior_hash=prior.get("hash", ""),
            settings=json_safe(settings),
            noise_std=float(level) if isinstance(level, int | float) and level > 0 else None,
            generated=_generated(result, scan.missing),
            suffix=suffix,
        )


def check_for_dicom(volume: Volume, source: Source) -> None:
    """Refuse, before the work, what cannot become DICOM.

    Raises:
        UsageError: Nobody says whether it is MR or CT, or it is neither.
        InputError: 4D.
    """
    if source.frames > 1:
        raise InputError(f"{source.label}: 4D, and DICOM series are 3D here. Use --format nifti.")
    if not volume.modality:
        raise UsageError(f"{source.label}: MR or CT? The file does not say, and DICOM must. Give --modality.")
    if volume.modality not in ("MR", "CT"):
        raise InputError(f"{source.label}: {volume.modality}: only MR and CT are written as DICOM. Use --format nifti.")


def _patient(source: Source, source_hash: str) -> str:
    """A NIfTI scan's patient: BIDS' label where the name has one, else a name for this very scan."""
    first = source.name.split("_")[0]
    return first if first.startswith("sub-") else f"N-{source_hash[:_PSEUDONYM_LETTERS]}"


def read_back(folder: Path) -> Volume:
    """A series that was just written, as any reader sees it."""
    from medidiff.io.dicom.read import read_dicom

    return read_dicom(folder)


def _generated(result: Result, missing: tuple[int, ...]) -> np.ndarray | None:
    """Whole slices, or the voxels where the noise map is infinite: nothing was observed; padding is not meant."""
    if missing:
        slices = np.zeros(result.output.shape[2], dtype=bool)
        slices[list(missing)] = True
        return slices
    if result.noise_map is None:
        return None
    unseen = np.isinf(result.noise_map.data)
    if result.output.unmeasured is not None:
        unseen &= ~result.output.unmeasured
    return unseen if unseen.any() else None
