"""One volume of a DICOM tree, or several on one grid that are a 4D scan, as a verb's source."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medidiff.cli.input_choice import InputChoice
from medidiff.errors import GeometryError, InputError, UsageError
from medidiff.io.dicom.model import Assembled, Candidate, FileRef
from medidiff.io.gradients import Carried, fsl_gradients, write_gradients
from medidiff.io.json_sidecar import carried
from medidiff.io.nifti_header import read_header

_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class DicomSource:
    """Candidates of a DICOM scan that become one output.

    Args:
        candidates: One, or the frames of a 4D scan in order.
        choice: What was said about the input.
        new_number: Series number for a series made from it, which its study does not have yet.
        taken: Series numbers that its study has, or will have once every series of it was worked on.
    """

    candidates: tuple[Candidate, ...]
    choice: InputChoice
    new_number: int = 1
    taken: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        said, is_ = self.choice.modality, self.candidate.series.modality
        if said and is_ and said != is_:
            raise UsageError(f"--modality {said}: {self.name} is {is_} by its own header. Leave the option out.")

    @property
    def candidate(self) -> Candidate:
        """The first."""
        return self.candidates[0]

    @functools.cached_property
    def _stem(self) -> str:
        series = self.candidate.series
        number = "000" if series.number is None else f"{series.number:03d}"
        own_id = self.candidate.id if len(self.candidates) == 1 else self.candidate.stack
        modality = re.sub(r"\W", "", series.modality)[:16] or self.choice.modality or "OT"
        return f"{self.patient}_{number}_{modality}_{own_id}"

    @functools.cached_property
    def patient(self) -> str:
        """The patient's pseudonym, or with --keep-ids the number in the files, as it can stand in a file name."""
        series = self.candidate.series
        kept = re.sub(r"[^A-Za-z0-9.-]+", "-", series.patient_id).strip("-.")[:64]
        if self.choice.keep_ids and kept:
            return kept
        from medidiff.io.identity.pseudonym import pseudonym

        if not series.patient_id.strip() and not series.study_uid.strip():
            return "p-unknown"
        return pseudonym(series.patient_id, issuer=series.issuer, study_uid=series.study_uid)

    @property
    def label(self) -> str:
        """Pseudonym, series number, modality and id."""
        return self._stem

    @property
    def name(self) -> str:
        """The same."""
        return self._stem

    @property
    def output_name(self) -> str:
        """The same, as a NIfTI file."""
        return f"{self._stem}.nii.gz"

    def beside(self, stem: str, kind: str) -> str:
        """The stem, then the kind."""
        return f"{stem}_{kind}"

    @property
    def files(self) -> Sequence[Path]:
        """Every file that is read."""
        return sorted({plane.file.path for one in self.candidates for plane in one.planes})

    @property
    def frames(self) -> int:
        """Volumes of the 4D scan."""
        return len(self.candidates)

    @property
    def warnings(self) -> Sequence[str]:
        """What was noticed when the headers were read."""
        return list(dict.fromkeys(text for one in self.candidates for text in one.warnings))

    def sha256(self) -> str:
        """Hash over the files' hashes, in whatever folder and under whatever names they lie."""
        return self._sha256

    @functools.cached_property
    def _sha256(self) -> str:
        refs = {plane.file for one in self.candidates for plane in one.planes}
        hashes = sorted(_hash(ref) for ref in refs)
        return hashlib.sha256(" ".join([*(one.id for one in self.candidates), *hashes]).encode()).hexdigest()

    def scans(self) -> Iterator[Assembled]:
        """The volumes."""
        from medidiff.io.dicom.read import read_candidate

        for one in self.candidates:
            read = read_candidate(one, resample_tilt=self.choice.resample_tilt, fill_gaps=self.choice.fill_gaps)
            modality = self.choice.modality or one.series.modality
            yield replace(read, volume=replace(read.volume, name=self._stem, modality=modality))

    def facts(self) -> dict[str, Any]:
        """What the headers say of the acquisition."""
        from medidiff.io.dicom.acquisition import acquisition_facts

        return carried(acquisition_facts(self.candidate))

    @property
    def repetition_time_s(self) -> float | None:
        """From one frame to the next."""
        value = self.facts().get("RepetitionTime") if self.frames > 1 else None
        return float(value) if isinstance(value, int | float) and value > 0 else None

    @property
    def has_gradients(self) -> bool:
        """Whether the frames differ in their diffusion weighting."""
        return self.frames > 1 and any(self._b_values())

    def carry_gradients(self, output: Path) -> Carried:
        """Write b-values and directions beside the output."""
        values = self._b_values()
        unknown = [str(frame) for frame, value in enumerate(values) if value is None]
        if unknown:
            return Carried(warnings=(f"no .bval and .bvec: the b-value of frame {', '.join(unknown)} is not known.",))
        directions = [one.planes[0].facts.gradient_lps for one in self.candidates]
        try:
            affine_ras = read_header(output).memory.affine_ras
            gradients = fsl_gradients([value or 0.0 for value in values], directions, affine_ras)
        except (GeometryError, InputError) as error:
            return Carried(warnings=(f"no .bval and .bvec: {error}",))
        return Carried(write_gradients(gradients, output), gradients.warnings)

    def _b_values(self) -> list[float | None]:
        return [one.planes[0].facts.b_value_s_per_mm2 for one in self.candidates]


def _hash(ref: FileRef) -> str:
    from medidiff.io.dicom.files import open_file

    digest = hashlib.sha256()
    with open_file(ref) as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()
