"""Noise levels of the sampler's steps."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def karras_sigmas(
    n: int, sigma_min: float, sigma_max: float, rho: float = 7.0, *, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " n_plus_1"]:
    """Decreasing levels from sigma_max to sigma_min, then 0.

    Args:
        n: Number of levels above zero; 1 gives (sigma_max, 0).
        sigma_min: Last level above zero.
        sigma_max: First level.
        rho: Larger puts more of the levels near sigma_min.
        dtype: Of the result; the levels are computed in float64.

    Returns:
        (n + 1,) levels.

    Raises:
        ValueError: n is below 1, or not 0 < sigma_min < sigma_max.

    Source: Karras et al. 2022 (arXiv 2206.00364), Eq. 5.
    """
    if n < 1:
        raise ValueError(f"n {n}: must be at least 1")
    if not 0 < sigma_min < sigma_max < float("inf"):
        raise ValueError(f"sigma_min {sigma_min}, sigma_max {sigma_max}: must be 0 < sigma_min < sigma_max < inf")
    ramp = torch.linspace(0, 1, n, dtype=torch.float64)  # i / (N - 1)
    t = (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho
    t[0] = sigma_max
    return torch.cat([t, torch.zeros(1, dtype=torch.float64)]).to(dtype)
