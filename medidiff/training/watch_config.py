"""What a run logs, where to, and what it measures of itself: two parts of the training configuration."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class MlflowConfig(BaseModel):
    """Where MLflow keeps the run; needs `pip install mlflow` (mlflow-skinny is enough)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    experiment: str = "medidiff"
    """Name of the experiment."""
    tracking_uri: str | None = None
    """Server, `http://...`, or a folder, `file:...`; None: the folder mlruns in the run's output, nothing leaves the
    machine."""


class WandbConfig(BaseModel):
    """Where Weights & Biases keeps the run; needs `pip install wandb`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    project: str = "medidiff"
    """Name of the project."""
    offline: bool = True
    """True writes to the run's output only (`wandb sync` sends it later); False sends while it runs."""


class LoggingConfig(BaseModel):
    """Who gets the run's figures; the csv files are what `medidiff runs` reads its trends from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tensorboard: bool = True
    """Scalars and pictures for TensorBoard, in OUTPUT/tensorboard."""
    csv: bool = True
    """Scalars as tables, in OUTPUT/csv."""
    mlflow: MlflowConfig | None = None
    """MLflow; None: not used."""
    wandb: WandbConfig | None = None
    """Weights & Biases; None: not used."""


class WatchConfig(BaseModel):
    """What a validation does besides measuring the error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    samples: Literal["auto"] | bool = "auto"
    """Samples from pure noise; auto: where at least a fifth of the training is at levels above 1, half the intensity
    range. Without them samples start from val patches with 30% noise."""
    distance: bool = True
    """The distance of the samples from val patches; False draws no samples at all."""
    most: float = Field(default=0.02, gt=0, le=1)
    """Largest share of the run's time that samples may take; they are left out of a validation that comes too soon."""


__all__ = ["LoggingConfig", "MlflowConfig", "WandbConfig", "WatchConfig"]
