"""The exact answers are themselves held against the textbook formulas."""

import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import GaussianDenoiser, wiener_denoise, wiener_error


def test_denoiser_is_the_conditional_mean(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor
) -> None:
    # mu + C (C + S)^-1 (x - mu), directly; float64 and a condition number below 1e4 leave 1e-12.
    S = torch.diag(noise_maps["smooth"].flatten() ** 2)
    C, mu = gaussian.covariance, gaussian.mu.flatten()
    direct = mu + C @ torch.linalg.inv(C + S) @ (observed.flatten() - mu)
    torch.testing.assert_close(gaussian(observed, noise_maps["smooth"]).flatten(), direct, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["hole", "slices"])
def test_unobserved_voxels_do_not_count(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, name: str
) -> None:
    # Condition on the observed voxels alone, by the partitioned formula; what y holds elsewhere is NaN.
    m = noise_maps[name].flatten()
    seen = torch.isfinite(m)
    C, mu, y = gaussian.covariance, gaussian.mu.flatten(), observed.flatten()
    gain = C[:, seen] @ torch.linalg.inv(C[seen][:, seen] + torch.diag(m[seen] ** 2))
    hidden = torch.where(torch.isinf(noise_maps[name]), math.nan, observed)
    posterior = gaussian.posterior(hidden, noise_maps[name])
    torch.testing.assert_close(posterior.mu.flatten(), mu + gain @ (y - mu)[seen], rtol=0, atol=1e-12)
    torch.testing.assert_close(posterior.covariance, C - gain @ C[seen], rtol=0, atol=1e-12)


def test_nothing_observed_is_the_prior(gaussian: GaussianDenoiser, observed: Tensor) -> None:
    posterior = gaussian.posterior(observed, torch.tensor(math.inf))
    assert torch.equal(posterior.mu, gaussian.mu)
    torch.testing.assert_close(posterior.covariance, gaussian.covariance, rtol=0, atol=0)


def test_ode_solution_solves_the_ode(gaussian: GaussianDenoiser, observed: Tensor) -> None:
    # Central difference of the solution against (x - D) / t: error O(h^2) = 1e-8 times third derivatives of order 10.
    t, h = 0.7, 1e-4
    slope = (gaussian.ode_solution(observed, t, t + h) - gaussian.ode_solution(observed, t, t - h)) / (2 * h)
    exact = (observed - gaussian(observed, torch.tensor(t, dtype=torch.float64))) / t
    torch.testing.assert_close(slope, exact, rtol=0, atol=1e-6)


def test_wiener_filter_is_the_gaussian_denoiser() -> None:
    # A stationary periodic field as a dense Gaussian: C = F* diag(P) F.
    n = 4
    k = torch.fft.fftfreq(n, dtype=torch.float64) * n
    power = 1 / (1 + k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2)
    eye = torch.eye(n**3, dtype=torch.float64).reshape(-1, 1, n, n, n)
    spectrum = torch.fft.fftn(eye, dim=(-3, -2, -1))
    C = torch.fft.ifftn(power * spectrum, dim=(-3, -2, -1)).real.reshape(n**3, n**3)
    dense = GaussianDenoiser(torch.zeros(1, n, n, n), C)
    x = torch.randn(2, 1, n, n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    level = torch.tensor(0.4, dtype=torch.float64)
    torch.testing.assert_close(wiener_denoise(x, power, 0.4), dense(x, level), rtol=0, atol=1e-12)
    error = float(dense.posterior(x[:1], level).covariance.trace()) / n**3
    assert wiener_error(power, 0.4) == pytest.approx(error, rel=1e-12)
