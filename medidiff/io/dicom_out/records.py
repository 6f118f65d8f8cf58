"""What a writer is told about how the volume came to be. Nothing here may hold a patient's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SUFFIX = "[denoised, research]"


@dataclass(frozen=True, eq=False)
class Derivation:
    """How a volume was made from a scan.

    Source series, `settings`, `prior_hash` and `suffix` decide the UIDs: the same again makes the same objects, and
    anything that changes the voxels must therefore be in one of them.

    Args:
        what: In words, for DerivationDescription: "Denoised by a diffusion prior".
        prior_name: Name of the prior; "" where none was used.
        prior_hash: Its SHA-256.
        settings: What was asked for; values that JSON can hold.
        noise_std: Noise standard deviation of the scan, in its unit: how finely the values must be stored. None stores
            them as finely as 16 bits allow.
        generated: True where a voxel was generated instead of measured; shape of the volume, or (z,) for whole slices.
        suffix: Ends the series description.
        series_number: Of the new series; None takes the source's number * 100 + 1, or the next one that is free.
        taken_numbers: Series numbers that the study already has, those just written included.
        deidentify: Remove the patient's identity. False keeps it, so that a PACS files the series with its source.
        pseudonym: `(patient_id, *, issuer, study_uid) -> str`; None takes medidiff.io.identity's.
        keyed_uid: `(uid) -> uid`, one to one and secret; None takes medidiff.io.identity's.
    """

    what: str
    prior_name: str = ""
    prior_hash: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    noise_std: float | None = None
    generated: np.ndarray | None = None
    suffix: str = SUFFIX
    series_number: int | None = None
    taken_numbers: frozenset[int] = frozenset()
    deidentify: bool = False
    pseudonym: Callable[..., str] | None = None
    keyed_uid: Callable[[str], str] | None = None


@dataclass(frozen=True, eq=False)
class Standalone:
    """A scan without DICOM of its own (NIfTI), to be written as a new study.

    Args:
        patient: Pseudonym; becomes the patient's name and id.
        modality: "MR" or "CT".
        derivation: How the volume was made. What concerns the source's identity is not used.
        source_hash: SHA-256 of the scan; decides the UIDs together with the derivation's settings.
        body_part: BodyPartExamined, such as "HEAD"; "" where it is not known.
    """

    patient: str
    modality: str
    derivation: Derivation
    source_hash: str
    body_part: str = ""


@dataclass(frozen=True, eq=False)
class Synthesis:
    """How a synthetic scan was made. Prior, settings, seed and index decide the UIDs.

    Args:
        prior_name: Name of the prior it was sampled from.
        prior_hash: Its SHA-256.
        seed: Of the random numbers.
        index: Which sample of a run, from 0. The patient is called after index + 1.
        settings: What was asked for; values that JSON can hold.
        body_part: BodyPartExamined; "" where it is not known.
    """

    prior_name: str
    prior_hash: str
    seed: int
    index: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    body_part: str = ""
