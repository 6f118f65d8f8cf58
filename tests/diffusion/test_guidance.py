import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import GaussianDenoiser, guided, sample_posterior

X = torch.randn(1, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (1 + sigma**2)


def reference(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (2 + sigma)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.5])
def test_algebra(weight: float) -> None:
    t = torch.tensor(0.8)
    expected = reference(X, t) + weight * (denoise(X, t) - reference(X, t))
    torch.testing.assert_close(guided(denoise, reference, weight)(X, t), expected)


def test_guiding_by_itself_changes_nothing() -> None:
    t = torch.tensor(0.8)
    torch.testing.assert_close(guided(denoise, denoise, 3.0)(X, t), denoise(X, t))


@pytest.mark.parametrize(("sigma", "inside"), [(0.1, False), (0.3, False), (0.31, True), (2.0, True), (2.1, False)])
def test_only_inside_the_interval(sigma: float, inside: bool) -> None:
    calls = 0

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return reference(x, sigma)

    t = torch.tensor(sigma)
    out = guided(denoise, counted, 2.0, (0.3, 2.0))(X, t)
    expected = 2 * denoise(X, t) - reference(X, t) if inside else denoise(X, t)
    torch.testing.assert_close(out, expected)
    assert calls == int(inside), "the reference costs an evaluation only where it is used"


def test_a_map_is_guided_voxel_by_voxel() -> None:
    sigma = torch.full_like(X, 0.1)
    sigma[..., 1] = 1.0
    sigma[..., 0, 0] = math.inf
    out = guided(denoise, reference, 2.0, (0.3, 2.0))(X, sigma)
    plain, both = denoise(X, sigma), 2 * denoise(X, sigma) - reference(X, sigma)
    torch.testing.assert_close(out, torch.where(sigma == 1.0, both, plain))


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_a_guided_gaussian_is_a_gaussian_further_on(weight: float) -> None:
    """Two Gaussians of one covariance C and means mu_0, mu_1: both denoisers are mu + K (x - mu) with the same K, so
    the guided one is that of the mean mu_0 + w (mu_1 - mu_0), and its samples are exactly that Gaussian's."""
    shape, n = (2, 2, 2, 2), 16  # two channels of 2^3 voxels
    generator = torch.Generator().manual_seed(5)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64) / 4
    covariance = root @ root.T + 0.01 * torch.eye(n, dtype=torch.float64)
    mu_0, mu_1, y = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3))
    first, second = GaussianDenoiser(mu_0, covariance), GaussianDenoiser(mu_1, covariance)
    further = GaussianDenoiser(mu_0 + weight * (mu_1 - mu_0), covariance)
    levels = torch.full((1, *shape), 0.05, dtype=torch.float64)  # the second channel is observed, the first is not
    levels[:, 0] = math.inf
    denoiser = guided(second, first, weight)
    torch.testing.assert_close(denoiser(y[None], levels), further(y[None], levels), atol=1e-12, rtol=0)
    settings = {"n_steps": 8, "sigma_min": 0.01, "sigma_max": 20.0}
    drawn = [
        sample_posterior(d, y[None], levels, generators=[torch.Generator().manual_seed(1)], **settings).x  # type: ignore[arg-type]
        for d in (denoiser, further)
    ]
    torch.testing.assert_close(drawn[0], drawn[1], atol=1e-9, rtol=0)  # rounding of 8 steps, levels from 20
    interval = guided(second, first, weight, (0.1, 2.0))(y[None], levels)
    assert torch.equal(interval, second(y[None], levels)), "neither 0.05 nor infinity lies in the interval"
