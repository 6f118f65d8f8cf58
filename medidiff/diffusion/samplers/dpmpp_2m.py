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

    The first step, and the last when it goes to 0, are first order. The extrapolation is weighted, see
    `extrapolation_weight`: as published (weight 1) the samples of a Gaussian are up to 4.5% too wide.

    Args:
        denoise: D(x, t), t 0-dim.
        x: State at sigmas[0].
        sigmas: Decreasing levels; the last may be 0.
        callback: Called as callback(i, t, denoised) at every step.

    Returns:
        State at sigmas[-1]; n - 1 evaluations.

    Source: Lu et al. 2022 (arXiv 2211.01095), Algorithm 2, with alpha = 1 and lambda = -ln(t); the weight
        is ours.
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
            extrapolated = denoised + extrapolation_weight(h) / (2 * r) * (denoised - previous)
        x = (t_next / t) * x - torch.expm1(-h) * extrapolated
        previous, h_previous = denoised, h
    return x


def extrapolation_weight(h: Tensor) -> Tensor:
    """The share of 2M's extrapolation that is made, min(1, 1 - h/4 + h^2/8) for a step of h in ln(t).

    Found for Gaussians: of data with variance C, sampled in equal steps h from far above sqrt(C) to far below, the
    variance comes out right at the weights 0.976, 0.937, 0.910, 0.890, 0.905 and 0.956 for h = 0.1, 0.3, 0.5, 0.9, 1.3
    and 1.8, whatever C; the polynomial is within 0.02 of them. It is 1 + O(h), so the order stays two. At 10 steps from
    100 to 0.01 the deviations of a Gaussian's modes come out 6.5% wrong in place of 10.7% (root mean square; at 17
    steps 2.0% in place of 4.5%; `python -m benchmarks.sampler_range`).
    """
    return (1 - h / 4 + h**2 / 8).clamp(max=1)
