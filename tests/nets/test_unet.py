"""The network: maps and scalars, batches, locality, conditions."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from medidiff.diffusion import Preconditioned, sample_posterior, sample_prior
from medidiff.nets import NetConfig


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


@torch.no_grad()
@pytest.mark.parametrize("sigma", [0.02, 0.3, 15.0])
def test_constant_map_equals_scalar(denoiser: Preconditioned, sigma: float) -> None:
    x = noise(2, 1, 8, 8, 12) * (0.5 + sigma)
    scalar = denoiser(x, torch.tensor(sigma))
    for shape in ((2, 1, 1, 1, 1), (1, 1, 8, 8, 12), (2, 1, 8, 8, 12)):
        mapped = denoiser(x, torch.full(shape, sigma))
        # float32: the map is averaged (eps 1.2e-7 of c_noise), multiplied by weights of std 2 inside a sine, and passes
        # ten layers that add eps each: some 1e-6 of F (1e-6 seen), times c_out for the mean.
        c_out = sigma * 0.5 / (sigma**2 + 0.25) ** 0.5
        torch.testing.assert_close(mapped.mean, scalar.mean, rtol=1e-6, atol=5e-6 * c_out)
        torch.testing.assert_close(mapped.log_variance, scalar.log_variance, rtol=0, atol=1e-4)
    other = denoiser(x, torch.tensor(sigma * 1.2))
    assert float((other.mean - scalar.mean).abs().max()) > 1e-3 * c_out, "the level must matter"


@pytest.mark.parametrize("level", ["map", "constant", "two constants"])
def test_without_gradients_the_same_in_less_memory(denoiser: Preconditioned, level: str) -> None:
    x = noise(2 if level == "two constants" else 1, 1, 16, 24, 8)
    sigma = {"map": 0.1 + x.abs(), "constant": torch.tensor(0.3), "two constants": torch.tensor([0.2, 0.4])}[level]
    sigma = sigma.reshape(2, 1, 1, 1, 1) if level == "two constants" else sigma
    before = x.clone()
    trained = denoiser(x, sigma)
    with torch.no_grad():
        used = denoiser(x, sigma)
    assert torch.equal(x, before)
    if level == "constant":  # the modulation is part of the norm's gain: one rounding less
        torch.testing.assert_close(used.mean, trained.mean, rtol=0, atol=1e-5)
        torch.testing.assert_close(used.log_variance, trained.log_variance, rtol=0, atol=1e-4)
    else:
        assert torch.equal(used.mean, trained.mean)
        assert torch.equal(used.log_variance, trained.log_variance)


@torch.no_grad()
def test_evaluation_does_not_depend_on_the_batch(denoiser: Preconditioned) -> None:
    x, sigma = noise(4, 1, 16, 8, 8), 0.1 + noise(4, 1, 16, 8, 8, seed=1).abs()
    four = denoiser(x, sigma)
    one = denoiser(x[2:3], sigma[2:3])
    # float32 convolutions are blocked differently for another batch: 3e-6 seen (design.md, section 4), 1e-5 allowed.
    torch.testing.assert_close(one.mean, four.mean[2:3], rtol=0, atol=1e-5)
    torch.testing.assert_close(one.log_variance, four.log_variance[2:3], rtol=0, atol=1e-4)


def test_samples_do_not_depend_on_the_batch(denoiser: Preconditioned) -> None:
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return denoiser(x, sigma).mean

    def draw(*seeds: int) -> Tensor:
        generators = [Generator().manual_seed(seed) for seed in seeds]
        options = {"n_steps": 8, "sigma_min": 0.02, "sigma_max": 20.0}
        return sample_prior(denoise, (1, 8, 8, 8), generators=generators, **options).x

    four = draw(0, 1, 2, 3)
    # 1e-5 an evaluation (above), ten evaluations, and the random network is no contraction: 1e-4.
    torch.testing.assert_close(draw(2), four[2:3], rtol=0, atol=1e-4)
    assert float((four[0] - four[2]).abs().max()) > 0.01
    y, hole = noise(1, 1, 8, 8, 8) * 0.5, torch.full((1, 1, 8, 8, 8), 0.1)
    hole[..., :4] = torch.inf
    y[..., :4] = torch.nan
    samples = sample_posterior(
        denoise, y, hole, n_steps=4, sigma_min=0.02, sigma_max=20.0, generators=[Generator().manual_seed(0)]
    )
    assert bool(samples.x.isfinite().all())


def receptive_radius(blocks: tuple[int, int]) -> int:
    """Farthest voxel, along an axis, that a two-level network may look at.

    Haar cubes and strides each add less than one step of their own grid. In steps of the finest grid that has half
    the scan's resolution: stem 1, head 1, two convolutions a block on the way down and up, the same at twice the step.
    """
    fine = 1 + 1 + 2 * (2 * blocks[0])
    coarse = 2 * blocks[1]
    return 2 * (fine + 2 * coarse + 2) + 2


@torch.no_grad()
def test_nothing_looks_farther_than_its_receptive_field(denoiser: Preconditioned) -> None:
    x, sigma = noise(1, 1, 80, 8, 8), torch.full((1, 1, 80, 8, 8), 0.3)
    before = denoiser(x, sigma)
    x_far, sigma_far = x.clone(), sigma.clone()
    x_far[:, :, 48:] += 5 * noise(1, 1, 32, 8, 8, seed=3)
    sigma_far[:, :, 48:] = 20.0
    radius = receptive_radius((1, 1))
    assert radius < 48
    for far in (denoiser(x_far, sigma), denoiser(x, sigma_far), denoiser(x_far, sigma_far)):
        for name in ("mean", "log_variance"):
            change = (getattr(far, name) - getattr(before, name)).abs().amax(dim=(0, 1, 3, 4))
            # Each voxel's sums have the same terms in the same order: equal, or a rounding apart.
            assert float(change[: 48 - radius].max()) <= 1e-6
            assert float(change[46:48].max()) > 1e-3, "next to the change something must happen"


def test_gradients_are_local(denoiser: Preconditioned) -> None:
    x = noise(1, 1, 80, 8, 8).requires_grad_()
    denoiser(x, torch.tensor(0.3)).mean[0, 0, 4, 4, 4].backward()
    assert x.grad is not None
    reached = x.grad.abs().amax(dim=(0, 1, 3, 4)) > 0
    assert bool(reached[4])
    assert not bool(reached[4 + receptive_radius((1, 1)) + 1 :].any())


@torch.no_grad()
def test_the_null_token_equals_leaving_out(conditioned: Preconditioned) -> None:
    x, sigma = noise(2, 1, 8, 8, 8), torch.tensor(0.5)
    bare = conditioned(x, sigma).mean
    nulls = {"kind": torch.zeros(2, dtype=torch.long), "age": torch.full((2,), torch.nan)}
    for cond in ({}, {"kind": nulls["kind"]}, {"age": nulls["age"]}, nulls):
        assert torch.equal(conditioned(x, sigma, None, cond).mean, bare)


@torch.no_grad()
def test_each_condition_matters_and_stays_with_its_scan(conditioned: Preconditioned) -> None:
    x, sigma = noise(2, 1, 8, 8, 8), torch.tensor(0.5)
    bare = conditioned(x, sigma).mean
    given = {
        "kind": torch.tensor([2, 0]),
        "age": torch.tensor([50.0, torch.nan]),
        "mask": torch.stack([noise(1, 8, 8, 8, seed=4), noise(1, 8, 8, 8, seed=5)]),
    }
    for name, value in given.items():
        changed = (conditioned(x, sigma, None, {name: value}).mean - bare).abs().amax(dim=(1, 2, 3, 4))
        assert float(changed[0]) > 1e-3
        if name != "mask":
            assert float(changed[1]) == 0, "the second scan had the null token"
    # An image of zeros is an image: it is not the null token.
    empty_mask = conditioned(x, sigma, None, {"mask": torch.zeros(2, 1, 8, 8, 8)}).mean
    assert float((empty_mask - bare).abs().max()) > 1e-3


@torch.no_grad()
def test_spacing_matters_and_may_be_unknown(denoiser: Preconditioned) -> None:
    x, sigma = noise(1, 1, 8, 8, 8), torch.tensor(0.5)
    outputs = [denoiser(x, sigma, s).mean for s in (None, torch.ones(1, 3), torch.tensor([[1.0, 1.0, 4.0]]))]
    assert all(bool(out.isfinite().all()) for out in outputs)
    assert float((outputs[0] - outputs[1]).abs().max()) > 1e-4
    assert float((outputs[1] - outputs[2]).abs().max()) > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 2])
def test_infinite_levels_are_sigma_max(build: Callable[..., Preconditioned], channels: int) -> None:
    denoiser = build(NetConfig(channels=channels, widths=(8, 12), blocks=(1, 1), embedding=16))
    x = noise(1, channels, 8, 8, 8)
    sigma = torch.full((1, channels, 8, 8, 8), 0.2)
    sigma[:, -1, :4] = torch.inf
    clamped = sigma.clamp(max=20.0)
    assert torch.equal(denoiser(x, sigma).mean, denoiser(x, clamped).mean)
    assert torch.equal(denoiser(x, torch.tensor(torch.inf)).mean, denoiser(x, torch.tensor(20.0)).mean)


def test_a_new_network_returns_the_linear_estimate() -> None:
    from medidiff.nets import HaarUNet

    fresh = Preconditioned(HaarUNet(NetConfig(widths=(8, 12), blocks=(1, 1))), torch.tensor([0.5]), 0.02, 20.0)
    x, sigma = noise(1, 1, 8, 8, 8), torch.tensor(0.5)
    out = fresh(x, sigma)
    torch.testing.assert_close(out.mean, 0.5 * x)  # c_skip = s^2 / (sigma^2 + s^2) = 1/2
    torch.testing.assert_close(out.log_variance, torch.full_like(x, 0.125).log())  # c_out^2 = 1/8


def test_config_refuses_unequal_levels_and_unknown_keys() -> None:
    from pydantic import ValidationError

    from medidiff.nets import HaarUNet

    with pytest.raises(ValueError, match="one entry per level"):
        HaarUNet(NetConfig(widths=(8, 12), blocks=(1,)))
    with pytest.raises(ValidationError):
        NetConfig.model_validate({"width": 8})
    assert NetConfig(widths=(8, 12, 16), blocks=(1, 1, 1)).alignment == 8
