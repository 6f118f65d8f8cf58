"""Rare conditions apart: what an average over all samples hides, since the rare memorise most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

FEWEST = 20
"""Synthetics that a stratum needs to be tested by itself."""
MOST_VALUES = 12
"""An attribute with more texts than that is no condition but a name."""
RARE = 0.2
"""Share of train at either end of a continuous condition that counts as rare."""
Attributes = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Stratum:
    """Synthetics of one condition.

    Attributes:
        name: Such as "volume_ml up to 2.9" or "sex F".
        members: Numbers of the synthetics.
    """

    name: str
    members: np.ndarray


def strata_of(synthetic: Sequence[Attributes], real: Sequence[Attributes]) -> list[Stratum]:
    """The strata that are large enough, by what was asked for or measured of the synthetics.

    Of a number: what lies in the lowest and in the highest fifth of the train scans (of the synthetics themselves where
    train says nothing). Of a text: every value.

    Args:
        synthetic: Attributes of each synthetic.
        real: Of each train scan.
    """
    found = []
    names = sorted({name for row in synthetic for name, value in row.items() if value is not None})
    for name in names:
        if name.startswith("measured_") and name.removeprefix("measured_") in names:
            continue  # what was asked for says it already
        values = [row.get(name) for row in synthetic]
        if any(isinstance(value, str) for value in values):
            found += _by_text(name, values)
        else:
            known = [row.get(name.removeprefix("measured_")) for row in real]
            found += _by_number(name, values, known)
    return found


def _by_text(name: str, values: Sequence[float | str | None]) -> list[Stratum]:
    kinds = sorted({value for value in values if isinstance(value, str)})
    if not 1 < len(kinds) <= MOST_VALUES:
        return []
    groups = [Stratum(f"{name} {kind}", np.array([v == kind for v in values]).nonzero()[0]) for kind in kinds]
    return [group for group in groups if len(group.members) >= FEWEST]


def _by_number(name: str, values: Sequence[float | str | None], known: Sequence[float | str | None]) -> list[Stratum]:
    numbers = np.array([value if isinstance(value, (int, float)) else np.nan for value in values], dtype=float)
    real = np.array([value for value in known if isinstance(value, (int, float))], dtype=float)
    basis = real[np.isfinite(real)] if len(real) else numbers[np.isfinite(numbers)]
    if len(basis) < FEWEST or np.ptp(basis) == 0:
        return []
    low, high = np.quantile(basis, (RARE, 1 - RARE))
    with np.errstate(invalid="ignore"):
        ends = [
            Stratum(f"{name} up to {low:.4g}", np.flatnonzero(numbers <= low)),
            Stratum(f"{name} from {high:.4g}", np.flatnonzero(numbers >= high)),
        ]
    return [end for end in ends if FEWEST <= len(end.members) < len(values)]


__all__ = ["FEWEST", "Stratum", "strata_of"]
