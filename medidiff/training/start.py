"""A run that goes on from a finished prior, with a network that may have grown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from medidiff.diffusion.preconditioning import Preconditioned
from medidiff.errors import ConfigError
from medidiff.prior import Prior


def start_from(denoiser: Preconditioned, path: Path) -> None:
    """Load a prior's weights into a network that may have a condition or residual blocks more.

    What is new adds nothing at first: the run begins as the prior. Blocks are added after those that the prior has.

    Raises:
        ConfigError: The prior has another architecture, or other kinds.
    """
    prior = Prior.load(path)
    weights = {name: tensor.float() for name, tensor in prior.weights.items()}
    network: Any = denoiser.network
    try:
        missing, unknown = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"start_from {path}: another architecture ({error}).") from error
    added = _added_blocks(network, prior)
    unexpected = [name for name in missing if not name.startswith(("embedding.colour.", *added))]
    if unknown or unexpected:
        raise ConfigError(f"start_from {path}: another architecture ({[*unknown, *unexpected][0]} does not fit).")
    if network.config.slots != prior.card.network.slots:
        raise ConfigError(
            f"start_from {path}: its conditions are {prior.card.network.slots}; the run's must be the same."
        )
    for name in added:
        torch.nn.init.zeros_(network.get_parameter(f"{name}conv2.weight"))
    denoiser.sigma_data.copy_(torch.tensor(prior.card.sigma_data).reshape(denoiser.sigma_data.shape))


def _added_blocks(network: Any, prior: Prior) -> list[str]:
    """Beginnings of the parameter names of blocks that the network has and the prior has not."""
    added: list[str] = []
    for way in ("down_blocks", "up_blocks"):
        for level, stage in enumerate(getattr(network, way)):
            fewer = prior.card.network.blocks[level] if level < len(prior.card.network.blocks) else len(stage)
            added += [f"{way}.{level}.{i}." for i in range(fewer, len(stage))]
    return added
