"""What cannot become a prior, or cannot run here, is refused before the first step."""

from __future__ import annotations

import math
from typing import Any

import torch

from medidiff.cohort import ProceduralSource
from medidiff.cohort.overlap import check_apart
from medidiff.device import free_memory_bytes
from medidiff.errors import InputError, MemoryLimitError
from medidiff.training.config import TrainingConfig
from medidiff.training.watch import say

_FEW = 64
"""Scans up to which patients are counted one by one."""
_KEPT, _KEPT_AGAIN = 5, 1
"""Feature maps of half precision that a residual block at least keeps for its gradient; computed again: its input."""


def check_cohort(config: TrainingConfig, data: Any) -> None:
    """Refuse a cohort of one patient, and patients that train in one source and are held out in another.

    Args:
        config: The run.
        data: Its data module, set up.

    Raises:
        InputError: All scans are one person's: what is learned is that person, and no one else can validate it.
        ConfigError: A train scan of one source is a val or holdout scan of another.
    """
    for warning in check_apart(config.data.sources, [cases for _, cases in data.loaded["train"]], config.data.root):
        say(f"warning: {warning}")
    people: set[tuple[str, str]] = set()
    for source, (_, cases) in zip(config.data.sources, data.loaded["train"], strict=True):
        if isinstance(source, ProceduralSource) or len(cases) > _FEW:
            return
        people |= {(case.kind, case.patient) for case in cases}
    if len({patient for _, patient in people}) == 1:
        raise InputError(
            f"data.sources: all {sum(len(cases) for _, cases in data.loaded['train'])} train scans are of one patient. "
            "A prior of one person memorises that person. Give scans of more patients (from 20 on it is worth while), "
            "or add procedural volumes."
        )


def sigma_data_of(data: Any) -> tuple[float, ...]:
    """Standard deviation of the training patches, one value a channel.

    Raises:
        InputError: They are constant, or hold values that are not finite.
    """
    sigma_data = data.sigma_data()
    if not all(map(math.isfinite, sigma_data)):
        raise InputError("data.sources: training patches hold values that are not finite. Prepare the scans again.")
    if not min(sigma_data) > 1e-6:
        raise InputError(
            f"data.sources: every training patch is constant (standard deviation {min(sigma_data):.2g}). Look at the "
            "scans: `medidiff info SCAN` shows their range."
        )
    return sigma_data


def least_memory_bytes(config: TrainingConfig) -> int:
    """Memory that the activations of one micro-batch take at the very least, of all processes on this machine.

    Only what the residual blocks keep, in half precision; `medidiff train --dry-run` measures what it really is.
    """
    scale, network = config.scale, config.network
    processes = scale.devices * scale.nodes
    micro = config.optimiser.batch // (processes * scale.accumulate)
    maps, voxels = 0, math.prod(config.data.patch)
    for level, (width, blocks) in enumerate(zip(network.widths, network.blocks, strict=True)):
        ways = 1 if level + 1 == len(network.widths) else 2
        maps += ways * blocks * width * (voxels // 8 ** (level + 1))
    each = _KEPT_AGAIN if scale.activation_checkpointing else _KEPT
    return scale.devices * micro * maps * each * 2


def check_memory(config: TrainingConfig, device: torch.device) -> None:
    """Refuse patches that cannot fit.

    Raises:
        MemoryLimitError: Their activations alone take more than is free.
    """
    least = least_memory_bytes(config) // (config.scale.devices if device.type == "cuda" else 1)
    free = free_memory_bytes(device)
    if least > free:
        raise MemoryLimitError(
            f"data.patch {_times(config.data.patch)}, optimiser.batch {config.optimiser.batch}: a step takes more than "
            f"{least / 2**30:.0f} GiB, and {free / 2**30:.1f} GiB are free. {ADVICE}"
        )


ADVICE = (
    "Give a smaller data.patch, a larger scale.accumulate (fewer patches at a time), or "
    "scale.activation_checkpointing=true."
)


def _times(patch: tuple[int, ...]) -> str:
    return " x ".join(map(str, patch))


__all__ = ["ADVICE", "check_cohort", "check_memory", "least_memory_bytes", "sigma_data_of"]
