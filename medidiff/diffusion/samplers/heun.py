"""Heun's method on the probability-flow ODE: second order, two evaluations a step."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from medidiff.diffusion.signatures import Callback, Denoise


def sample_heun(
    denoise: Denoise, x: Float[Tensor, "*shape"], sigmas: Float[Tensor, " n"], callback: Callback | None = None
) -> Float[Tensor, "*shape"]:
    """Solve dx/dt = (x - D(x; t)) / t from sigmas[0] to sigmas[-1].

    Args:
        denoise: D(x, t), t 0-dim.
        x: State at sigmas[0].
        sigmas: Decreasing levels; the last may be 0.
        callback: Called as callback(i, t, denoised) at every step, with the estimate at its beginning.

    Returns:
        State at sigmas[-1]; 2 (n - 1) evaluations, one fewer when the last level is 0.

    Source: Karras et al. 2022, Algorithm 1.
    """
    for i, (t, t_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, t)
        if callback is not None:
            callback(i, t, denoised)
        d = (x - denoised) / t
        x_next = x + (t_next - t) * d
        if t_next > 0:
            d_next = (x_next - denoise(x_next, t_next)) / t_next
            x_next = x + (t_next - t) * (d + d_next) / 2
        x = x_next
    return x
