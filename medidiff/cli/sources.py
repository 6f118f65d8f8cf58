"""What a verb works on: one scan of one or more frames, wherever it lies."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from medidiff.errors import InputError
from medidiff.io import hash_file, read_nifti
from medidiff.io.dicom.model import Assembled
from medidiff.io.gradients import Carried, carry_gradients, gradient_paths
from medidiff.io.json_sidecar import Sidecar, carried, read_sidecar
from medidiff.io.nifti_4d import frames_of, read_frames
from medidiff.io.nifti_header import nifti_suffix
from medidiff.volume import Volume

WRITTEN_SUFFIXES = (".nii.gz", ".nii")


class Source(Protocol):
    """One scan, not read yet."""

    @property
    def label(self) -> str:
        """What messages and the JSON object call it: nothing of a patient that the person did not type."""
        ...

    @property
    def name(self) -> str:
        """The same, short, for progress and the record."""
        ...

    @property
    def output_name(self) -> str:
        """The NIfTI file it becomes, relative to the output folder."""
        ...

    def beside(self, stem: str, kind: str) -> str:
        """What another output is called, without its ending, beside one called `stem`."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """What it is read from; never replaced."""
        ...

    @property
    def frames(self) -> int:
        """Volumes it holds: 1, or the length of its fourth axis."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What to know before trusting it."""
        ...

    def sha256(self) -> str:
        """Hash of the bytes it is read from."""
        ...

    def scans(self) -> Iterator[Assembled]:
        """Its volumes in turn.

        Raises:
            InputError: It cannot be read.
            GeometryError: It has no place in space.
        """
        ...

    def facts(self) -> dict[str, Any]:
        """How it was acquired, in BIDS' words; nothing of a patient."""
        ...

    @property
    def repetition_time_s(self) -> float | None:
        """From one frame to the next; None where it is not known, or the scan's own header says it."""
        ...

    @property
    def has_gradients(self) -> bool:
        """Whether its frames have diffusion weightings."""
        ...

    def carry_gradients(self, output: Path) -> Carried:
        """Write its diffusion weightings beside a NIfTI output."""
        ...


def framed(name: str, frame: int | None) -> str:
    """A NIfTI file's name with the number of the volume that was taken out of it."""
    if frame is None:
        return name
    suffix = nifti_suffix(Path(name))
    return f"{name[: -len(suffix)]}_frame-{frame:03d}{suffix}"


@dataclass(frozen=True)
class NiftiSource:
    """A NIfTI file.

    Args:
        path: The file.
        modality: What the person said it is, "" for nothing.
        four_d: "each" takes every volume of a 4D file, "error" refuses it by naming the option, "" without.
        frame: The one volume of a 4D file that is meant, from 0; None for all of it.
    """

    path: Path
    modality: str = ""
    four_d: str = ""
    frame: int | None = field(default=None, kw_only=True)

    @property
    def label(self) -> str:
        """The path as it was given."""
        return f"{self.path}{self._which}"

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.path.name}{self._which}"

    @property
    def _which(self) -> str:
        return "" if self.frame is None else f", frame {self.frame}"

    @property
    def output_name(self) -> str:
        """The input's own name, where outputs are written so."""
        suffix = nifti_suffix(self.path)
        written = suffix if suffix in WRITTEN_SUFFIXES else ".nii.gz"
        return framed(f"{self.path.name[: -len(suffix)]}{written}", self.frame)

    def beside(self, stem: str, kind: str) -> str:
        """The stem, then the kind."""
        return f"{stem}_{kind}"

    @property
    def files(self) -> Sequence[Path]:
        """The file."""
        return [self.path]

    @property
    def frames(self) -> int:
        """From the header.

        Raises:
            InputError: Unreadable, or 4D where that was not asked for.
        """
        if not self.four_d or self.frame is not None:
            return 1
        frames = frames_of(self.path)
        if frames > 1 and self.four_d == "error":
            raise InputError(f"{self.path}: 4D, holds {frames} volumes. --4d each takes every one of them.")
        return frames

    @property
    def warnings(self) -> Sequence[str]:
        """Why the JSON beside it was not read, and what a volume taken out of it loses."""
        lost = ("the .bval and .bvec beside it are not carried into DICOM",) if self._loses_gradients else ()
        return [*self._sidecar.warnings, *lost]

    @property
    def _loses_gradients(self) -> bool:
        return self.frame is not None and self.has_gradients

    def sha256(self) -> str:
        """Hash of the file."""
        return hash_file(self.path)

    def scans(self) -> Iterator[Assembled]:
        """The volumes of the file, or the one that is meant."""
        if self.frame is not None:
            volumes = read_frames(self.path)
            yield self._as_said(next(itertools.islice(volumes, self.frame, None)))
            next(volumes, None)  # after the last one the file's end is checked
            return
        if self.frames == 1 and self.four_d != "each":
            yield self._as_said(read_nifti(self.path))
            return
        for volume in read_frames(self.path):
            yield self._as_said(volume)

    @functools.cached_property
    def _sidecar(self) -> Sidecar:
        return read_sidecar(self.path)

    def facts(self) -> dict[str, Any]:
        """What of the JSON beside it may travel."""
        return carried(self._sidecar.values)

    @property
    def repetition_time_s(self) -> float | None:
        """The header says it."""
        return None

    @property
    def has_gradients(self) -> bool:
        """Whether a .bval or .bvec lies beside it."""
        return any(file.is_file() for file in gradient_paths(self.path))

    def carry_gradients(self, output: Path) -> Carried:
        """Copy .bval and .bvec beside the output."""
        return carry_gradients(self.path, output, self.frames)

    def _as_said(self, volume: Volume) -> Assembled:
        told = self.facts().get("Modality", "")
        return Assembled(replace(volume, modality=self.modality or told or volume.modality))
