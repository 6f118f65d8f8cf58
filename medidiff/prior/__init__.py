"""A trained denoiser with its card, as one safetensors file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.prior.card import (
        AdvisedGuidance,
        Card,
        DataSource,
        NormalisationRecipe,
        SpacingRange,
        TrainingRecord,
        Typical,
    )
    from medidiff.prior.denoiser import Denoiser
    from medidiff.prior.files import PriorEntry, list_priors, read_entry, resolve_prior
    from medidiff.prior.model import Prior

__all__ = [
    "AdvisedGuidance",
    "Card",
    "DataSource",
    "Denoiser",
    "NormalisationRecipe",
    "Prior",
    "PriorEntry",
    "SpacingRange",
    "TrainingRecord",
    "Typical",
    "list_priors",
    "read_entry",
    "resolve_prior",
]

_HOME = {
    "AdvisedGuidance": "card",
    "Card": "card",
    "DataSource": "card",
    "NormalisationRecipe": "card",
    "SpacingRange": "card",
    "TrainingRecord": "card",
    "Typical": "card",
    "Denoiser": "denoiser",
    "PriorEntry": "files",
    "list_priors": "files",
    "read_entry": "files",
    "resolve_prior": "files",
    "Prior": "model",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use: listing priors needs no torch, running one does."""
    if name not in _HOME:
        raise AttributeError(f"module 'medidiff.prior' has no attribute {name!r}")
    return getattr(importlib.import_module(f"medidiff.prior.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
