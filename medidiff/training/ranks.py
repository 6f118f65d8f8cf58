"""Several processes as one run: who is first, and agreeing on a few numbers."""

from __future__ import annotations

import os
import sys

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed


def is_first() -> bool:
    """Whether this process speaks, writes and decides: rank 0, or the only one."""
    return rank_zero_only.rank == 0  # pyright: ignore[reportFunctionMemberAccess]  set by Lightning


def world_size() -> int:
    """Processes of the run that have met; 1 before they have."""
    return distributed.get_world_size() if _together() else 1


def quiet_others() -> None:
    """Stop what a process that is not the first prints to stdout: the run's one answer is the first's."""
    if not is_first():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


def highest(values: list[float], device: torch.device) -> list[float]:
    """Element by element the highest of all processes' values; every process calls it at the same place."""
    if not _together():
        return values
    tensor = torch.tensor(values, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX)
    return tensor.tolist()


def mean_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The mean of a tensor over all processes."""
    if _together():
        distributed.all_reduce(tensor)
        tensor = tensor / distributed.get_world_size()
    return tensor


def gathered(words: str) -> list[str]:
    """A text of every process, in the order of their ranks."""
    if not _together():
        return [words]
    texts: list = [None] * distributed.get_world_size()
    distributed.all_gather_object(texts, words)
    return texts


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


__all__ = ["gathered", "highest", "is_first", "mean_over_processes", "quiet_others", "world_size"]
