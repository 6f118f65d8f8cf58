"""Training losses: a denoiser on clean or noisy targets, and the log variance of its error."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from medidiff.diffusion.preconditioning import Denoised, loss_weight

_RELATIVE = (0.1, 4.0)
"""Limits of the expected error of a patch: one weighs at most ten times, and at least a quarter, of what it would."""


class NoisyPair(NamedTuple):
    """A training input made from a target that may be noisy itself.

    Attributes:
        y: Network input (b, c, x, y, z).
        level: Total noise map of `y` against the clean scan, what the denoiser is told.
        a: Share of the denoiser's output in the prediction of the target, sigma^2/(sigma^2 + tau^2).
        kept: For coloured noise on a noisy target: the share of y - D that belongs to the target, per frequency.
    """

    y: Tensor
    level: Tensor
    a: Tensor
    kept: Tensor | None = None


def corrupt(
    target: Float[Tensor, "b c x y z"], tau: Float[Tensor, "b t 1 1 1"], level: Tensor, noise: Tensor
) -> NoisyPair:
    """Add noise so that the total against the CLEAN scan is `level`.

    Args:
        target: Scan r = x0 + tau n, normalised.
        tau: Its own white noise level, one for all channels or one each; 0 for a clean source.
        level: Wanted total level, (b, c, 1, 1, 1) or a map; voxels below tau stay at tau and teach nothing.
        noise: Standard normal, shape of `target`.

    Returns:
        The pair; with tau = 0 it is target + level * noise, level, 1.
    """
    variance = (level**2 - tau**2).clamp_min(0)
    total = (variance + tau**2).sqrt()
    a = torch.where(tau > 0, variance / (variance + tau**2).clamp_min(1e-20), torch.ones_like(variance))
    return NoisyPair(target + variance.sqrt() * noise, total, a)


def corrupt_coloured(
    target: Float[Tensor, "1 c x y z"], tau: Float[Tensor, "1 1 1 1 1"], level: Tensor, noise: Tensor, power: Tensor
) -> NoisyPair:
    """`corrupt` with coloured noise; the target's own noise stays white.

    Of the total noise n, E[own | n] = tau^2 / (tau^2 + sigma^2 P) n, frequency by frequency: the split of white noise
    with the spectrum P in the place of 1. It needs one level for the whole patch where tau is not 0.

    Args:
        target: One scan, normalised.
        tau: Its own white noise level.
        level: Wanted total level, (1, c, 1, 1, 1); a map only where tau is 0.
        noise: Unit noise of that spectrum, shape of `target`.
        power: Its spectrum on the rfft grid, mean 1.
    """
    pair = corrupt(target, tau, level, noise)
    if not bool((tau > 0).any()):
        return pair
    variance = (level**2 - tau**2).clamp_min(0)
    kept = tau**2 / (tau**2 + variance * power.to(target.device)).clamp_min(1e-20)
    return pair._replace(kept=kept)


def denoising_error(denoised: Tensor, pair: NoisyPair, target: Tensor, sigma_data: Tensor) -> Tensor:
    """Weighted squared error lambda(level) |a D(y; level) + (1 - a) y - r|^2, voxel by voxel.

    For white Gaussian tau its minimum is the posterior mean of the CLEAN scan: with r = x0 + tau n,
    E[r | y] = a E[x0 | y] + (1 - a) y, since y - x0 is split between tau n and the added noise as
    tau^2 : sigma^2. With tau = 0 it is the loss of Karras et al. 2022, section 5.
    """
    if pair.kept is None:
        prediction = pair.a * denoised + (1 - pair.a) * pair.y
    else:
        removed = torch.fft.rfftn(pair.y - denoised, dim=(-3, -2, -1))
        prediction = denoised + torch.fft.irfftn(pair.kept * removed, s=tuple(pair.y.shape[-3:]), dim=(-3, -2, -1))
    return loss_weight(pair.level, sigma_data) * (prediction - target) ** 2


def clean_squared_error(
    denoised: Tensor, pair: NoisyPair, target: Tensor, tau: Float[Tensor, "b 1 1 1 1"]
) -> Float[Tensor, " b"]:
    """Mean squared error of a denoiser against the CLEAN scan, estimated from a noisy one without bias.

    Compared with the noisy target itself, a denoiser that keeps noise would look the better one. The prediction
    a D + (1 - a) y of the target errs by a (x0 - D) plus what no one can predict, of variance a tau^2.

    Args:
        denoised: D(y; level) (b, c, x, y, z).
        pair: From `corrupt`, white noise of one level a scan above tau.
        target: The noisy target.
        tau: Its own white noise level.

    Returns:
        One value a scan; it may be slightly negative where the true error is near zero.
    """
    squared = (pair.a * denoised + (1 - pair.a) * pair.y - target) ** 2
    unpredictable = pair.a * tau**2
    return ((squared - unpredictable) / pair.a**2).mean(dim=(1, 2, 3, 4))


def mask_error(log_odds: Tensor, target: Tensor) -> Tensor:
    """Deviance of masks, twice the cross entropy in nats, voxel by voxel.

    Its minimum is the posterior mean, like that of the squared error. It needs no weight by level: a voxel whose own
    observation decides it has none. The image's squared error, relative to the one expected, is a deviance too, so the
    two are simply added. (Cross entropy relative to that of the mask's mean, 4 times as much, kept the image from being
    learned at all: 21.9 dB after 600 steps. Half as much gave 24.3 dB after 300; its gradient was 0.4 of the image's.)

    Args:
        log_odds: Of the denoiser, half log odds (b, c, x, y, z).
        target: -1 outside, 1 inside.

    Returns:
        Shape of `target`, at least 0.
    """
    return 2 * (nnf.softplus(2 * log_odds) - (1 + target) * log_odds).clamp_min(0)


def expected_error(
    log_variance: Tensor, pair: NoisyPair, tau: Tensor, u: Tensor, sigma_data: Tensor
) -> Float[Tensor, "b c 1 1 1"]:
    """Weighted error that the denoiser expects of itself in each channel of a patch, relative to that of its level.

    From 1/10 to 4.

    Divided by it, every patch counts alike, flat or full of detail, as in a mean of decibels. It depends on y alone,
    and a weight that does so leaves the posterior mean where the minimum of the squared error is. Given y, a noisy
    target scatters by a^2 Var[x0 | y] + a tau^2 about the prediction (coloured: nearly).

    Args:
        log_variance: Of the denoiser for y.
        pair: What it was given.
        tau: The target's own noise level, (b, 1, 1, 1, 1), or one for each channel.
        u: ln of the weighted error expected at that level, broadcastable to `log_variance`.
        sigma_data: Standard deviation of the clean data.
    """
    squared = pair.a**2 * log_variance.exp() + pair.a * tau**2
    relative = squared * loss_weight(pair.level, sigma_data) * torch.exp(-u)
    return relative.detach().mean(dim=(2, 3, 4), keepdim=True).clamp(*_RELATIVE)


def class_balancing_error(
    denoised: Tensor, other: Tensor, level: Tensor, sigma_data: Tensor, span: tuple[float, float]
) -> Tensor:
    """Weighted squared difference of what is made of one input under its own condition and under one drawn evenly.

    It pulls the rare conditions towards what the common ones know, most at high levels, where the anatomy is decided:
    the paper's factor t/T is here the place of ln(level) between ln(sigma_min) and ln(sigma_max). A quarter of the
    gradient goes the other way round.

    Args:
        denoised: D under the patch's own condition.
        other: D under a condition drawn evenly, for the same input.
        level: Noise map of the input.
        sigma_data: Standard deviation of the clean data.
        span: (sigma_min, sigma_max).

    Source: Qin et al. 2023 (CBDM, arXiv 2305.00562).
    """
    low, high = math.log(span[0]), math.log(span[1])
    place = ((level.log() - low) / (high - low)).clamp(0, 1)
    squared = (denoised - other.detach()) ** 2 + (denoised.detach() - other) ** 2 / 4
    return place * loss_weight(level, sigma_data) * squared


def log_variance_loss(denoised: Denoised, target: Tensor, clean: Float[Tensor, "b ..."]) -> Tensor:
    """Gaussian negative log likelihood of the detached residual, over clean targets only (scalar).

    Args:
        denoised: Output of the denoiser.
        target: Target scan.
        clean: 1 where the target is clean and known, else 0; noisy targets would count their own noise as error.

    Source: Nix and Weigend 1994.
    """
    squared = (denoised.mean.detach() - target) ** 2
    nll = 0.5 * (squared * torch.exp(-denoised.log_variance) + denoised.log_variance)
    weight = clean.expand_as(nll)
    return (weight * nll).sum() / weight.sum().clamp_min(1)
