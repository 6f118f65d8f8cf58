"""What was said about the input: which of its scans, what they are, and how they may be put on a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medidiff.errors import UsageError

_MODALITIES = ("MR", "CT")


@dataclass(frozen=True)
class InputChoice:
    """The values of the options about IN.

    Args:
        series: Id, series number or series UID of one scan in a DICOM folder; None: there is only one.
        every: Every scan of a DICOM folder.
        participants: Labels of the participants of a BIDS dataset; none: all.
        modality: What the scan is, where its file cannot say; "" for nothing said.
        four_d: "each" takes every volume of a 4D scan, "error" refuses one; "" where the verb cannot.
        resample_tilt: A tilted gantry's slices are resampled to an orthogonal grid.
        fill_gaps: Missing slices are left to the prior.
        target_spacing_mm: Distance between slices to reach by letting the prior fill some in; None keeps it.
        keep_ids: Names and numbers of patients may appear in messages, records and file names.

    Raises:
        UsageError: A value that none of them has.
    """

    series: str | None = None
    every: bool = False
    participants: tuple[str, ...] = ()
    modality: str = ""
    four_d: str = ""
    resample_tilt: bool = False
    fill_gaps: bool = False
    target_spacing_mm: float | None = None
    keep_ids: bool = False

    def __post_init__(self) -> None:
        if self.modality not in ("", *_MODALITIES):
            raise UsageError(f"--modality {self.modality}: must be {' or '.join(_MODALITIES)}.")
        if self.four_d not in ("", "error", "each"):
            raise UsageError(f"--4d {self.four_d}: must be error or each.")
        if self.series is not None and self.every:
            raise UsageError("--series and --all: give one of them.")
        spacing = self.target_spacing_mm
        if spacing is not None and not 0 < spacing < math.inf:
            raise UsageError(f"--target-spacing {spacing:g}: must be a positive number of mm.")

    def settings(self) -> dict[str, Any]:
        """What of it decides the output, besides the scan; what was left out is not named."""
        said = {
            "modality": self.modality,
            "resample_tilt": self.resample_tilt,
            "fill_gaps": self.fill_gaps,
            "target_spacing_mm": self.target_spacing_mm,
        }
        return {key: value for key, value in said.items() if value not in ("", False, None)}


def parse_labels(given: Sequence[str] | None) -> tuple[str, ...]:
    """The labels after --participant-label: commas, spaces, or the option again."""
    return tuple(label for text in given or () for label in text.replace(",", " ").split())
