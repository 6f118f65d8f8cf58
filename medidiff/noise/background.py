"""Background that holds noise and nothing else: it tells Rician noise from Gaussian, and how much there is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

_RAYLEIGH_RATIO = 1.913  # mean over standard deviation of pure Rician noise: sqrt(pi / (4 - pi))
_RAYLEIGH_MEAN = 1.2533  # mean of pure Rician noise in units of its level: sqrt(pi / 2)
_RATIO_TOLERANCE = 0.12  # Gaussian noise folded at zero has 1.32, four coils added up in squares 3.9
# The mean of the 64 values of a cube has a standard deviation of 0.08 levels; the rest is for an inexact level.
_WINDOW = 0.35
_LEAST_SHARE, _FEWEST_CUBES = 0.02, 8


class Background(NamedTuple):
    """What was found.

    Attributes:
        rayleigh: Whether there is background of pure Rician noise (its magnitudes have Rayleigh's distribution).
        reason: One sentence.
        level: Its level, nan when it is not Rayleigh.
    """

    rayleigh: bool
    reason: str
    level: float = float("nan")


def find_background(
    scan: Float[np.ndarray, "x y z"], level: float, usable: Bool[np.ndarray, "x y z"] | None = None
) -> Background:
    """Look for cubes of 4 x 4 x 4 voxels whose values are noise alone.

    Args:
        scan: The scan.
        level: Its noise level, known to about a fifth.
        usable: Voxels to look at; None: all.
    """
    if scan.min() < 0:
        return Background(False, "the scan has negative values")
    x, y, z = (n // 4 * 4 for n in scan.shape)
    if min(x, y, z) == 0 or not level > 0:
        return Background(False, "too small to look for background")

    def cubes(a: np.ndarray) -> np.ndarray:
        a = a[:x, :y, :z].reshape(x // 4, 4, y // 4, 4, z // 4, 4)
        return a.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 64)

    values = cubes(scan) if usable is None else cubes(scan)[cubes(usable).all(axis=1)]
    mean = values.mean(axis=1)
    background = values[:0]
    for _ in range(5):
        background = values[np.abs(mean / level - _RAYLEIGH_MEAN) < _WINDOW]
        if len(background) < max(_FEWEST_CUBES, _LEAST_SHARE * len(values)):
            return Background(False, "no background with noise in it (masked, or filled by the body)")
        level = float(np.sqrt(np.square(background, dtype=np.float64).mean() / 2))  # E[z^2] = 2 s^2
    std = float(np.sqrt(background.var(axis=1, ddof=1).mean()))
    ratio = float(background.mean()) / std if std > 0 else np.inf
    if abs(ratio / _RAYLEIGH_RATIO - 1) > _RATIO_TOLERANCE:
        return Background(False, f"the background's mean over standard deviation is {ratio:.2f}, Rician noise has 1.91")
    reason = f"the background's mean over standard deviation is {ratio:.2f}, as Rician noise has it (1.91)"
    return Background(True, reason, level)


__all__ = ["Background", "find_background"]
