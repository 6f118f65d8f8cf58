"""A prior at work: any size, any form of the level, either precision."""

import pytest
import torch

from medidiff.errors import DeviceError, UsageError
from medidiff.prior import Prior
from medidiff.prior.denoiser import pad_far


def scan(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed))


def test_any_size_comes_back_with_its_size(tiny_prior: Prior) -> None:
    denoise = tiny_prior.denoiser("cpu", "float32")
    for shape in [(8, 8, 8), (9, 12, 15), (2, 3, 30)]:
        out = denoise(scan(*shape), 0.3, spacing_mm=(1.0, 1.0, 2.0))
        assert out.mean.shape == out.log_variance.shape == (1, 1, *shape)
        assert torch.isfinite(out.mean).all()
    assert denoise.nfe == 3


def test_the_plain_network_is_what_runs(tiny_prior: Prior) -> None:
    x = scan(16, 8, 8)
    expected = tiny_prior.build()(x, torch.tensor(0.3))
    out = tiny_prior.denoiser("cpu", "float32")(x, 0.3)
    # channels_last_3d weights may pick another kernel: a few ulps in sums of a thousand products.
    torch.testing.assert_close(out.mean, expected.mean, atol=1e-5, rtol=1e-5)


def test_a_constant_map_equals_a_scalar(tiny_prior: Prior) -> None:
    denoise = tiny_prior.denoiser("cpu", "float32")
    x = scan(10, 9, 8)
    torch.testing.assert_close(denoise(x, torch.full_like(x, 0.2)).mean, denoise(x, 0.2).mean, atol=1e-5, rtol=1e-5)


def test_unobserved_voxels_are_allowed(tiny_prior: Prior) -> None:
    sigma = torch.full((1, 1, 9, 9, 9), 0.2)
    sigma[..., 4:] = torch.inf
    assert torch.isfinite(tiny_prior.denoiser("cpu", "float32")(scan(9, 9, 9), sigma).mean).all()


def test_bf16_is_close_to_float32(tiny_prior: Prior) -> None:
    x = scan(16, 16, 16)
    full = tiny_prior.denoiser("cpu", "float32")(x, 0.5)
    half = tiny_prior.denoiser("cpu", "bf16")(x, 0.5)
    # bfloat16 keeps 8 bits (0.4%); over about ten layers of a network whose correction is of the order of sigma.
    assert (full.mean - half.mean).square().mean().sqrt() < 0.02 * 0.5
    assert half.mean.dtype == torch.float32


def test_a_batch_counts_its_scans(tiny_prior: Prior) -> None:
    denoise = tiny_prior.denoiser("cpu", "float32")
    denoise(torch.cat([scan(8, 8, 8), scan(8, 8, 8, seed=1)]), 0.3, spacing_mm=(1, 1, 1))
    assert denoise.nfe == 2


def test_far_ends_are_mirrored() -> None:
    x = torch.arange(5.0).reshape(1, 1, 5, 1, 1)
    assert pad_far(x, 4).flatten(0, 2)[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 4, 3, 2]
    assert pad_far(x, 4).shape == (1, 1, 8, 4, 4)
    assert pad_far(x[:, :, :1], 4).shape == (1, 1, 4, 4, 4)


def test_devices_that_are_not_there(tiny_prior: Prior) -> None:
    with pytest.raises(DeviceError, match="cuda:99"):
        tiny_prior.denoiser("cuda:99")
    with pytest.raises(UsageError, match="toaster"):
        tiny_prior.denoiser("toaster")
    with pytest.raises(UsageError, match="precision half"):
        tiny_prior.denoiser("cpu", "half")
