"""A run that goes on from a finished prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError
from medidiff.prior import Prior


def start_from(denoiser: Preconditioned, path: Path) -> None:
    """Load a prior's weights into a network that may have a condition more.

    Raises:
        ConfigError: The prior has another architecture, or other kinds.
    """
    prior = Prior.load(path)
    weights = {name: tensor.float() for name, tensor in prior.weights.items()}
    try:
        missing, unknown = denoiser.network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"start_from {path}: another architecture ({error}).") from error
    if unknown or any(not name.startswith("embedding.colour.") for name in missing):
        raise ConfigError(f"start_from {path}: another architecture ({[*unknown, *missing][0]} does not fit).")
    network: Any = denoiser.network
    if network.config.slots != prior.card.network.slots:
        raise ConfigError(
            f"start_from {path}: its conditions are {prior.card.network.slots}; the run's must be the same."
        )
    denoiser.sigma_data.copy_(torch.tensor(prior.card.sigma_data).reshape(denoiser.sigma_data.shape))
