"""Accuracy of the sampler over wide ranges of levels: a Gaussian with a hole, where the answer is exact.

`python -m benchmarks.sampler_range` prints, for each last level, first level and number of steps of 2M, the error of
the sampled covariance: relative Frobenius norm, and the worst voxel's variance. The sampler's output is linear in the
normal numbers it draws, so basis vectors are pushed through it and nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import torch
from torch import Tensor

from medidiff.diffusion import GaussianDenoiser, sample_posterior, sampling

N = 64
LAST, FIRST, STEPS = (0.002, 0.01, 0.02), (80.0, 20.0), (20, 30, 40)


def covariance_error(last: float, first: float, steps: int) -> tuple[float, float]:
    """Relative error of the sampled covariance, and of the worst voxel's variance."""
    place = torch.arange(N, dtype=torch.float64)
    gap = (place[:, None] - place[None]).abs()
    covariance = 0.25 * (0.75 * torch.exp(-(gap**2) / 128) + 0.25 * torch.exp(-gap / 2))
    gaussian = GaussianDenoiser(torch.zeros(1, N, 1, 1), covariance)
    noise_map = torch.full((1, 1, N, 1, 1), 0.1, dtype=torch.float64)
    noise_map[:, :, 20:44] = float("inf")
    zero, eye = torch.zeros(N, N, dtype=torch.float64), torch.eye(N, dtype=torch.float64)
    draws: Iterator[Tensor] = iter(torch.cat(pair).reshape(2 * N, 1, N, 1, 1) for pair in ((eye, zero), (zero, eye)))
    with mock.patch.object(sampling, "_draw", side_effect=lambda *_: next(draws)):
        out = sample_posterior(
            gaussian,
            torch.zeros(2 * N, 1, N, 1, 1, dtype=torch.float64),
            noise_map,
            n_steps=steps,
            sigma_min=last,
            sigma_max=first,
            generators=[torch.Generator() for _ in range(2 * N)],
        ).x.reshape(2 * N, N)
    sampled = out.T @ out
    exact = gaussian.posterior(torch.zeros(1, 1, N, 1, 1), noise_map).covariance
    return float((sampled - exact).norm() / exact.norm()), float((sampled.diag() / exact.diag() - 1).abs().max())


def main() -> None:
    """Print the table."""
    print("| last level | first level | " + " | ".join(f"{n} steps" for n in STEPS) + " |")
    print("|---|---|" + "---|" * len(STEPS))
    for last in LAST:
        for first in FIRST:
            cells = [f"{100 * a:.1f}% ({100 * b:.1f}%)" for a, b in (covariance_error(last, first, n) for n in STEPS)]
            print(f"| {last} | {first:g} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
