"""What was said about guidance: how strongly, at which levels, away from which prior."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medidiff.cli.choices import PriorChoice

if TYPE_CHECKING:
    from medidiff.prior import Card
    from medidiff.tasks.guidance import Guidance


@dataclass(frozen=True)
class GuidanceChoice:
    """The values of --guidance, --guidance-interval and --guidance-prior, checked when first used.

    Args:
        weight: 1 is none; None: what the prior's card advises.
        interval: "LO:HI" in normalised units; empty: all levels, or those that the card advises.
        prior: Name or file of a weaker prior; None: the prior itself without its conditions.
    """

    weight: float | None = None
    interval: str = ""
    prior: str | None = None

    def guidance(self, card: Card, asked: bool) -> Guidance:
        """All of it as the tasks take it.

        Args:
            card: Of the prior that is guided.
            asked: Whether a condition is asked for.

        Raises:
            UsageError: A number that has no meaning.
            PriorError: The weaker prior is missing or damaged.
        """
        from medidiff.tasks.guidance import Guidance, advised, parse_interval

        interval = parse_interval(self.interval) if self.interval else None
        weight, interval = advised(card, self.weight, interval, asked and self._prior is None)
        return Guidance(weight, interval, None if self._prior is None else self._prior.loaded)

    @functools.cached_property
    def _prior(self) -> PriorChoice | None:
        return None if self.prior is None else PriorChoice(self.prior)

    @property
    def inputs(self) -> list[Path]:
        """Files read."""
        return [] if self._prior is None else [self._prior.path]

    def settings(self) -> dict[str, Any]:
        """What of it decides the samples; empty where it is none."""
        told: dict[str, Any] = {} if self.weight is None else {"guidance": self.weight}
        if self.interval:
            told["guidance_interval"] = self.interval
        if self._prior is not None:
            told["guidance_prior"] = self._prior.identity
        return told
