"""Guidance: away from a weaker or unconditional reference, in a middle interval of levels."""

from __future__ import annotations

import torch
from torch import Tensor

from medidiff.diffusion.signatures import DenoiseMap


def guided(
    denoise: DenoiseMap, reference: DenoiseMap, weight: float, interval: tuple[float, float] = (0.0, float("inf"))
) -> DenoiseMap:
    """D_ref + w (D - D_ref) where low < sigma <= high, plain D elsewhere.

    The reference is evaluated only when some voxel's level lies inside the interval and w is not 1.

    Args:
        denoise: D(x, sigma); sigma 0-dim or a map, in which case the choice is made voxel by voxel.
        reference: Unconditional (classifier-free guidance) or a smaller, less trained network (autoguidance).
        weight: w; 0 is the reference, 1 the denoiser, above 1 guided.
        interval: (low, high), normalised units.

    Source: Ho and Salimans 2022 (arXiv 2207.12598); Karras et al. 2024 (arXiv 2406.02507), Eq. 3; the interval is
        that of Kynkäänniemi et al. 2024 (arXiv 2404.07724), Eq. 5.
    """
    low, high = interval

    def denoise_guided(x: Tensor, sigma: Tensor) -> Tensor:
        denoised = denoise(x, sigma)
        inside = (sigma > low) & (sigma <= high)
        if weight == 1 or not bool(inside.any()):
            return denoised
        denoised_ref = reference(x, sigma)
        return torch.where(inside, denoised_ref + weight * (denoised - denoised_ref), denoised)

    return denoise_guided
