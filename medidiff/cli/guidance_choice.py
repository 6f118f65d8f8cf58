"""What was said about guidance: how strongly, at which levels, away from which prior."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cli.choices import PriorChoice

if TYPE_CHECKING:
    from medidiff.tasks.guidance import Guidance


@dataclass(frozen=True)
class GuidanceChoice:
    """The values of --guidance, --guidance-interval and --guidance-prior, checked when first used.

    Args:
        weight: 1 is none.
        interval: "LO:HI" in normalised units; empty: all levels.
        prior: Name or file of a weaker prior; None: the prior itself without its conditions.
    """

    weight: float = 1.0
    interval: str = ""
    prior: str | None = None

    @functools.cached_property
    def guidance(self) -> Guidance:
        """All of it as the tasks take it.

        Raises:
            UsageError: A number that has no meaning.
            PriorError: The weaker prior is missing or damaged.
        """
        from medidiff.tasks.guidance import Guidance, parse_interval

        interval = parse_interval(self.interval) if self.interval else (0.0, float("inf"))
        return Guidance(self.weight, interval, None if self._prior is None else self._prior.loaded)

    @functools.cached_property
    def _prior(self) -> PriorChoice | None:
        return None if self.prior is None else PriorChoice(self.prior)

    @property
    def inputs(self) -> list[Path]:
        """Files read."""
        return [] if self._prior is None else [self._prior.path]

    def settings(self) -> dict[str, Any]:
        """What of it decides the samples; empty where it is none."""
        if self.weight == 1:
            return {}
        told: dict[str, Any] = {"guidance": self.weight}
        if self.interval:
            told["guidance_interval"] = self.interval
        if self._prior is not None:
            told["guidance_prior"] = self._prior.identity
        return told
