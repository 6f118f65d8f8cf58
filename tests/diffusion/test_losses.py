"""The loss for noisy targets has the clean posterior mean as its minimum: exact for a Gaussian, voxel by voxel."""

import math

import pytest
import torch

from medidiff.diffusion import (
    Denoised,
    NoisyPair,
    clean_squared_error,
    colour,
    corrupt,
    corrupt_coloured,
    denoising_error,
    expected_error,
    gaussian_power,
    log_variance_loss,
    loss_weight,
    mask_error,
)
from medidiff.diffusion.colour import draw_power, frequencies, normalised

S2 = 0.25
"""Variance of the clean voxel x0 ~ N(0, S2)."""


def five(value: float) -> torch.Tensor:
    return torch.full((1, 1, 1, 1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize(("tau", "level"), [(0.2, 0.3), (0.3, 1.0), (0.05, 0.06), (0.0, 0.5)])
def test_the_minimum_is_the_clean_posterior_mean(tau: float, level: float) -> None:
    """With D(y) = k y the expected loss is a parabola in k, known from Var(y) and Cov(r, y); its vertex is exact."""
    pair = corrupt(five(0.0), five(tau), five(level), five(0.0))
    a = float(pair.a)
    # y = r + sigma n, r = x0 + tau n': Var(y) = S2 + level^2, Cov(r, y) = S2 + tau^2.
    variance, covariance = S2 + level**2, S2 + tau**2
    # argmin_k E (a k y + (1 - a) y - r)^2: a k + 1 - a = covariance / variance.
    k = (covariance / variance - 1 + a) / a
    assert float(pair.level) == pytest.approx(level, rel=1e-12)
    assert k == pytest.approx(S2 / (S2 + level**2), rel=1e-9)


def test_the_loss_as_written_has_that_minimum() -> None:
    """The same through `denoising_error` and autograd, on six points that have the moments of the Gaussian."""
    tau, level = 0.2, 0.5
    sigma = math.sqrt(level**2 - tau**2)
    # (x0, n', n) on the six points +-sqrt(3) e_i has exactly the second moments of a standard normal.
    points = math.sqrt(3) * torch.cat([torch.eye(3), -torch.eye(3)]).double()
    x0, own, added = (points[:, i].reshape(-1, 1, 1, 1, 1) for i in range(3))
    target = S2**0.5 * x0 + tau * own
    pair = corrupt(target, torch.full_like(x0, tau), torch.full_like(x0, level), added)
    torch.testing.assert_close(pair.y, target + sigma * added, rtol=0, atol=1e-14)
    k = torch.tensor(S2 / (S2 + level**2), dtype=torch.float64, requires_grad=True)
    loss = denoising_error(k * pair.y, pair, target, torch.tensor(S2**0.5)).mean()
    (slope,) = torch.autograd.grad(loss, k)
    assert float(slope) == pytest.approx(0, abs=1e-12)
    naive = (loss_weight(pair.level, torch.tensor(S2**0.5)) * (k * pair.y - target) ** 2).mean()
    (naive_slope,) = torch.autograd.grad(naive, k)
    assert abs(float(naive_slope)) > 0.1, "the naive loss pulls away from the clean posterior mean"


def test_clean_targets_give_the_plain_loss() -> None:
    target, noise = torch.randn(2, 1, 2, 2, 2), torch.randn(2, 1, 2, 2, 2)
    level = torch.full((2, 1, 1, 1, 1), 0.4)
    pair = corrupt(target, torch.zeros(2, 1, 1, 1, 1), level, noise)
    torch.testing.assert_close(pair.y, target + 0.4 * noise)
    torch.testing.assert_close(pair.level, level)
    assert torch.equal(pair.a, torch.ones_like(pair.a))
    denoised = torch.randn(2, 1, 2, 2, 2)
    expected = loss_weight(level, torch.tensor(0.5)) * (denoised - target) ** 2
    torch.testing.assert_close(denoising_error(denoised, pair, target, torch.tensor(0.5)), expected)


def test_levels_below_tau_teach_nothing() -> None:
    target, denoised = torch.randn(1, 1, 2, 2, 2), torch.randn(1, 1, 2, 2, 2)
    pair = corrupt(
        target, torch.full((1, 1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1, 1), 0.1), torch.randn(1, 1, 2, 2, 2)
    )
    assert torch.equal(pair.y, target)
    torch.testing.assert_close(pair.level, torch.full_like(pair.level, 0.3))
    assert float(denoising_error(denoised, pair, target, torch.tensor(0.5)).abs().max()) == 0


def test_log_variance_is_learned_from_clean_targets_only() -> None:
    """Its minimum is the squared error itself, and a noisy target counts for nothing."""
    target = torch.zeros(2, 1, 1, 1, 2)
    mean = torch.full_like(target, 0.3, requires_grad=True)
    log_variance = torch.full_like(target, math.log(0.09), requires_grad=True)
    clean = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1, 1)
    log_variance_loss(Denoised(mean, log_variance), target, clean).backward()
    assert mean.grad is None, "the residual is detached: uncertainty must not change the mean"
    assert log_variance.grad is not None
    torch.testing.assert_close(log_variance.grad, torch.zeros_like(target), rtol=0, atol=1e-6)
    worse = torch.zeros_like(target, requires_grad=True)
    log_variance_loss(Denoised(mean, worse), target, clean).backward()
    assert worse.grad is not None
    assert bool((worse.grad[0] > 0).all())
    assert float(worse.grad[1].abs().max()) == 0


# Coloured noise ------------------------------------------------------------------------------------------------------

FIELD = (4, 4, 2)
"""A Gaussian random field of 32 voxels, periodic: its Fourier coefficients are independent."""


def field_power() -> torch.Tensor:
    """Variance of the clean field's Fourier coefficients on the rfft grid: large structures dominate."""
    squared = sum((f.double() ** 2 for f in frequencies(FIELD)), torch.zeros(()))
    return normalised((1 / (0.02 + squared)).float(), FIELD).double() * S2


def wiener(power: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    return power / (power + variance)


def expected_loss(gain: torch.Tensor, noise_power: torch.Tensor, tau: float, level: float, plain: bool) -> torch.Tensor:
    """E of the loss over field, own and added noise for the denoiser with that gain per frequency, exactly.

    All is linear in 3 x 32 independent standard normals, so the basis vectors give the second moments.
    """
    n = math.prod(FIELD)
    basis = torch.eye(3 * n, dtype=torch.float64).reshape(3 * n, 3, *FIELD)  # each a channel: they do not mix
    target = (colour(basis[:, 0], field_power()) + tau * basis[:, 1])[None]
    added = colour(basis[:, 2], noise_power.double())[None]
    pair = corrupt_coloured(target, five(tau), five(level), added, noise_power.double())
    denoised = torch.fft.irfftn(gain * torch.fft.rfftn(pair.y, dim=(-3, -2, -1)), s=FIELD, dim=(-3, -2, -1))
    if plain:
        return (loss_weight(pair.level, torch.tensor(0.5)) * (denoised - target) ** 2).sum()
    return denoising_error(denoised, pair, target, torch.tensor(0.5)).sum()


@pytest.mark.parametrize(("tau", "level"), [(0.2, 0.5), (0.35, 0.4), (0.05, 1.0)])
def test_coloured_noise_on_noisy_targets_has_the_clean_posterior_mean_as_its_minimum(tau: float, level: float) -> None:
    """Frequency by frequency: the gradient vanishes at the Wiener filter against own (white) plus added noise."""
    noise_power = gaussian_power(FIELD, (0.7, 0.4, 0.0)).expand(4, 4, 2)
    total = tau**2 + (level**2 - tau**2) * noise_power.double()
    gain = wiener(field_power(), total).requires_grad_()
    (slope,) = torch.autograd.grad(expected_loss(gain, noise_power, tau, level, plain=False), gain)
    off = (gain.detach() * 0.9).requires_grad_()
    (slope_off,) = torch.autograd.grad(expected_loss(off, noise_power, tau, level, plain=False), off)
    # The spectra are float32 (1e-7); elsewhere the gradient is of the order of slope_off.
    assert float(slope.abs().max()) < 1e-5 * float(slope_off.abs().max())
    (naive,) = torch.autograd.grad(expected_loss(gain, noise_power, tau, level, plain=True), gain)
    assert float(naive.abs().max()) > 0.001 * float(slope_off.abs().max()), "the plain loss keeps the target's noise"


def test_the_split_of_white_noise_is_wrong_for_coloured() -> None:
    """`kept` matters: with the one share a of white noise the minimum lies elsewhere."""
    tau, level = 0.3, 0.5
    noise_power = gaussian_power(FIELD, (0.9, 0.9, 0.0)).expand(4, 4, 2)
    target, noise = torch.randn(1, 1, *FIELD), torch.randn(1, 1, *FIELD)
    pair = corrupt_coloured(target, five(tau).float(), five(level).float(), noise, noise_power)
    assert pair.kept is not None
    # Where the added noise has no power the difference is the target's own; where it has much, hardly any of it.
    assert float(pair.kept.max()) > 0.9
    assert float(pair.kept.min()) < 0.2
    white = corrupt_coloured(pair.y, five(tau).float(), five(level).float(), pair.y, torch.ones(4, 4, 2))
    assert white.kept is not None
    torch.testing.assert_close(white.kept, (1 - white.a).expand_as(white.kept), rtol=1e-5, atol=0)


def test_white_power_gives_the_loss_of_white_noise() -> None:
    target, noise, denoised = (torch.randn(1, 1, *FIELD, dtype=torch.float64) for _ in range(3))
    white = corrupt(target, five(0.2), five(0.6), noise)
    coloured = corrupt_coloured(target, five(0.2), five(0.6), noise, torch.ones(4, 4, 2, dtype=torch.float64))
    assert torch.equal(coloured.y, white.y)
    losses = [denoising_error(denoised, pair, target, torch.tensor(0.5)) for pair in (white, coloured)]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-10, atol=1e-12)


def test_clean_targets_need_no_split_and_may_have_a_map() -> None:
    power = draw_power(FIELD, torch.Generator().manual_seed(0))
    target, noise = torch.randn(1, 1, *FIELD), torch.randn(1, 1, *FIELD)
    level = 0.1 + torch.rand(1, 1, *FIELD)
    pair = corrupt_coloured(target, torch.zeros(1, 1, 1, 1, 1), level, noise, power)
    assert isinstance(pair, NoisyPair)
    assert pair.kept is None
    torch.testing.assert_close(pair.y, target + level * noise)


@pytest.mark.parametrize(("factor", "expected"), [(2.0, 2.0), (0.001, 0.1), (50.0, 4.0)])
def test_expected_error_is_relative_to_the_level_and_carries_no_gradient(factor: float, expected: float) -> None:
    level, sigma_data, u = torch.full((1, 1, 1, 1, 1), 0.1), torch.full((1, 1, 1, 1, 1), 0.5), torch.tensor(-2.0)
    clean = torch.zeros(1, 1, 1, 1, 1)
    pair = corrupt(torch.zeros(1, 1, 4, 4, 4), clean, level, torch.zeros(1, 1, 4, 4, 4))
    own = torch.log(factor * torch.exp(u) / loss_weight(level, sigma_data)).expand(1, 1, 4, 4, 4)
    found = expected_error(own.clone().requires_grad_(), pair, clean, u, sigma_data)
    assert found.shape == (1, 1, 1, 1, 1)
    assert not found.requires_grad
    assert float(found) == pytest.approx(expected)
    if factor == 2:  # the mean of a patch
        half = torch.cat([own[:, :, :2], own[:, :, 2:] + math.log(2.0)], dim=2)
        assert float(expected_error(half, pair, clean, u, sigma_data)) == pytest.approx(3.0)


@pytest.mark.parametrize(("tau", "level"), [(0.1, 0.3), (0.2, 0.25), (0.0, 0.3)])
def test_expected_error_is_the_error_that_the_exact_denoiser_makes(tau: float, level: float) -> None:
    """x0 ~ N(0, S2) voxel by voxel, so D and its variance are known; u = 0 leaves the weighted error itself."""
    generator = torch.Generator().manual_seed(0)
    x0, own, noise = (torch.randn(1, 1, 48, 48, 48, generator=generator, dtype=torch.float64) for _ in range(3))
    target = S2**0.5 * x0 + tau * own
    sigma_data = five(4.0)  # so wide that the error stays between the limits
    pair = corrupt(target, five(tau), five(level), noise)
    variance = S2 * level**2 / (S2 + level**2)
    mean = S2 / (S2 + level**2) * pair.y
    u = five(math.log(float(loss_weight(five(level), sigma_data)) * variance))
    made = float((denoising_error(mean, pair, target, sigma_data) * torch.exp(-u)).mean())
    wanted = expected_error(torch.full_like(mean, math.log(variance)), pair, five(tau), u, sigma_data)
    assert float(wanted) == pytest.approx(made, rel=0.02)


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("keep", [0.4, 0.8, 1.0])
def test_the_clean_error_is_estimated_from_noisy_targets(tau: float, keep: float) -> None:
    """D = keep y on white Gaussian scans: its error is known, and so is the scatter of the estimate."""
    drawn = torch.randn(3, 4, 1, 32, 32, 32, generator=torch.Generator().manual_seed(1))
    clean, own, added = 0.5 * drawn[0], drawn[1], drawn[2]
    level_of = torch.full((4, 1, 1, 1, 1), tau)
    pair = corrupt(clean + tau * own, level_of, torch.full((4, 1, 1, 1, 1), 0.5), added)
    estimate = clean_squared_error(keep * pair.y, pair, clean + tau * own, level_of)
    exact = (keep - 1) ** 2 * 0.25 + keep**2 * 0.25
    scatter = 3 * exact / float(pair.a.mean()) ** 2 / clean[0].numel() ** 0.5
    assert (estimate - exact).abs().max() < 4 * scatter
    if tau == 0.3 and keep == 1.0:  # against the noisy target itself it would look far better than it is
        naive = ((keep * pair.y - clean - tau * own) ** 2).mean()
        assert exact - naive > 0.08


def test_deviance_of_a_mask_is_least_at_its_share() -> None:
    """Of voxels that are inside in a share p: least at half the log odds of p, where it is twice the entropy of p."""
    p = 0.12
    target = torch.where(torch.arange(1000) < 1000 * p, 1.0, -1.0).reshape(1, 1, 10, 10, 10)
    known = math.log(p / (1 - p)) / 2
    error = [float(mask_error(torch.full_like(target, known + d), target).mean()) for d in (-0.1, 0.0, 0.1)]
    assert error[1] == pytest.approx(-2 * (p * math.log(p) + (1 - p) * math.log(1 - p)), abs=1e-5)
    assert error[1] < min(error[0], error[2])


def test_a_mask_that_is_sure_and_right_teaches_nothing() -> None:
    target = torch.tensor([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)
    log_odds = (2.5e5 * target).requires_grad_()
    error = mask_error(log_odds, target)
    error.sum().backward()
    assert bool((error == 0).all())
    assert log_odds.grad is not None
    assert bool((log_odds.grad == 0).all())
