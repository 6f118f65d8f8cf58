"""The loss for noisy targets has the clean posterior mean as its minimum: exact for a Gaussian, voxel by voxel."""

import math

import pytest
import torch

from medidiff.diffusion import Denoised, corrupt, denoising_error, log_variance_loss, loss_weight

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
