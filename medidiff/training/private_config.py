"""The `privacy` of a configuration: training whose weights depend little on any one patient."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class PrivacyConfig(BaseModel):
    """Differentially private training (DP-SGD); the unit is the patient with all his scans."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    target_epsilon: float = Field(gt=0)
    """Epsilon after `optimiser.steps`; a run that --hours ends earlier has spent less. 1 is strong, 10 is weak."""
    delta: float = Field(gt=0, lt=1)
    """Probability with which epsilon may not hold; well below 1 / train patients."""
    clip: float = Field(default=1.0, gt=0)
    """Gradient norm that a patient's gradient is clipped to; the noise is in proportion. Gradients of this network's
    loss are about 1."""
    accountant: Literal["rdp", "prv"] = "rdp"
    """How Opacus adds up the steps: rdp (Renyi, an upper bound) or prv (privacy random variables, closer)."""
    patches: int = Field(default=2, ge=1)
    """Patches of a patient in a step; the mean of their gradients is clipped. Two cost less than twice one."""
    sigma_data: float = Field(default=0.5, gt=0)
    """Standard deviation of scans that the network is told: given, not measured on the patients."""
