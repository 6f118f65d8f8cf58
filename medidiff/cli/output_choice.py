"""What was said about the output: its format, and whose it may be seen to be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.errors import UsageError

FORMS = ("same", "nifti", "dicom")


@dataclass(frozen=True)
class OutputChoice:
    """The values of the options about OUT.

    Args:
        form: "nifti", "dicom", or "same" as the input.
        deidentify: DICOM is written without the patient's identity.
        dicomdir: A DICOMDIR is written over OUT.
        like: A DICOM series on the same grid, which a NIfTI scan that becomes DICOM belongs to.

    Raises:
        UsageError: An unknown format, or an option that has no meaning in it.
    """

    form: str = "same"
    deidentify: bool = False
    dicomdir: bool = False
    like: Path | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"--format {self.form}: must be {', '.join(FORMS)}.")

    def check(self, from_dicom: bool, to_dicom: bool) -> None:
        """Refuse what has no meaning between these two formats.

        Raises:
            UsageError: An option that only another format has.
        """
        if self.like is not None and (from_dicom or not to_dicom):
            raise UsageError("--like: is for a NIfTI scan that becomes DICOM (--format dicom). Leave it out.")
        if self.dicomdir and not to_dicom:
            raise UsageError("--dicomdir: the output is NIfTI. Give --format dicom, or leave it out.")
        if self.deidentify and not (from_dicom or to_dicom):
            raise UsageError("--deidentify: is for DICOM; a NIfTI output names no patient. Leave it out.")

    def settings(self) -> dict[str, Any]:
        """What of it decides what is written; what was left out is not named."""
        said = {"format": "" if self.form == "same" else self.form, "deidentify": self.deidentify}
        return {key: value for key, value in said.items() if value}
