"""The fused observation: the scan y at its noise map and the sampler's state at one level are one observation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from medidiff.diffusion.signatures import Denoise, DenoiseMap, Fuse

START_FACTOR = 6.0
"""The sampler starts at this many times the largest noise level."""


class Start(NamedTuple):
    """State of the ODE at the starting level, and the denoiser's answer there."""

    x: Float[Tensor, "b c x y z"]
    denoised: Float[Tensor, "b c x y z"]


def fuse(
    x_t: Float[Tensor, "b c x y z"], y: Float[Tensor, "b c x y z"], t: Tensor, noise_map: Tensor
) -> tuple[Float[Tensor, "b c x y z"], Tensor]:
    """Fuse x_t = x0 + t z and y = x0 + m n, independent, into one observation of x0 at the map e.

    Args:
        x_t: State of the sampler.
        y: Observed scan; ignored, whatever it holds, where the map is infinite.
        t: Level of `x_t`, positive, 0-dim.
        noise_map: m, 0-dim or broadcastable to `y`; inf where nothing is observed (then w = 1, e = t).

    Returns:
        w x_t + (1 - w) y, and its map e = (1/m^2 + 1/t^2)^(-1/2) in the shape of `noise_map`.
    """
    unobserved = torch.isinf(noise_map)
    m = torch.where(unobserved, t, noise_map)  # any finite level: replaced below
    w = m**2 / (m**2 + t**2)  # = e^2 / t^2
    x = torch.where(unobserved, x_t, w * x_t + (1 - w) * y)
    e = torch.where(unobserved, t, m * t / torch.hypot(m, t))
    return x, e


def fuse_coloured(
    x_t: Float[Tensor, "b c x y z"], y: Float[Tensor, "b c x y z"], tau: Tensor, noise_map: Tensor
) -> tuple[Float[Tensor, "b c x y z"], Tensor]:
    """Fuse x_t = x0 + tau m L z and y = x0 + m L n: the same map m and shape L, so one weight serves all voxels.

    Args:
        x_t: State of the sampler.
        y: Observed scan.
        tau: Level of `x_t` in multiples of the scan's own noise, positive, 0-dim.
        noise_map: m, 0-dim or broadcastable to `y`; finite.

    Returns:
        w x_t + (1 - w) y with w = 1 / (1 + tau^2), and its map e = m tau / sqrt(1 + tau^2); its noise is e L n.
    """
    w = 1 / (1 + tau**2)
    return w * x_t + (1 - w) * y, noise_map * tau * w.sqrt()


def posterior_denoiser(
    denoise_map: DenoiseMap, y: Float[Tensor, "b c x y z"], noise_map: Tensor, fuse: Fuse = fuse
) -> Denoise:
    """The denoiser of plain diffusion on p(x0 | y): (x, t) -> E[x0 | x_t, y] = D(w x_t + (1 - w) y; e).

    Args:
        denoise_map: D(x, sigma) with a map.
        y: Observed scan.
        noise_map: Its noise map, inf where nothing is observed.
        fuse: `fuse`, or `fuse_coloured` for a denoiser that is told the shape of the noise.
    """

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        return denoise_map(*fuse(x_t, y, t, noise_map))

    return denoise


def starting_level(noise_map: Tensor, sigma_max: float) -> float:
    """Level at which the sampler starts: six times the largest of the map, at most sigma_max.

    Six times the largest level is at least six times the largest posterior standard deviation. It is sigma_max where
    something is not observed.
    """
    return min(START_FACTOR * float(noise_map.max()), sigma_max)


def fill_unobserved(y: Float[Tensor, "b c x y z"], noise_map: Tensor, fill: Tensor) -> Float[Tensor, "b c x y z"]:
    """`y` where it is observed, `fill` elsewhere.

    A network expects noise at sigma_max where nothing is observed: pass `sigma_max * z`.
    """
    return torch.where(torch.isinf(noise_map), fill, y)


def posterior_start(
    denoise_map: DenoiseMap,
    y: Float[Tensor, "b c x y z"],
    noise_map: Tensor,
    t_0: float,
    z: Float[Tensor, "b c x y z"],
    fill: Float[Tensor, "b c x y z"],
    fuse: Fuse = fuse,
) -> Start:
    """State of the ODE at the starting level, two evaluations.

    The state is E[x0 | y] + t_0 z plus the posterior's own spread C, which is small beside t_0^2 but not nothing: left
    out, the samples lack C / t_0^2 of their variance (3% at six times the level, 4% at five times the prior's spread).
    For a Gaussian posterior D moves by C / (C + t_0^2) t_0 z, so half of that move restores C to first order.

    Args:
        denoise_map: D(x, sigma) with a map.
        y: Observed scan.
        noise_map: Its noise map, inf where nothing is observed.
        t_0: Starting level, see `starting_level`.
        z: Standard normal; for `fuse_coloured` the scan's kind of noise, m L times a standard normal.
        fill: Standard normal, independent of z; t_0 times it stands for `y` where nothing is observed, since noise at
            the highest level is what a network expects there.
        fuse: As for `posterior_denoiser`.

    Returns:
        The state, and D at that level: of the state before the half move, which changes it by (C / t_0^2)^2 / 2 of
        t_0 z only (0.1% at five times the prior's spread), so that the first step needs no evaluation.
    """
    mean = denoise_map(fill_unobserved(y, noise_map, t_0 * fill), noise_map)
    x = mean + t_0 * z
    denoised = posterior_denoiser(denoise_map, y, noise_map, fuse)(x, x.new_tensor(t_0))
    return Start(x + (denoised - mean) / 2, denoised)
