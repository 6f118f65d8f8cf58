"""Every threshold of the audit, fixed before it sees data, printed in its report."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

TRANSFORMS = ("exact", "flip", "rotation", "shift", "gamma", "noise", "blur", "combined")
"""What a copy may have gone through, and the audit must still see."""
DONE = {
    "flip": "mirrored",
    "rotation": "turned by 10 degrees or less",
    "shift": "shifted by 3 voxels or less",
    "gamma": "tone curve",
    "noise": "noise",
    "blur": "blur",
    "combined": "several at once",
}
"""What is done to a planted copy, in words for a reader."""


class Thresholds(BaseModel):
    """Settings of an audit. A report states them; a change of one is a change of the audit."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    alpha_primary: float = Field(default=0.05, gt=0, lt=0.5)
    """False alarms of the patient-label permutation test."""
    alpha_secondary: float = Field(default=0.01, gt=0, lt=0.5)
    """False alarms of all other tests together, by Holm: small, so that the whole audit keeps near `alpha_primary`."""
    permutations: int = Field(default=9999, ge=999)
    """Draws of a permutation test; its smallest p-value is 1 / (this + 1)."""
    copy_rate: float = Field(default=0.05, gt=0, lt=1)
    """A PASS needs this share of copies among the synthetics to be found with `power`, and excluded by the bound."""
    power: float = Field(default=0.9, gt=0.5, lt=1)
    """Probability with which `copy_rate` must be found."""
    most_patients: float = Field(default=0.25, gt=0, le=1)
    """Share of the train patients that may have to be copied before the main test can reject, for a PASS."""
    must_see: tuple[str, ...] = TRANSFORMS
    """Transforms of a copy that must be visible on this data for a PASS."""

    @field_validator("must_see")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in TRANSFORMS]
        if unknown or not names:
            raise ValueError(f"{', '.join(unknown) or 'nothing'}: must be one or more of {', '.join(TRANSFORMS)}")
        return names

    planted: int = Field(default=30, ge=10)
    """Copies planted under each transform."""
    visible_recall: float = Field(default=0.9, gt=0, le=1)
    """A transform is visible where at least this share of its planted copies is found."""
    false_flag: float = Field(default=0.01, gt=0, lt=0.5)
    """Share of real scans of strangers that a flag on a single sample may hit."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Of every interval and bound."""
    encoder_steps: int = Field(default=150, ge=1)
    """Steps of the encoder that the audit trains."""
    seed: int = 20261122
    """Of permutations, planted copies and the encoder."""

    def changed(self) -> str:
        """What differs from the usual thresholds, in words; empty for nothing."""
        usual = Thresholds()
        mine, theirs = self.model_dump(), usual.model_dump()
        found = [f"{name} {_told(mine[name])} for {_told(theirs[name])}" for name in mine if mine[name] != theirs[name]]
        return ", ".join(found)


def _told(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)
