"""The optimiser of a run, Muon and AdamW as one, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from medidiff.training.config import OptimiserConfig
from medidiff.training.muon import ConvMuon


class Both(torch.optim.Optimizer):
    """One or two optimisers behind one: Lightning counts one step, clips once and resumes all."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([p for part in self.parts for g in part.param_groups for p in g["params"]], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        """Run the closure, then update; parameters without a gradient stay."""
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """State of every part."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore every part."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def make_optimiser(
    named: Iterable[tuple[str, Tensor]], how: OptimiserConfig, dtype: torch.dtype, sharded: bool = False
) -> torch.optim.Optimizer:
    """Muon for convolution kernels and AdamW for the rest, or AdamW for all.

    Args:
        named: Parameters by name; those with `requires_grad` false are left out.
        how: Settings.
        dtype: Type of Muon's products.
        sharded: Parameters are shards (fsdp), whose state Lightning gathers itself: a plain AdamW.
    """
    chosen = [(name, p) for name, p in named if p.requires_grad]
    kernels = [p for name, p in chosen if how.name == "muon" and _is_hidden_kernel(name, p)]
    apart = {id(p) for p in kernels}
    rest = [p for _, p in chosen if id(p) not in apart]
    adam = torch.optim.AdamW(rest, lr=how.lr, betas=(0.9, 0.99), weight_decay=0.0) if rest else None
    if sharded and adam is not None:
        return adam
    parts = [ConvMuon(kernels, lr=how.lr, weight_decay=how.weight_decay, dtype=dtype)] if kernels else []
    return Both(*parts, *([adam] if adam is not None else []))


def learning_rate(how: OptimiserConfig, step: int, progress: float) -> float:
    """Warm-up, plateau, linear decay to zero at progress 1."""
    warm = min(1.0, (step + 1) / max(1, how.warmup))
    fall = min(1.0, (1 - progress) / (1 - how.decay_from))
    return how.lr * warm * max(fall, 0.0)


def _is_hidden_kernel(name: str, parameter: Tensor) -> bool:
    """3 x 3 x 3 and resampling kernels inside the network; not the stem, the heads or the embeddings."""
    return (
        parameter.ndim == 5
        and math.prod(parameter.shape[2:]) > 1
        and not any(part in name for part in ("stem", "head", "embedding"))
    )


__all__ = ["Both", "learning_rate", "make_optimiser"]
