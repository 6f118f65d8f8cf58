"""Identities of the preconditioning, and a constant map against a scalar."""

import math

import pytest
import torch
from torch import Tensor, nn

from medidiff.diffusion import Preconditioned, coefficients, loss_weight
from medidiff.errors import ConfigError

LEVELS = torch.logspace(-3, 2, 30, dtype=torch.float64)
DATA = torch.tensor([[0.05], [0.5], [3.0]], dtype=torch.float64)


class Fixed(nn.Module):
    """A stand-in network that remembers what it was given and returns constants."""

    def forward(
        self, x: Tensor, c_noise: Tensor, spacing_mm: Tensor | None, cond: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        self.x, self.c_noise, self.spacing_mm, self.cond = x, c_noise, spacing_mm, cond
        return torch.full_like(x, 2.0), torch.full_like(x, 0.3)


class Zero(nn.Module):
    """A network that says nothing."""

    def forward(
        self, x: Tensor, c_noise: Tensor, spacing_mm: Tensor | None, cond: dict[str, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """0 and 0."""
        return torch.zeros_like(x), torch.zeros_like(x)


def test_input_and_target_have_unit_variance() -> None:
    c = coefficients(LEVELS, DATA)
    # x = x0 + sigma n: Var(c_in x) = c_in^2 (s^2 + sigma^2).
    torch.testing.assert_close(c.c_in**2 * (DATA**2 + LEVELS**2), torch.ones(3, 30).double(), rtol=1e-14, atol=0)
    # F's target (x0 - c_skip x) / c_out: ((1 - c_skip)^2 s^2 + c_skip^2 sigma^2) / c_out^2. 1 - c_skip is 1e-7 or more,
    # so float64 leaves 1e-9 of it.
    target = ((1 - c.c_skip) ** 2 * DATA**2 + c.c_skip**2 * LEVELS**2) / c.c_out**2
    torch.testing.assert_close(target, torch.ones(3, 30).double(), rtol=1e-9, atol=0)


def test_c_skip_amplifies_the_error_of_f_least() -> None:
    # Karras et al. 2022, appendix B.6: c_skip minimises c_out, i.e. it is the slope of the best linear estimate of x0.
    c = coefficients(LEVELS, DATA)
    torch.testing.assert_close(c.c_skip, DATA**2 / (DATA**2 + LEVELS**2), rtol=1e-14, atol=0)
    torch.testing.assert_close(c.c_out**2, DATA**2 * (1 - c.c_skip), rtol=1e-9, atol=0)
    torch.testing.assert_close(c.c_noise, LEVELS.log() / 4, rtol=1e-14, atol=0)


def test_loss_weight_gives_f_a_unit_loss() -> None:
    c = coefficients(LEVELS, DATA)
    torch.testing.assert_close(loss_weight(LEVELS, DATA) * c.c_out**2, torch.ones(3, 30).double(), rtol=1e-14, atol=0)


def test_mean_and_log_variance() -> None:
    network = Fixed()
    denoiser = Preconditioned(network, torch.tensor([0.5, 2.0]), 0.01, 10.0)
    x = torch.randn(3, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    sigma = torch.rand(3, 2, 2, 2, 2, generator=torch.Generator().manual_seed(1)) + 0.1
    spacing, cond = torch.ones(3, 3), {"age": torch.ones(3)}
    out = denoiser(x, sigma, spacing, cond)
    c = coefficients(sigma, torch.tensor([0.5, 2.0]).reshape(1, 2, 1, 1, 1))
    torch.testing.assert_close(network.x, c.c_in * x)
    torch.testing.assert_close(network.c_noise, c.c_noise)
    assert network.spacing_mm is spacing
    assert network.cond is cond
    torch.testing.assert_close(out.mean, c.c_skip * x + 2 * c.c_out)
    torch.testing.assert_close(out.log_variance, 0.3 + 2 * c.c_out.log())


@pytest.mark.parametrize(("level", "clamped"), [(math.inf, 10.0), (50.0, 10.0), (1e-9, 0.01), (0.0, 0.01)])
def test_levels_are_clamped(level: float, clamped: float) -> None:
    denoiser = Preconditioned(Fixed(), torch.tensor([0.5]), 0.01, 10.0)
    x = torch.randn(1, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    sigma = torch.full_like(x, 0.3)
    sigma[..., 0] = level
    expected = torch.where(sigma == 0.3, sigma, clamped)
    for left, right in zip(denoiser(x, sigma), denoiser(x, expected), strict=True):
        assert torch.equal(left, right)
        assert bool(left.isfinite().all())
    assert torch.equal(denoiser(x, torch.tensor(level)).mean, denoiser(x, torch.tensor(clamped)).mean)


@pytest.mark.parametrize("shape", [(), (2, 3, 1, 1, 1), (1, 3, 1, 1, 1), (1, 1, 4, 4, 4), (2, 3, 4, 4, 4)])
def test_shapes_of_sigma(shape: tuple[int, ...]) -> None:
    network = Fixed()
    denoiser = Preconditioned(network, torch.tensor([0.5, 1.0, 2.0]), 0.01, 10.0)
    x = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    out = denoiser(x, torch.full(shape, 0.7))
    torch.testing.assert_close(out.mean, denoiser(x, torch.tensor(0.7)).mean)
    constant = len(shape) < 5 or shape[2] == 1
    denoiser(x, torch.full(shape, 0.7))
    assert tuple(network.c_noise.shape) == ((2, 3, 1, 1, 1) if constant else (2, 3, 4, 4, 4))


def test_the_mean_is_taken_off_and_put_back() -> None:
    """A network of zeros is the linear denoiser of a Gaussian of that mean and deviation: mean + c_skip (x - mean)."""
    network = Fixed()
    mean_data, sigma_data = torch.tensor([0.0, -0.9]), torch.tensor([0.5, 1.0])
    denoiser = Preconditioned(network, sigma_data, 0.01, 10.0, mean_data)
    x = torch.randn(2, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    out = denoiser(x, torch.tensor(0.7))
    plain = Preconditioned(Fixed(), sigma_data, 0.01, 10.0)
    mean = mean_data.reshape(1, 2, 1, 1, 1)
    torch.testing.assert_close(out.mean, mean + plain(x - mean, torch.tensor(0.7)).mean)
    torch.testing.assert_close(out.log_variance, plain(x, torch.tensor(0.7)).log_variance)


def test_a_channel_that_is_not_observed_is_given_as_its_mean() -> None:
    """Beside one that is observed, whatever stands in it changes nothing; where all are unobserved each goes in."""
    network = Fixed()
    denoiser = Preconditioned(network, torch.tensor([0.5, 1.0]), 0.01, 10.0, torch.tensor([0.0, -0.9]))
    x = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([[0.3, math.inf], [math.inf, math.inf]]).reshape(2, 2, 1, 1, 1)
    for sigma in (levels, levels.expand(2, 2, 4, 4, 4)):
        out = denoiser(x, sigma)
        assert bool((network.x[0, 1] == 0).all())
        assert bool((network.x[0, 0] != 0).all())
        assert bool((network.x[1] != 0).all())
        other = x.clone()
        other[0, 1] = 7
        assert torch.equal(denoiser(other, sigma).mean[0, 0], out.mean[0, 0])
    holed = levels.expand(2, 2, 4, 4, 4).clone()
    holed[0, 1, 0, 0, 0] = 0.3  # seen in one voxel: the channel is observed
    denoiser(x, holed)
    assert bool((network.x[0, 1] != 0).all())


def test_one_channel_is_never_left_out() -> None:
    network = Fixed()
    denoiser = Preconditioned(network, torch.tensor([0.5]), 0.01, 10.0)
    x = torch.randn(1, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    denoiser(x, torch.tensor(math.inf))
    assert bool((network.x != 0).all())


def test_a_sampler_s_state_at_the_highest_level_is_seen() -> None:
    """Of a scan for a mask the first state has the highest level all over, and its spread must not be lost."""
    denoiser = Preconditioned(Fixed(), torch.tensor([0.5, 1.0]), 0.01, 10.0)
    x = torch.randn(1, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    other = x.clone()
    other[:, 0] += 3
    given_mask = torch.tensor([10.0, 0.01]).reshape(1, 2, 1, 1, 1)
    assert bool((denoiser(other, given_mask).mean[:, 0] != denoiser(x, given_mask).mean[:, 0]).all())


def test_a_checkpoint_keeps_the_mean() -> None:
    """One without it may go on where there is no mean; else nobody knows what its network was given."""

    def made(mean: float) -> Preconditioned:
        return Preconditioned(Fixed(), torch.tensor([0.5, 1.0]), 0.01, 10.0, torch.tensor([0.0, mean]))

    kept = made(-0.9)
    kept.load_state_dict(made(-0.7).state_dict())
    assert kept.mean_data.flatten().tolist() == pytest.approx([0, -0.7])
    state = made(-0.7).state_dict()
    del state["mean_data"]
    same = made(0.0)
    same.load_state_dict(dict(state))
    assert same.mean_data.flatten().tolist() == [0, 0]
    with pytest.raises(ConfigError, match="does not say which mean"):
        made(-0.9).load_state_dict(dict(state))


@pytest.mark.parametrize("level", [0.02, 0.3, 1.0, 9.0])
def test_a_mask_without_context_has_its_bayesian_posterior(level: float) -> None:
    """Independent voxels of -1 and 1: what the network adds is 0, and D is the posterior mean by Bayes' rule."""
    inside = torch.tensor([0.03, 0.6])
    mean = torch.tensor([0.0, *(2 * inside - 1)])
    masks = Preconditioned(Zero(), torch.tensor([0.5, 0.3, 0.9]), 0.01, 10.0, mean, [False, True, True])
    x = level * torch.linspace(-3, 3, 3 * 64).reshape(1, 3, 4, 4, 4) + 0.5
    out = masks(x, torch.tensor(level))
    noise = torch.distributions.Normal(0, level)
    x, prior = x[:, 1:].double(), inside.double().reshape(1, 2, 1, 1, 1)
    one, none = prior * noise.log_prob(x - 1).exp(), (1 - prior) * noise.log_prob(x + 1).exp()
    p = one / (one + none)
    torch.testing.assert_close(out.mean[:, 1:].double(), 2 * p - 1, atol=1e-5, rtol=1e-5)
    likely = (p > 1e-3) & (p < 1 - 1e-3)
    torch.testing.assert_close(
        out.log_variance[:, 1:].double()[likely], (4 * p * (1 - p)).log()[likely], atol=1e-3, rtol=1e-3
    )
    image = Preconditioned(Zero(), torch.tensor([0.5]), 0.01, 10.0)
    assert image.with_log_odds(torch.ones(1, 1, 4, 4, 4), torch.tensor(level))[1] is None


def test_of_a_mask_that_is_not_observed_only_the_mean_is_known() -> None:
    masks = Preconditioned(Zero(), torch.tensor([0.5, 0.3]), 0.01, 10.0, torch.tensor([0.0, -0.9]), [False, True])
    x = torch.full((1, 2, 2, 2, 2), 4.0)
    out = masks(x, torch.tensor([0.3, math.inf]).reshape(1, 2, 1, 1, 1))
    torch.testing.assert_close(out.mean[:, 1], torch.full((1, 2, 2, 2), -0.9))
    well = masks(x, torch.tensor([0.3, 0.01]).reshape(1, 2, 1, 1, 1))
    assert bool((well.mean[:, 1] == 1).all())
    assert bool(torch.isfinite(well.log_variance).all())
