"""Posterior samples under correlated noise: basis vectors through the sampler, held against the exact Gaussian."""

import math

import pytest
import torch
from torch import Generator, Tensor

from medidiff.diffusion import (
    GaussianDenoiser,
    fuse_coloured,
    noise_shape,
    posterior_denoiser,
    posterior_start,
    sample_posterior,
)
from medidiff.diffusion import sampling as sampling_module
from medidiff.diffusion.fusion import START_FACTOR
from medidiff.errors import NoiseError

SHAPE = (1, 4, 4, 4)
SIGMA_MIN = 0.015


def kernel() -> Tensor:
    """L (64, 64): a blur in the plane, neighbours along x and y correlated by 0.7, rows of norm 1, invertible."""
    places = torch.cartesian_prod(*[torch.arange(4, dtype=torch.float64)] * 3)
    difference = places[:, None] - places[None]
    weight = torch.exp(-0.5 * (difference[..., :2] / 0.9).square().sum(dim=-1)) * (difference[..., 2] == 0)
    return weight / weight.norm(dim=1, keepdim=True)


def blur(white: Tensor) -> Tensor:
    """`kernel` as the callable that `sample_posterior` takes."""
    return (white.double().flatten(1) @ kernel().T).reshape(white.shape)


@pytest.fixture(scope="module")
def told(gaussian: GaussianDenoiser) -> GaussianDenoiser:
    """The Gaussian's denoiser, told the shape of the noise."""
    return GaussianDenoiser(gaussian.mu, gaussian.covariance, kernel() @ kernel().T)


@pytest.mark.parametrize("name", ["constant", "smooth"])
@pytest.mark.parametrize("tau", [0.05, 1.0, 6.0])
def test_the_fused_observation_is_bayes(
    told: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, name: str, tau: float
) -> None:
    """D(w x_t + (1 - w) y; e) = E[x0 | x_t, y] when both noises share map and shape, also where the map varies."""
    m = noise_maps[name]
    x_t = torch.randn(3, *SHAPE, generator=Generator().manual_seed(2), dtype=torch.float64)
    exact = told.posterior(observed, m)(x_t, tau * m)
    level = torch.tensor(tau, dtype=torch.float64)
    fused = posterior_denoiser(told, observed.expand_as(x_t), m, fuse_coloured)(x_t, level)
    # float64; R has a condition number of 5e4, C + S of 2e4.
    torch.testing.assert_close(fused, exact, rtol=0, atol=1e-9)


def test_the_formula() -> None:
    # w = 1 / (1 + tau^2), e = m tau / sqrt(1 + tau^2): tau = 3/4 and m = 5 give w = 16/25, e = 3.
    one = torch.ones(1, 1, 1, 1, 1, dtype=torch.float64)
    x, e = fuse_coloured(10 * one, 20 * one, torch.tensor(0.75, dtype=torch.float64), 5 * one)
    assert float(e) == pytest.approx(3, rel=1e-15)
    assert float(x) == pytest.approx(0.64 * 10 + 0.36 * 20, rel=1e-15)


def test_start_has_the_covariance_of_the_ode(
    told: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor
) -> None:
    """At tau_0 the state has mean E[x0 | y] and covariance C + tau_0^2 S, C that of the posterior, S of the noise."""
    m, n = noise_maps["smooth"], 64
    basis = torch.cat([torch.zeros(1, n), torch.eye(n)]).double().reshape(-1, *SHAPE)
    noise = m * blur(basis)
    y = observed.expand_as(basis)
    x = posterior_start(told, y, m, START_FACTOR, noise, noise, fuse_coloured).x
    exact = told.posterior(observed, m)
    torch.testing.assert_close(x[0], exact.mu, rtol=0, atol=1e-9)
    A = (x[1:] - x[0]).reshape(n, n)
    S = noise[1:].reshape(n, n).T @ noise[1:].reshape(n, n)
    # As in test_fusion: they differ by 3/4 g^2 of tau_0^2 S, g = C / (C + tau_0^2 S) <= 1/37 since C <= S.
    wanted = exact.covariance + START_FACTOR**2 * S
    difference = torch.linalg.matrix_norm(A.T @ A - wanted, ord=2) / torch.linalg.matrix_norm(START_FACTOR**2 * S, 2)
    assert float(difference) <= 1.1 * 0.75 / 37**2


def pushed(
    monkeypatch: pytest.MonkeyPatch, denoise: object, y: Tensor, noise_map: Tensor, n_steps: int
) -> tuple[Tensor, Tensor, int]:
    """Mean and covariance of `sample_posterior`, exactly: its output is affine in the n normal numbers it draws."""
    n = y[0].numel()
    basis = torch.cat([torch.zeros(1, n), torch.eye(n)]).double().reshape(-1, *y.shape[1:])
    monkeypatch.setattr(sampling_module, "_draw", lambda generators, y: basis)
    samples = sample_posterior(
        denoise,  # type: ignore[arg-type]
        y.expand(n + 1, *y.shape[1:]),
        noise_map,
        n_steps=n_steps,
        sigma_min=SIGMA_MIN,
        sigma_max=80.0,
        generators=[Generator()] * (n + 1),
        colour=blur,
    )
    A = (samples.x[1:] - samples.x[0]).reshape(n, n)
    return samples.x[0], A.T @ A, samples.nfe


@pytest.mark.parametrize(("n_steps", "nfe", "tolerance"), [(19, 20, 0.03), (39, 40, 0.01)])
@pytest.mark.parametrize("name", ["constant", "smooth"])
def test_mean_and_covariance_are_those_of_the_posterior(
    monkeypatch: pytest.MonkeyPatch,
    told: GaussianDenoiser,
    noise_maps: dict[str, Tensor],
    observed: Tensor,
    name: str,
    n_steps: int,
    nfe: int,
    tolerance: float,
) -> None:
    exact = told.posterior(observed, noise_maps[name])
    mean, covariance, counted = pushed(monkeypatch, told, observed, noise_maps[name], n_steps)
    assert counted == nfe
    torch.testing.assert_close(mean, exact.mu, rtol=0, atol=1e-6)
    C = exact.covariance
    assert float((covariance - C).norm() / C.norm()) < tolerance
    assert float((covariance.diag() / C.diag() - 1).abs().max()) < tolerance


def test_white_samples_are_wrong_here(
    monkeypatch: pytest.MonkeyPatch, gaussian: GaussianDenoiser, told: GaussianDenoiser, observed: Tensor
) -> None:
    """What the condition is for: a denoiser told that the noise is white claims far too small a spread."""
    m = torch.tensor(0.3, dtype=torch.float64)
    exact = told.posterior(observed, m).covariance
    untold = gaussian.posterior(observed, m).covariance
    assert float(untold.trace() / exact.trace()) < 0.7
    _, covariance, _ = pushed(monkeypatch, told, observed, m, 18)
    assert float(covariance.trace() / exact.trace()) == pytest.approx(1, abs=0.03)


def test_holes_are_refused(told: GaussianDenoiser, observed: Tensor) -> None:
    noise_map = torch.full((1, *SHAPE), 0.3, dtype=torch.float64)
    noise_map[..., 0] = math.inf
    with pytest.raises(NoiseError, match="correlated"):
        sample_posterior(
            told,
            observed,
            noise_map,
            sigma_min=SIGMA_MIN,
            sigma_max=80.0,
            generators=[Generator().manual_seed(0)],
            colour=blur,
        )


def test_a_sample_does_not_depend_on_its_batch(gaussian: GaussianDenoiser, observed: Tensor) -> None:
    shape = noise_shape((0.6, 0.2, 0.6, 0.2, 0.0, 0.0))

    def draw(*seeds: int) -> Tensor:
        y = observed.expand(len(seeds), *SHAPE)
        generators = [Generator().manual_seed(seed) for seed in seeds]
        options = {"n_steps": 8, "sigma_min": SIGMA_MIN, "sigma_max": 14.0, "colour": shape}
        return sample_posterior(gaussian, y, torch.tensor(0.3), generators=generators, **options).x

    three = draw(0, 1, 2)
    torch.testing.assert_close(draw(1), three[1:2], rtol=0, atol=1e-6)  # the shape is a float32 filter
    assert float((three[0] - three[1]).abs().max()) > 0.01
