"""Which draws are thrown away: not finite, intensities no scan has, a mask that is missing or of another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from medidiff.errors import UsageError
from medidiff.prior import Card
from medidiff.tasks.measured import MEASURABLE, TOLERANCE, missed
from medidiff.tasks.sample_maker import Sample

LOWEST, HIGHEST = -2.0, 2.5
"""Normalised intensities beyond these are rare: val scans have none below -1.15, and above 2.5 (bright vessels) at most
0.16% of a hippocampus crop and 0.015% of a whole head."""
MOST_BEYOND = 0.005
"""Three times the largest share that a val scan has beyond the limits."""
LEAST_SPREAD = 0.05
"""Standard deviation of normalised intensities under which a scan is empty; val scans have 0.50 to 0.58."""


def problems(sample: Sample, measured: Mapping[str, float], checks: Mapping[str, float]) -> list[str]:
    """Why a sample is not kept; empty where it is. Each begins with the rule's name and a colon.

    Args:
        sample: The sample.
        measured: From `tasks.measured`.
        checks: Largest relative error of a measured condition, by its name.
    """
    if not np.isfinite(sample.image).all():
        return [f"not finite: {int((~np.isfinite(sample.image)).sum())} voxels"]
    found = []
    beyond = float(((sample.image < LOWEST) | (sample.image > HIGHEST)).mean())
    if beyond > MOST_BEYOND:
        found.append(f"intensity range: {beyond:.2%} of the voxels beyond {LOWEST:g} to {HIGHEST:g}")
    if float(sample.image.std()) < LEAST_SPREAD:
        found.append(f"flat: standard deviation {float(sample.image.std()):.3g}")
    if sample.mask is not None and not sample.mask.any():
        return [*found, "mask empty: no voxel"]
    for name, asked, got in missed(sample.conditions, measured, checks):
        found.append(f"{name}: asked for {asked:.4g}, measured {got:.4g}")
    return found


def default_checks(card: Card) -> dict[str, float]:
    """`TOLERANCE` for every condition that this prior takes and its samples let one measure."""
    return dict.fromkeys(_measurable(card), TOLERANCE)


def parse_checks(texts: Sequence[str], card: Card) -> dict[str, float]:
    """What --check says: "name=10%" or "none"; nothing said: `default_checks`.

    Raises:
        UsageError: A condition that cannot be measured, or no percentage.
    """
    if not texts:
        return default_checks(card)
    if list(texts) == ["none"]:
        return {}
    checks = {}
    for text in texts:
        name, _, percent = text.partition("=")
        if name not in _measurable(card):
            known = ", ".join(_measurable(card)) or "no condition"
            raise UsageError(f"--check {text}: of the prior {card.name}, {known} can be measured in a sample. Or none.")
        try:
            value = float(percent.strip().removesuffix("%")) / 100
        except ValueError:
            value = -1.0
        if not 0 < value <= 10:
            raise UsageError(f"--check {text}: must be a percentage such as {name}=10%.")
        checks[name] = value
    return checks


def _measurable(card: Card) -> list[str]:
    return [name for name in MEASURABLE if card.masks and name in card.conditions.continuous]


__all__ = ["default_checks", "parse_checks", "problems"]
