"""Samples of p(x0 | y); with nothing observed they are samples of the prior. One path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from medidiff.diffusion.fusion import (
    START_FACTOR,
    fuse,
    fuse_coloured,
    posterior_denoiser,
    posterior_start,
    starting_level,
)
from medidiff.diffusion.samplers import sample_dpmpp_2m, sample_euler, sample_heun
from medidiff.diffusion.schedules import karras_sigmas
from medidiff.diffusion.signatures import Callback, Colour, Denoise, DenoiseMap, Sampler
from medidiff.errors import NoiseError

SAMPLERS: dict[str, Sampler] = {"2m": sample_dpmpp_2m, "heun": sample_heun, "euler": sample_euler}
"""Samplers by the name a user gives."""
LAST_TAU = 0.1
"""Coloured noise: the last level is at most this multiple of the scan's noise, since it loses that squared (1%) of the
variance in directions that the noise leaves open."""


class Samples(NamedTuple):
    """Samples and what they cost.

    Attributes:
        x: (b, c, x, y, z), one sample per generator.
        nfe: Network evaluations of the whole batch, counted.
    """

    x: Tensor
    nfe: int


@torch.no_grad()
def sample_posterior(
    denoise_map: DenoiseMap,
    y: Float[Tensor, "b c x y z"],
    noise_map: Tensor,
    *,
    n_steps: int = 20,
    sigma_min: float,
    sigma_max: float,
    sampler: Sampler = sample_dpmpp_2m,
    generators: Sequence[Generator],
    callback: Callback | None = None,
    colour: Colour | None = None,
    last: DenoiseMap | None = None,
) -> Samples:
    """Draw one sample of p(x0 | y) per batch entry.

    With `colour` the noise is y - x0 = m L n for a fixed shape L. The sampler's own noise then has the same shape,
    x_t = x0 + tau m L z, so that scan and state are one observation voxel by voxel, and levels are multiples tau of
    the scan's noise, from six down.

    Args:
        denoise_map: D(x, sigma) -> clean estimate; sigma is 0-dim or broadcasts to x and holds inf where nothing is
            observed (only in the first evaluation, of D(y; m)).
        y: Observed scan, normalised; repeat it for several samples. Ignored where the map is infinite.
        noise_map: Its noise level, 0-dim or broadcastable to `y`; inf where nothing is observed.
        n_steps: Steps. Euler and 2M cost n_steps + 1 evaluations, Heun 2 n_steps. On a Gaussian, 2M's variances are
            within 3.1% at 20 steps and 0.6% at 40 when the levels span a factor of 8000.
        sigma_min: Last level before 0; the last step loses sigma_min^2 of the variance, so it should be a tenth of the
            smallest deviation that matters. Lowered to a tenth of the starting level where that is smaller.
        sigma_max: Largest level the denoiser knows.
        sampler: Solver.
        generators: One per batch entry, so that a sample does not depend on the batch it is drawn in.
        callback: Called as callback(i, t, denoised) at every step; t is tau with `colour`.
        colour: L, see `noise_shape`; None: white. `denoise_map` must be told the same shape (`NOISE_CORRELATION`).
        last: Denoiser of the last step, whose answer is the sample; None: `denoise_map`.

    Raises:
        NoiseError: the map has a level that is not positive, its entries need different schedules, or it is infinite
            somewhere and `colour` is given.
        ValueError: there is not one generator per batch entry.
    """
    if len(generators) != y.shape[0]:
        raise ValueError(f"generators: {len(generators)} given for a batch of {y.shape[0]}; one per entry is needed")
    t_0 = _common_start(noise_map, sigma_max)
    if colour is not None and bool(torch.isinf(noise_map).any()):
        raise NoiseError(
            "noise_map: infinite in places (not observed) while the noise is correlated: a hole has no share in its "
            "neighbours' noise. Sample with white noise (--correlated no), or fill the holes first."
        )
    nfe = 0

    def counted(x: Tensor, sigma: Tensor, by: DenoiseMap = denoise_map) -> Tensor:
        nonlocal nfe
        nfe += 1
        return by(x, sigma)

    if colour is None:
        z, fill = _draw(generators, y), _draw(generators, y)
        together, t_last = fuse, min(sigma_min, t_0 / 10)
    else:
        z = fill = noise_map * colour(_draw(generators, y))  # nothing is unobserved: fill is not used
        together, t_0, t_last = fuse_coloured, START_FACTOR, min(sigma_min / float(noise_map.max()), LAST_TAU)
    sigmas = karras_sigmas(n_steps, t_last, t_0, dtype=y.dtype).to(y.device)
    start = posterior_start(counted, y, noise_map, t_0, z, fill, together)
    denoise = _told_first(start.denoised, posterior_denoiser(counted, y, noise_map, together))
    x = sampler(denoise, start.x, sigmas[:-1], callback)
    finish = partial(counted, by=last or denoise_map)  # every solver's step to 0 is first order: to D itself
    x = posterior_denoiser(finish, y, noise_map, together)(x, sigmas[-2])
    if callback is not None:
        callback(n_steps - 1, sigmas[-2], x)
    return Samples(x, nfe)


def sample_prior(
    denoise_map: DenoiseMap,
    shape: tuple[int, int, int, int],
    *,
    n_steps: int = 20,
    sigma_min: float,
    sigma_max: float,
    sampler: Sampler = sample_dpmpp_2m,
    generators: Sequence[Generator],
    device: torch.device | str = "cpu",
    callback: Callback | None = None,
) -> Samples:
    """Draw samples of the prior: `sample_posterior` with nothing observed.

    Args:
        denoise_map: D(x, sigma) -> clean estimate.
        shape: (c, x, y, z) of one sample.
        n_steps: Steps.
        sigma_min: Last level before 0.
        sigma_max: First level.
        sampler: Solver.
        generators: One per sample.
        device: Where the samples are computed.
        callback: Called as callback(i, t, denoised) at every step.
    """
    nothing = torch.zeros(len(generators), *shape, device=device)
    return sample_posterior(
        denoise_map,
        nothing,
        torch.tensor(float("inf"), device=device),
        n_steps=n_steps,
        sigma_min=sigma_min,
        sigma_max=sigma_max,
        sampler=sampler,
        generators=generators,
        callback=callback,
    )


def _told_first(denoised: Tensor, denoise: Denoise) -> Denoise:
    """`denoise`, whose first answer is known already."""
    known = [denoised]

    def answer(x: Tensor, t: Tensor) -> Tensor:
        return known.pop() if known else denoise(x, t)

    return answer


def _draw(generators: Sequence[Generator], y: Tensor) -> Tensor:
    """Standard normal in the shape of `y`, entry by entry, always drawn in float32."""
    draws = [torch.randn(y.shape[1:], generator=g, device=g.device, dtype=torch.float32) for g in generators]
    return torch.stack(draws).to(y)


def _common_start(noise_map: Tensor, sigma_max: float) -> float:
    """The starting level, the same for every entry: a sample must not depend on the others in its batch."""
    if not bool((noise_map > 0).all()):
        raise NoiseError("noise_map: every level must be positive, or infinite where nothing is observed")
    entries = noise_map if noise_map.ndim == 5 else noise_map[None]
    levels = {starting_level(entry, sigma_max) for entry in entries}
    if len(levels) > 1:
        low, high = min(levels), max(levels)
        raise NoiseError(
            f"noise_map: its entries start at levels from {low:.4g} to {high:.4g}. Sample such scans one by one"
        )
    return levels.pop()
