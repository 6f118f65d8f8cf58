"""Euler's method on the probability-flow ODE: first order, one evaluation a step."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from medidiff.diffusion.signatures import Callback, Denoise


def sample_euler(
    denoise: Denoise, x: Float[Tensor, "*shape"], sigmas: Float[Tensor, " n"], callback: Callback | None = None
) -> Float[Tensor, "*shape"]:
    """Solve dx/dt = (x - D(x; t)) / t from sigmas[0] to sigmas[-1].

    Args:
        denoise: D(x, t), t 0-dim.
        x: State at sigmas[0].
        sigmas: Decreasing levels; the last may be 0.
        callback: Called as callback(i, t, denoised) at every step.

    Returns:
        State at sigmas[-1]; n - 1 evaluations.

    Source: Karras et al. 2022, Algorithm 1 without lines 6 to 8.
    """
    for i, (t, t_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, t)
        if callback is not None:
            callback(i, t, denoised)
        d = (x - denoised) / t
        x = x + (t_next - t) * d
    return x
