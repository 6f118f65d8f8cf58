"""Guidance as a person asks for it: how strongly, at which levels, and away from what."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medidiff.errors import PriorError, UsageError
from medidiff.nets.embedding import UNKNOWN_CATEGORY, ConditionSlots
from medidiff.prior import Card, Prior


@dataclass(frozen=True)
class Guidance:
    """D_ref + weight (D - D_ref) at levels low < sigma <= high, voxel by voxel.

    Args:
        weight: 1 changes nothing and costs nothing; above 1 conditions show more strongly, and samples differ less.
        interval: (low, high), normalised units; outside, the prior is as it is and costs one evaluation.
        reference: None: the prior itself without its conditions (classifier-free guidance). A smaller or less trained
            prior with the same channels and normalisation: autoguidance.

    Raises:
        UsageError: A number that has no meaning.

    Source: see `medidiff.diffusion.guided`.
    """

    weight: float = 1.0
    interval: tuple[float, float] = (0.0, math.inf)
    reference: Prior | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise UsageError(f"--guidance {self.weight}: must be 0 or more; 1 is none, 1.5 to 3 is usual.")
        low, high = self.interval
        if not (0 <= low < high):  # also refuses nan
            raise UsageError(f"--guidance-interval {low:g}:{high:g}: must rise, from 0 or more, such as 0.3:5.")

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return self.weight != 1

    def check(self, prior: Prior) -> None:
        """Refuse a reference that does not speak of the same scans.

        Raises:
            PriorError: Other channels, another normalisation, or conditions of the same name with other values.
        """
        if self.reference is None:
            return
        card, other = prior.card, self.reference.card
        for what, ours, theirs in (
            ("channels", card.network.channels, other.network.channels),
            ("channels", getattr(card, "channels", ()), getattr(other, "channels", ())),
            ("normalisation", card.normalisation, other.normalisation),
        ):
            if ours != theirs:
                raise PriorError(
                    f"--guidance-prior {other.name}: its {what} ({theirs}) is not that of {card.name} ({ours}). "
                    "Give a prior trained on scans prepared alike."
                )
        both = card.conditions.categorical.keys() & other.conditions.categorical.keys()
        for name in sorted(both):
            ours, theirs = (c.conditions.categorical[name].values for c in (card, other))
            if ours != theirs:
                raise PriorError(
                    f"--guidance-prior {other.name}: its {name} has the values {', '.join(theirs)}, that of "
                    f"{card.name} {', '.join(ours)}. Give a prior trained with the same."
                )

    def settings(self) -> dict[str, Any]:
        """What decides the samples, in types that JSON knows; an open end is null."""
        low, high = self.interval
        told: dict[str, Any] = {"weight": self.weight, "interval": [low, high if math.isfinite(high) else None]}
        if self.reference is not None:
            told["reference"] = {"name": self.reference.card.name, "hash": self.reference.content_hash}
        return told


def parse_interval(text: str) -> tuple[float, float]:
    """Levels "LO:HI"; an end that is left out is open.

    Raises:
        UsageError: It is no such text.
    """
    first, colon, last = text.partition(":")
    try:
        low, high = float(first or 0), float(last or math.inf)
    except ValueError:
        low = high = math.nan
    if not colon or not low < high:
        raise UsageError(f"--guidance-interval {text}: write LO:HI in normalised units, such as 0.3:5.")
    return low, high


def advised(
    card: Card, weight: float | None, interval: tuple[float, float] | None, asked: bool
) -> tuple[float, tuple[float, float]]:
    """Weight and interval as they were given, or else as the prior's card advises.

    Args:
        card: Of the prior.
        weight: As given; None: the card's where something is asked for, else 1.
        interval: As given; None: the card's if its weight is used, else all levels.
        asked: Whether a condition is asked for.
    """
    advice = card.guidance if asked and weight is None else None
    everywhere = (0.0, math.inf)
    if advice is None:
        return 1.0 if weight is None else weight, interval or everywhere
    return advice.weight, interval or (advice.low, math.inf if advice.high is None else advice.high)


def without_conditions(cond: Mapping[str, Tensor], slots: ConditionSlots) -> dict[str, Tensor]:
    """The null token of every condition; what else the network is told (position, images) stays."""
    null: dict[str, Tensor] = {}
    for name, value in cond.items():
        if name in slots.categorical:
            null[name] = torch.full_like(value, UNKNOWN_CATEGORY)
        elif name in slots.continuous:
            null[name] = torch.full_like(value, math.nan)
        else:
            null[name] = value
    return null


def of_reference(cond: Mapping[str, Tensor], ours: ConditionSlots, theirs: ConditionSlots) -> dict[str, Tensor]:
    """The conditions that a reference prior takes too."""
    lost = {*ours.categorical, *ours.continuous} - {*theirs.categorical, *theirs.continuous}
    return {name: value for name, value in cond.items() if name not in lost}


__all__ = ["Guidance", "advised", "of_reference", "parse_interval", "without_conditions"]
