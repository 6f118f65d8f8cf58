"""Which average of the weights ships: several widths are rebuilt after the run and judged on the val patches."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from medidiff.diffusion.losses import corrupt
from medidiff.precision import choose_precision
from medidiff.training.averages import trained
from medidiff.training.config import LevelPart
from medidiff.training.module import DenoiserTraining
from medidiff.training.posthoc import Snapshots
from medidiff.training.validation import watched_conditions

CANDIDATES = (0.02, 0.035, 0.05, 0.075, 0.10, 0.15)
"""Widths that are tried, besides those kept and the last weights (width 0)."""
QUANTILES = (0.2, 0.5, 0.8)
"""Where in the distribution of ln(sigma) in training the candidates are judged."""
BATCHES = 3
"""Of the val loader. With 8 candidates these are 72 evaluations, a minute for `general` on one core."""
_INEXACT = 0.2
"""A width whose profile the snapshots express worse than this is not tried."""


def choose_average(module: DenoiserTraining, snapshots: Snapshots, loader: Any) -> str:
    """Judge the candidates and let `module.averaged` be the best.

    Args:
        module: After training.
        snapshots: Of its averages.
        loader: Fixed val patches; None chooses the first width that was kept.

    Returns:
        What was chosen, in words, for the card.
    """
    averages = module.ema
    if loader is None:
        return f"sigma_rel {averages.widths[0]:g}; not chosen by val scans"
    levels, device = _levels(module.config.noise.levels), module.denoiser.sigma_data.device
    fast = choose_precision(module.config.precision, device).dtype == "bf16"
    best, best_score, chosen, tried = None, -float("inf"), 0.0, []
    for width in sorted({0.0, *CANDIDATES, *averages.widths}):
        weights = _candidate(module, snapshots, width)
        if weights is None:
            continue
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast):
            score = _score(averages.show(weights), loader, levels, module.denoiser.sigma_data)
        tried.append(f"{width:g}: {score:.3f} dB")
        if score > best_score:
            best, best_score, chosen = weights, score, width
    if best is None:
        return f"sigma_rel {averages.widths[0]:g}; no candidate gave finite figures"
    averages.show(best)
    return f"sigma_rel {chosen:g}, the best of {len(tried)} on the val patches ({', '.join(tried)})"


def _candidate(module: DenoiserTraining, snapshots: Snapshots, width: float) -> dict[str, Tensor] | None:
    if width == 0:
        return {name: tensor.detach() for name, tensor in trained(module.denoiser).items()}
    if width in module.ema.widths:
        return module.ema.tensors[module.ema.widths.index(width)]
    weights, left = snapshots.rebuild(module.ema, width)
    return weights if left < _INEXACT else None


@torch.no_grad()
def _score(denoiser: Any, loader: Any, levels: list[float], sigma_data: Tensor) -> float:
    """Mean over levels and patches of the error removed, in dB: 10 log10(sigma_data^2 / error^2)."""
    scores: list[Tensor] = []
    for number, batch in enumerate(itertools.islice(loader, BATCHES)):
        target, tau = batch["target"].to(sigma_data.device), batch["tau"].to(sigma_data.device)
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(number)).to(target)
        told = _on(watched_conditions(batch), target.device)
        for level in levels:
            wanted = torch.full((target.shape[0], target.shape[1], 1, 1, 1), level).to(target)
            pair = corrupt(target, tau, wanted, noise)
            clean = denoiser(pair.y, pair.level, batch["spacing_mm"].to(target.device), told).mean
            # a noisy target: the part of the error that can be seen, see `denoising_error`
            mse = ((pair.a * clean + (1 - pair.a) * pair.y - target) ** 2).mean(dim=(1, 2, 3, 4))
            scores.append(10 * torch.log10(float(sigma_data.mean()) ** 2 / mse.clamp_min(1e-12)))
    return float(torch.cat(scores).mean())


def _levels(parts: tuple[LevelPart, ...]) -> list[float]:
    """Quantiles of the mixture of levels."""
    low, high = min(p.low for p in parts), max(p.high for p in parts)
    grid = torch.linspace(0, 1, 4001, dtype=torch.float64) * torch.tensor(high / low).log() + torch.tensor(low).log()
    density = torch.zeros_like(grid)
    for part in parts:
        inside = (grid >= torch.tensor(part.low).log() - 1e-9) & (grid <= torch.tensor(part.high).log() + 1e-9)
        density += part.weight * inside / inside.sum().clamp_min(1)
    shares = density.cumsum(0) / density.sum()
    return [float(grid[int(torch.searchsorted(shares, q))].exp()) for q in QUANTILES]


def _on(told: Mapping[str, Tensor] | None, device: torch.device) -> dict[str, Tensor] | None:
    return None if told is None else {name: value.to(device) for name, value in told.items()}


__all__ = ["CANDIDATES", "choose_average"]
