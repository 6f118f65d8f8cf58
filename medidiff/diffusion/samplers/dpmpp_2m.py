"""DPM-Solver++(2M) on the probability-flow ODE: second order, one evaluation a step."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from medidiff.diffusion.signatures import Callback, Denoise


def sample_dpmpp_2m(
    denoise: Denoise, x: Float[Tensor, "*shape"], sigmas: Float[Tensor, " n"], callback: Callback | None = None
) -> Float[Tensor, "*shape"]:
    """Solve dx/dt = (x - D(x; t)) / t from sigmas[0] to sigmas[-1].

    The first step, and the last when it goes to 0, are first order.

    Args:
        denoise: D(x, t), t 0-dim.
        x: State at sigmas[0].
        sigmas: Decreasing levels; the last may be 0.
        callback: Called as callback(i, t, denoised) at every step.

    Returns:
        State at sigmas[-1]; n - 1 evaluations.

    Source: Lu et al. 2022 (arXiv 2211.01095), Algorithm 2, with alpha = 1 and lambda = -ln(t).
    """
    previous, h_previous = None, None
    for i, (t, t_next) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, t)
        if callback is not None:
            callback(i, t, denoised)
        h = torch.log(t / t_next)  # infinite when t_next is 0
        extrapolated = denoised
        if previous is not None and h_previous is not None and t_next > 0:
            r = h_previous / h
            extrapolated = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * previous
        x = (t_next / t) * x - torch.expm1(-h) * extrapolated
        previous, h_previous = denoised, h
    return x
