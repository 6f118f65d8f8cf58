"""The card of a prior: what it is, what it has seen, what it may be used for."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from medidiff.intensity import Normalisation
from medidiff.nets.embedding import ConditionSlots
from medidiff.nets.unet import NetConfig

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NormalisationRecipe(BaseModel):
    """How a scan's intensities become the prior's."""

    model_config = _FROZEN
    name: Literal["percentile", "window"] = "percentile"
    """Two percentiles of each scan, or two values for every scan, become `low` and `high`; in between linear, outside
    the same line."""
    lower_pct: float = Field(default=0.5, ge=0, lt=100)
    """Percentile that becomes `low`; not 0, since the minimum is one voxel's accident."""
    upper_pct: float = Field(default=99.5, gt=0, le=100)
    """Percentile that becomes `high`."""
    low: float = -1.0
    """Normalised value of the lower percentile."""
    high: float = 1.0
    """Normalised value of the upper percentile."""
    window: tuple[float, float] | None = None
    """For `window`: the values, in the scan's own unit (HU), that become `low` and `high`."""

    @model_validator(mode="after")
    def _windowed(self) -> NormalisationRecipe:
        if (self.name == "window") != (self.window is not None):
            raise ValueError("window: two values where name is window, and only there")
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window {self.window}: the first must be below the second")
        return self

    def fit(self, data: np.ndarray) -> Normalisation:
        """The normalisation of one scan.

        Raises:
            InputError: The scan is empty, not finite, or constant.
        """
        of_scan = Normalisation.fit(data, self.lower_pct, self.upper_pct, self.low, self.high)
        if self.window is None:
            return of_scan
        scale = (self.window[1] - self.window[0]) / (self.high - self.low)
        return Normalisation(offset=self.window[0] - self.low * scale, scale=scale)


class SpacingRange(BaseModel):
    """Voxel spacings seen in training."""

    model_config = _FROZEN
    low: float = Field(gt=0)
    """Smallest spacing along any axis, mm."""
    high: float = Field(gt=0)
    """Largest spacing along any axis, mm."""


class Typical(BaseModel):
    """Intensities of a typical scan of the training: value = offset + scale * normalised."""

    model_config = _FROZEN
    offset: float
    """Median over the train scans of the value that is 0 when normalised; of a window it is that of every scan."""
    scale: float = Field(gt=0)
    """Median of the difference in value that is 1 when normalised."""


class AdvisedGuidance(BaseModel):
    """Guidance that makes the prior do what it is asked, chosen by measurement on val patients."""

    model_config = _FROZEN
    weight: float = Field(ge=1)
    """1 is none."""
    low: float = Field(default=0.0, ge=0)
    """Guided are levels above this, normalised units."""
    high: float | None = Field(default=None, gt=0)
    """Up to this; None: all higher ones."""


class DataSource(BaseModel):
    """One set of scans a prior was trained on."""

    model_config = _FROZEN
    name: str
    """What the set is called."""
    licence: str
    """Its licence; share-alike licences bind the weights and what they generate."""
    scans: int = Field(default=0, ge=0)
    """Scans used."""
    patients: int = Field(default=0, ge=0)
    """Patients they come from; 0 for procedural volumes."""
    note: str = ""
    """Where it comes from and what was done to it."""


class PrivacyRecord(BaseModel):
    """What a differentially private run promises."""

    model_config = _FROZEN
    epsilon: float = Field(ge=0)
    """Weights with and without any one patient are as likely within a factor exp(epsilon), but for `delta`."""
    delta: float = Field(gt=0, lt=1)
    """Probability with which that may not hold."""
    unit: Literal["patient"] = "patient"
    """Who is protected: the patient with all his scans; one patient more or fewer."""
    accountant: str
    """How the steps were added up."""
    second_accountant: str
    """Another one."""
    second_epsilon: float = Field(ge=0)
    """Its epsilon, of the same steps."""
    clip: float = Field(gt=0)
    """Longest gradient of a patient."""
    noise_multiplier: float = Field(gt=0)
    """Standard deviation of the noise in units of `clip`."""
    sampling_rate: float = Field(gt=0, le=1)
    """Probability with which a patient was drawn in a step."""
    steps: int = Field(ge=0)
    """Steps taken."""
    not_covered: tuple[str, ...] = ()
    """What epsilon does not speak of."""


class TrainingRecord(BaseModel):
    """How the weights came to be."""

    model_config = _FROZEN
    config: dict[str, Any] = Field(default_factory=dict)
    """The resolved training configuration."""
    steps: int = Field(default=0, ge=0)
    """Optimiser steps."""
    hours: float = Field(default=0.0, ge=0)
    """Wall-clock hours."""
    hardware: str = ""
    """What it ran on."""
    sources: tuple[DataSource, ...] = ()
    """Every set of scans, with its licence."""
    patients: int = Field(default=0, ge=0)
    """Patients in all; none of them is in a holdout split."""
    seed: int = 0
    """Seed of the run."""
    code_version: str = ""
    """Version or commit of medidiff."""
    average: str = ""
    """Which average of the weights this is, and what it was chosen from."""
    privacy: PrivacyRecord | None = None
    """Of a differentially private run; None: the weights may depend on a patient without limit."""
    commitment: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """One hash over the keyed list of train patients (`cohort.commitment`); the key stays with the run. Empty: an older
    prior, or no patient."""


class Card(BaseModel):
    """Everything a reader must know about a prior, and everything needed to run it but the weights."""

    model_config = _FROZEN
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """What the user types; lower case."""
    version: str
    """Version of the weights."""
    created: str
    """Date, ISO 8601."""
    description: str
    """One or two sentences."""
    task: Literal["denoise", "sample"]
    """What it was trained for: `sample` covers all levels up to pure noise and serves both, `denoise` the low ones."""
    network: NetConfig
    """Architecture and conditions."""
    sigma_data: tuple[float, ...]
    """Standard deviation of the clean, normalised data, one value a channel."""
    mean_data: tuple[float, ...] = ()
    """Mean of the clean, normalised data that the network takes off, one value a channel; left out: 0."""
    channels: tuple[Annotated[str, Field(pattern=r"^(image|mask(:[1-9][0-9]*)?)$")], ...] = ()
    """What each channel is: image (normalised intensities), mask (any label), mask:2 (that label); a mask is -1 outside
    and 1 inside. Left out: images."""
    shape: tuple[int, int, int] | None = None
    """Voxels of a sample along x, y, z where the user does not say."""
    typical: Typical | None = None
    """What a sample's intensities become where it shall look like a scan; None: they stay normalised."""
    guidance: AdvisedGuidance | None = None
    """How samples are guided where a condition is asked for and the user does not say how; None: not."""
    sigma_min: float = Field(gt=0)
    """Smallest trained noise level, normalised units."""
    sigma_max: float = Field(gt=0)
    """Largest trained noise level, normalised units."""
    normalisation: NormalisationRecipe = NormalisationRecipe.model_construct()
    """Intensities on the way in."""
    spacing_mm: SpacingRange
    """Voxel spacings seen."""
    modalities: tuple[str, ...]
    """Kinds of scan seen, such as "T1 MR"."""
    training: TrainingRecord
    """How the weights came to be."""
    weights_licence: str
    """Licence of the weights."""
    output_licence: str
    """Licence of what the prior generates, where a source's licence reaches that far."""
    intended_use: str
    """What it is for. Research use only, not a medical device."""
    limits: str
    """Where it fails or was not tried."""
    figures: dict[str, Any] = Field(default_factory=dict)
    """Measured figures, each with the command that regenerates it."""
    calibration: dict[str, Any] | None = None
    """Conformal calibration of the uncertainty, when it was done."""

    @field_validator("sigma_data")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values or any(not (math.isfinite(v) and v > 0) for v in values):
            raise ValueError("must be positive, one value a channel")
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if not self.channels:
            object.__setattr__(self, "channels", ("image",) * self.network.channels)
        if not self.mean_data:
            object.__setattr__(self, "mean_data", (0.0,) * self.network.channels)
        if len(self.mean_data) != self.network.channels:
            raise ValueError(f"mean_data has {len(self.mean_data)} values for {self.network.channels} channels")
        if len(self.channels) != self.network.channels:
            raise ValueError(f"channels names {len(self.channels)} of {self.network.channels} channels")
        if len(self.sigma_data) != self.network.channels:
            raise ValueError(f"sigma_data has {len(self.sigma_data)} values for {self.network.channels} channels")
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} must be below sigma_max {self.sigma_max}")
        return self

    @property
    def masks(self) -> list[int]:
        """Numbers of the channels that are masks."""
        return [i for i, name in enumerate(self.channels) if name.startswith("mask")]

    @property
    def conditions(self) -> ConditionSlots:
        """What the prior can be conditioned on."""
        return self.network.slots
