"""The fused observation: two independent observations of one scan are one."""

import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import (
    GaussianDenoiser,
    fill_unobserved,
    fuse,
    posterior_denoiser,
    posterior_start,
    starting_level,
)

KINDS = ["constant", "smooth", "hole", "slices", "synthesis"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("t", [0.02, 0.5, 40.0])
def test_posterior_denoiser_is_bayes(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, name: str, t: float
) -> None:
    """D(w x_t + (1 - w) y; e) = E[x0 | x_t, y]: condition the exact posterior p(x0 | y) on x_t."""
    level = torch.tensor(t, dtype=torch.float64)
    x_t = torch.randn(3, *observed.shape[1:], generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    exact = gaussian.posterior(observed, noise_maps[name])(x_t, level)
    fused = posterior_denoiser(gaussian, observed.expand_as(x_t), noise_maps[name])(x_t, level)
    # float64; (C + S)^-1 with levels from 0.02 and eigenvalues of C to 7.6 has a condition number of 2e4.
    torch.testing.assert_close(fused, exact, rtol=0, atol=1e-10)


def test_formula() -> None:
    # e = (1/m^2 + 1/t^2)^(-1/2) and w = e^2/t^2: m = 3, t = 4 gives e = 2.4, w = 0.36.
    one = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    x, e = fuse(10 * one, 20 * one, torch.tensor(4.0), 3 * one)
    assert float(e) == pytest.approx(2.4, rel=1e-15)
    assert float(x) == pytest.approx(0.36 * 10 + 0.64 * 20, rel=1e-15)


def test_unobserved_is_exact_whatever_y_holds() -> None:
    x_t = torch.randn(2, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    y = torch.full_like(x_t, 0.5)
    m = torch.full_like(x_t, 0.3)
    y[..., 0], m[..., 0] = math.nan, math.inf
    y[0, 0, 0, 0, 0] = math.inf
    x, e = fuse(x_t, y, torch.tensor(0.7), m)
    assert torch.equal(x[..., 0], x_t[..., 0])
    assert torch.equal(e[..., 0], torch.full_like(e[..., 0], 0.7))
    assert bool(x.isfinite().all())
    assert bool((e[..., 1] < 0.3).all())


def test_everything_unobserved_keeps_the_level_a_scalar() -> None:
    x_t = torch.randn(2, 1, 2, 2, 2)
    x, e = fuse(x_t, torch.full_like(x_t, math.nan), torch.tensor(0.7), torch.tensor(math.inf))
    assert torch.equal(x, x_t)
    assert e.ndim == 0
    assert float(e) == pytest.approx(0.7)


@pytest.mark.parametrize("shape", [(), (2, 1, 1, 1, 1), (1, 1, 2, 2, 2)])
def test_the_map_keeps_its_shape(shape: tuple[int, ...]) -> None:
    x_t = torch.randn(2, 1, 2, 2, 2)
    x, e = fuse(x_t, torch.zeros_like(x_t), torch.tensor(0.7), torch.full(shape, 0.3))
    assert x.shape == x_t.shape
    assert e.shape == shape


def test_starting_level() -> None:
    level = torch.tensor([0.1, 0.4], dtype=torch.float64)
    assert starting_level(level, 10) == pytest.approx(2.4, rel=1e-15)
    assert starting_level(level, 2) == 2
    assert starting_level(torch.tensor([0.1, math.inf]), 10) == 10


def test_fill_unobserved() -> None:
    y = torch.tensor([math.nan, 2.0]).reshape(1, 1, 1, 1, 2)
    m = torch.tensor([math.inf, 0.1]).reshape(1, 1, 1, 1, 2)
    assert fill_unobserved(y, m, torch.full_like(y, 7.0)).flatten().tolist() == [7, 2]


@pytest.mark.parametrize("name", ["constant", "smooth", "hole", "synthesis"])
def test_start_has_the_covariance_of_the_ode(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, name: str
) -> None:
    """The state at t_0 should have mean E[x0 | y] and covariance C + t_0^2, C that of the posterior."""
    n, shape = 64, observed.shape[1:]
    m = noise_maps[name]
    posterior = gaussian.posterior(observed, m)
    C = posterior.covariance
    t_0 = starting_level(m, 5 * float(torch.linalg.eigvalsh(gaussian.covariance)[-1].sqrt()))
    z = torch.cat([torch.zeros(1, n), torch.eye(n)]).double().reshape(-1, *shape)
    x = posterior_start(gaussian, observed.expand_as(z), m, t_0, z, torch.zeros_like(z)).x
    torch.testing.assert_close(x[0], posterior.mu, rtol=0, atol=1e-12)
    A = (x[1:] - x[0]).reshape(n, n)
    # (1 + g/2)^2 (t_0^2 = 1) against 1 / (1 - g), g = C / (C + t_0^2): they differ by 3/4 g^2 + O(g^3), g <= 1/26.
    difference = torch.linalg.matrix_norm(A.T @ A - C - t_0**2 * torch.eye(n), ord=2) / t_0**2
    g = torch.linalg.eigvalsh(C)[-1] / (torch.linalg.eigvalsh(C)[-1] + t_0**2)
    assert float(difference) <= 1.1 * 0.75 * float(g) ** 2 + 1e-12
