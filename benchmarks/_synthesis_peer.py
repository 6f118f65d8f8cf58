"""What every generative peer of the benchmark gives: a training with a budget, and samples one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks._synthesis_data import Pairs
from benchmarks._synthesis_train import Budget, Spent

CHANNELS = 3
"""Image, and the two labels as -1 outside and 1 inside: the same for every contestant."""


class Sampler(Protocol):
    """A trained peer.

    Attributes:
        nfe: Network evaluations a sample.
        note: What it is, for the table.
    """

    nfe: int
    note: str

    def sample(self, seed: int) -> Tensor:
        """One sample (CHANNELS, x, y, z)."""
        ...


class Peer(Protocol):
    """Trains one."""

    def __call__(self, pairs: Pairs, budget: Budget, seed: int, checkpoint: Path) -> tuple[Sampler, Spent]:
        """Train on pairs, or take what `checkpoint` holds; see `_synthesis_train.train`."""
        ...


def channels_of(pairs: Pairs) -> Tensor:
    """Pairs as (n, CHANNELS, x, y, z), float32."""
    masks = [np.where(pairs.masks == label, 1.0, -1.0) for label in (1, 2)]
    return torch.from_numpy(np.stack([pairs.images, *masks], axis=1).astype(np.float32))


def batch_of(data: Tensor, size: int, seed: int, number: int) -> Tensor:
    """Scans of one step, drawn at random and none mirrored, as for ours: the crops all lie one way."""
    rng = np.random.default_rng([seed, number])
    return data[torch.from_numpy(rng.integers(0, len(data), size))]


def weights_of(module: torch.nn.Module) -> str:
    """Number of weights, in millions."""
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M weights"
