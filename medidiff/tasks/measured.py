"""Conditions that can be measured in what was made, and how far they miss what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medidiff.tasks.conditions import Value

VOLUME = "volume_ml"
MEASURABLE = (VOLUME,)
"""Conditions that can be measured in a sample, and how: `volume_ml` by the mask."""
TOLERANCE = 0.1
"""How far a measured condition may miss, as a share of what was asked for, where nobody says otherwise."""


def measure(mask: np.ndarray | None, voxel_mm3: float) -> dict[str, float]:
    """What can be measured in a label map: `volume_ml` of everything it names.

    Args:
        mask: (x, y, z), 0 outside; None where there is none.
        voxel_mm3: Volume of its voxels.
    """
    if mask is None:
        return {}
    return {VOLUME: float(np.count_nonzero(mask)) * voxel_mm3 / 1000}


def missed(
    asked: Mapping[str, Value], measured: Mapping[str, float], tolerances: Mapping[str, float]
) -> list[tuple[str, float, float]]:
    """Conditions that miss by more than is allowed: name, what was asked for, what was measured.

    Args:
        asked: Conditions of a sample.
        measured: From `measure`.
        tolerances: Largest relative error, by the condition's name.
    """
    found = []
    for name, tolerance in sorted(tolerances.items()):
        wanted, got = asked.get(name), measured.get(name)
        if isinstance(wanted, (int, float)) and got is not None and abs(got - wanted) > tolerance * abs(wanted):
            found.append((name, float(wanted), got))
    return found


__all__ = ["MEASURABLE", "TOLERANCE", "VOLUME", "measure", "missed"]
