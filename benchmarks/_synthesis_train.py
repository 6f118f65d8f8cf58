"""One training loop for all nets of the benchmark: a budget in steps or CPU minutes, and it can be stopped anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medidiff.precision import choose_precision

SAVE_EVERY_S = 60.0


@dataclass(frozen=True)
class Budget:
    """What a training may take; the first that is used up ends it."""

    steps: int | None = None
    cpu_minutes: float | None = None

    def progress(self, steps: int, seconds: float) -> float:
        """Share that is used, from 0."""
        shares = [steps / self.steps if self.steps else 0.0]
        shares.append(seconds / 60 / self.cpu_minutes if self.cpu_minutes else 0.0)
        return max(shares)


@dataclass(frozen=True)
class Spent:
    """What it took; seconds are those of the processor, so that other programs do not count."""

    steps: int
    seconds: float


def train(
    parts: dict[str, nn.Module | torch.optim.Optimizer],
    step: Callable[[int, float], Any],
    budget: Budget,
    checkpoint: Path,
    seed: int,
) -> Spent:
    """Call `step(number, progress)` until the budget is used, keeping the parts in `checkpoint` every minute.

    Every step seeds PyTorch from (seed, number), so a run that was stopped gives what an unbroken one gives where the
    budget is in steps. A finished checkpoint is only loaded.
    """
    done, seconds = _load(parts, checkpoint)
    torch.set_num_threads(1)
    for part in parts.values():
        if isinstance(part, nn.Module):
            part.train()
    started, saved = time.process_time() - seconds, time.monotonic()
    while budget.progress(done, seconds) < 1:
        torch.manual_seed(int(np.random.SeedSequence([seed, done]).generate_state(1)[0]))
        step(done, budget.progress(done, seconds))
        done, seconds = done + 1, time.process_time() - started
        if time.monotonic() - saved > SAVE_EVERY_S:
            _save(parts, checkpoint, done, seconds)
            saved = time.monotonic()
    _save(parts, checkpoint, done, seconds)
    for part in parts.values():
        if isinstance(part, nn.Module):
            part.eval()
    return Spent(done, seconds)


def cosine(optimiser: torch.optim.Optimizer, peak: float, progress: float) -> None:
    """Warm up over the first twentieth, then half a cosine down to a hundredth."""
    rate = peak * min(1.0, progress / 0.05 + 0.02) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)
    for group in optimiser.param_groups:
        group["lr"] = rate


def autocast() -> torch.autocast:
    """bfloat16 where it is faster here (measured once), the same for every contestant."""
    return torch.autocast("cpu", torch.bfloat16, enabled=choose_precision("auto", torch.device("cpu")).dtype == "bf16")


def _save(parts: dict[str, Any], path: Path, steps: int, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"steps": steps, "seconds": seconds, **{k: part.state_dict() for k, part in parts.items()}}, partial)
    partial.replace(path)


def _load(parts: dict[str, Any], path: Path) -> tuple[int, float]:
    if not path.is_file():
        return 0, 0.0
    stored = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(stored[name])
    return int(stored["steps"]), float(stored["seconds"])
