"""Basis vectors through the whole sampler: with a Gaussian's linear denoiser its mean and covariance are exact."""

import math

import pytest
import torch
from torch import Generator, Tensor

from medidiff.diffusion import (
    SAMPLERS,
    GaussianDenoiser,
    Samples,
    sample_euler,
    sample_heun,
    sample_posterior,
    sample_prior,
)
from medidiff.diffusion import sampling as sampling_module
from medidiff.errors import NoiseError

KINDS = ["constant", "smooth", "hole", "slices", "synthesis"]
# The posterior's smallest standard deviation is 0.1 (0.09 under noise); the last step to 0 loses sigma_min^2 of its
# variance: 1%, in the smallest directions only.
SIGMA_MIN = 0.01


class Clamped:
    """The exact denoiser as a network has it: told at most sigma_max, so unobserved voxels must hold noise."""

    def __init__(self, gaussian: GaussianDenoiser, sigma_max: float) -> None:
        self.gaussian, self.sigma_max = gaussian, sigma_max

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.gaussian(x, sigma.clamp(max=self.sigma_max))


def spread(gaussian: GaussianDenoiser) -> float:
    """sqrt(lambda_1): the standard deviation of the data along their main direction."""
    return float(torch.linalg.eigvalsh(gaussian.covariance)[-1].sqrt())


def pushed(
    monkeypatch: pytest.MonkeyPatch, denoise: object, y: Tensor, noise_map: Tensor, n_steps: int, sigma_max: float
) -> tuple[Tensor, Tensor, int]:
    """Mean and covariance of `sample_posterior`, exactly: its output is affine in the 2 n normal numbers it draws."""
    n = y[0].numel()
    basis = torch.zeros(2 * n + 1, 2 * n, dtype=torch.float64)
    basis[1:] = torch.eye(2 * n)
    draws = iter([half.reshape(-1, *y.shape[1:]) for half in (basis[:, :n], basis[:, n:])])
    monkeypatch.setattr(sampling_module, "_draw", lambda generators, y: next(draws))
    samples = sample_posterior(
        denoise,  # type: ignore[arg-type]
        y.expand(2 * n + 1, *y.shape[1:]),
        noise_map,
        n_steps=n_steps,
        sigma_min=SIGMA_MIN,
        sigma_max=sigma_max,
        generators=[Generator()] * (2 * n + 1),
    )
    A = (samples.x[1:] - samples.x[0]).reshape(2 * n, n)
    return samples.x[0], A.T @ A, samples.nfe


@pytest.mark.parametrize(("n_steps", "nfe", "tolerance"), [(19, 20, 0.05), (39, 40, 0.02)])
@pytest.mark.parametrize("name", KINDS)
def test_mean_and_covariance_are_those_of_the_posterior(
    monkeypatch: pytest.MonkeyPatch,
    gaussian: GaussianDenoiser,
    noise_maps: dict[str, Tensor],
    observed: Tensor,
    name: str,
    n_steps: int,
    nfe: int,
    tolerance: float,
) -> None:
    exact = gaussian.posterior(observed, noise_maps[name])
    y = torch.where(torch.isinf(noise_maps[name]), math.nan, observed)  # what is not observed is not looked at
    mean, covariance, counted = pushed(monkeypatch, gaussian, y, noise_maps[name], n_steps, 5 * spread(gaussian))
    assert counted == nfe
    torch.testing.assert_close(mean, exact.mu, rtol=0, atol=1e-5)
    # 2M is second order; design.md, section 4 demands these. Whole matrix and each voxel's variance.
    C = exact.covariance
    assert float((covariance - C).norm() / C.norm()) < tolerance
    assert float((covariance.diag() / C.diag() - 1).abs().max()) < tolerance


@pytest.mark.parametrize("name", ["hole", "synthesis"])
def test_a_denoiser_clamped_at_sigma_max_samples_the_same(
    monkeypatch: pytest.MonkeyPatch,
    gaussian: GaussianDenoiser,
    noise_maps: dict[str, Tensor],
    observed: Tensor,
    name: str,
) -> None:
    exact = gaussian.posterior(observed, noise_maps[name])
    sigma_max = 5 * spread(gaussian)
    denoise = Clamped(gaussian, sigma_max)
    mean, covariance, _ = pushed(monkeypatch, denoise, observed, noise_maps[name], 38, sigma_max)
    # The fill is an observation of x0 = 0 at sigma_max: it moves the mean of the start by mu lambda_1 / sigma_max^2
    # (mu/25 at most); the ODE shrinks that by sqrt(lambda_1) / sigma_max = 1/5: 1% of mu <= 0.3.
    torch.testing.assert_close(mean, exact.mu, rtol=0, atol=0.003)
    assert float((covariance - exact.covariance).norm() / exact.covariance.norm()) < 0.02


def generators(*seeds: int) -> list[Generator]:
    return [Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("name", ["smooth", "hole", "synthesis"])
def test_a_sample_does_not_depend_on_its_batch(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, name: str
) -> None:
    def draw(*seeds: int) -> Tensor:
        y = observed.expand(len(seeds), *observed.shape[1:])
        options = {"n_steps": 10, "sigma_min": SIGMA_MIN, "sigma_max": 14.0}
        return sample_posterior(gaussian, y, noise_maps[name], generators=generators(*seeds), **options).x

    four = draw(0, 1, 2, 3)
    # float64 sums may be split differently for another batch: 1e-16 times a condition number of 1e4, some steps.
    torch.testing.assert_close(draw(2), four[2:3], rtol=0, atol=1e-10)
    torch.testing.assert_close(draw(3, 2, 1, 0), four.flip(0), rtol=0, atol=1e-10)
    assert float((four[0] - four[1]).abs().max()) > 0.01


def test_the_prior_is_the_posterior_of_nothing(gaussian: GaussianDenoiser, observed: Tensor) -> None:
    options = {"n_steps": 8, "sigma_min": SIGMA_MIN, "sigma_max": 14.0}
    prior = sample_prior(gaussian, (1, 4, 4, 4), generators=generators(5, 6), **options)
    y = torch.full((2, 1, 4, 4, 4), math.nan)
    inf_map = torch.full((2, 1, 4, 4, 4), math.inf)
    posterior = sample_posterior(gaussian, y, inf_map, generators=generators(5, 6), **options)
    torch.testing.assert_close(prior.x, posterior.x, rtol=0, atol=1e-6)  # float32 states
    assert prior.nfe == posterior.nfe == 9


@pytest.mark.parametrize(("name", "nfe"), [("2m", 13), ("euler", 13), ("heun", 24)])
def test_evaluations_are_counted(gaussian: GaussianDenoiser, observed: Tensor, name: str, nfe: int) -> None:
    calls = 0

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return gaussian(x, sigma)

    samples = sample_posterior(
        denoise,
        observed,
        torch.tensor(0.3),
        n_steps=12,
        sigma_min=SIGMA_MIN,
        sigma_max=14.0,
        sampler=SAMPLERS[name],
        generators=generators(0),
    )
    assert samples.nfe == calls == nfe


def test_refuses(gaussian: GaussianDenoiser, observed: Tensor) -> None:
    options = {"n_steps": 4, "sigma_min": SIGMA_MIN, "sigma_max": 14.0}
    for level in (0.0, -1.0, math.nan):
        with pytest.raises(NoiseError, match="positive"):
            sample_posterior(gaussian, observed, torch.tensor(level), generators=generators(0), **options)
    with pytest.raises(ValueError, match="one per entry"):
        sample_posterior(gaussian, observed, torch.tensor(0.3), generators=generators(0, 1), **options)
    two = observed.expand(2, *observed.shape[1:])
    levels = torch.tensor([0.1, 0.2]).reshape(2, 1, 1, 1, 1)
    with pytest.raises(NoiseError, match="one by one"):
        sample_posterior(gaussian, two, levels, generators=generators(0, 1), **options)


def mixture(x: Tensor, sigma: Tensor, centre: float, weight: float, width: float) -> Tensor:
    """Exact, nonlinear: weight N(+centre, width^2) + (1 - weight) N(-centre, width^2), the same sign in all voxels."""
    precision = (1 / (width**2 + sigma**2)).expand_as(x)
    # ln p(x | +) - ln p(x | -) = sum over voxels of 2 x centre / (width^2 + sigma^2); infinite levels add nothing.
    logit = (2 * centre * torch.where(precision > 0, x, 0) * precision).sum(dim=(1, 2, 3, 4), keepdim=True)
    signed = centre * torch.tanh((logit + math.log(weight / (1 - weight))) / 2)
    gain = width**2 * precision
    within = torch.where(precision > 0, x, 0) * gain + (1 - gain) * signed
    return within


@pytest.mark.parametrize("sampler", [SAMPLERS["2m"], sample_heun, sample_euler])
def test_mixture_prior(sampler: object) -> None:
    """Nonlinear: weights and moments of the two modes, sampled from nothing."""
    centre, weight, width, n = 0.5, 0.3, 0.1, 2000
    x = sampled_mixture(centre, weight, width, n, torch.tensor(math.inf), sampler).x
    positive = x.mean(dim=(1, 2, 3, 4)) > 0
    # Binomial: four standard errors of the share; the modes lie 2 sqrt(8) 0.5 / 0.1 = 28 widths apart.
    assert float(positive.double().mean()) == pytest.approx(weight, abs=4 * math.sqrt(weight * (1 - weight) / n))
    for side, sign in ((positive, 1), (~positive, -1)):
        values = x[side]
        assert float(values.mean()) == pytest.approx(sign * centre, abs=0.005)
        # 8 * 600 voxels at least: standard error of the deviation 1%; Euler at 60 steps is within 5% itself.
        assert float(values.std()) == pytest.approx(width, rel=0.08)


def test_mixture_posterior_with_a_hole() -> None:
    """Half of the voxels observed, at a level that leaves both modes possible: their weights follow Bayes."""
    centre, weight, width, n, level, seen = 0.5, 0.3, 0.1, 2000, 1.0, 0.1
    noise_map = torch.full((1, 1, 2, 2, 2), level)
    noise_map[..., 0] = math.inf
    x = sampled_mixture(centre, weight, width, n, noise_map, SAMPLERS["2m"], seen).x
    logit = math.log(weight / (1 - weight)) + 4 * 2 * centre * seen / (width**2 + level**2)
    expected = 1 / (1 + math.exp(-logit))
    positive = x.mean(dim=(1, 2, 3, 4)) > 0
    assert float(positive.double().mean()) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))
    gain = width**2 / (width**2 + level**2)
    observed_mean = float(x[positive][..., 1].mean())
    assert observed_mean == pytest.approx(centre + gain * (seen - centre), abs=0.01)
    assert float(x[positive][..., 0].mean()) == pytest.approx(centre, abs=0.01)


def sampled_mixture(
    centre: float, weight: float, width: float, n: int, noise_map: Tensor, sampler: object, seen: float = 0.0
) -> Samples:
    return sample_posterior(
        lambda x, sigma: mixture(x, sigma, centre, weight, width),
        torch.full((n, 1, 2, 2, 2), seen, dtype=torch.float64),
        noise_map,
        n_steps=60,
        sigma_min=0.01,
        sigma_max=15.0,
        sampler=sampler,  # type: ignore[arg-type]
        generators=generators(*range(n)),
    )
