"""A clean part of a scan as its scanner would have measured it: with noise of the scan's level, kind and grain."""

from __future__ import annotations

import numpy as np
import torch

from medidiff.diffusion.noise_shape import noise_shape
from medidiff.tasks.known_noise import KnownNoise


def remeasured(clean: np.ndarray, noise: KnownNoise, level: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add the scan's own noise: white or correlated as it was measured; of a magnitude in every coil's two parts.

    Args:
        clean: (x, y, z), float32, the scan's unit.
        noise: What is known of the scan's noise.
        level: Its level there, one number or a map on the grid of `clean`.
        rng: Source of randomness.
    """
    shape = noise_shape(noise.correlation) if noise.coloured else None

    def draw() -> np.ndarray:
        white = rng.standard_normal(clean.shape, dtype=np.float32)
        grain = white if shape is None else shape(torch.from_numpy(white)).numpy()
        return (grain * level).astype(np.float32, copy=False)

    if not noise.magnitude:
        return clean + draw()
    squares = (np.maximum(clean, 0) + draw()) ** 2
    for _ in range(2 * noise.coils - 1):
        squares += draw() ** 2
    return np.sqrt(squares)


__all__ = ["remeasured"]
