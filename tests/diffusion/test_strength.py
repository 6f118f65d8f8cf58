"""From mean to sample: the cost is exact on a Gaussian whose posterior is known."""

import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import GaussianDenoiser, blend, distortion, distortion_db
from medidiff.errors import UsageError


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_cost_is_one_plus_w_squared_over_k(
    gaussian: GaussianDenoiser, noise_maps: dict[str, Tensor], observed: Tensor, weight: float, samples: int
) -> None:
    """Basis vectors through posterior draws A z: x0 - mu = A z_0, sample - mu = A z_k; expectations are traces."""
    posterior = gaussian.posterior(observed, noise_maps["smooth"])
    A, n = torch.linalg.cholesky(posterior.covariance), 64
    z = torch.eye((samples + 1) * n, dtype=torch.float64).reshape(-1, samples + 1, n)
    x0, draws = z[:, 0] @ A.T, z[:, 1:] @ A.T
    mean = torch.zeros_like(x0)
    error = (blend(mean, draws.mean(dim=1), weight) - x0).square().sum()
    assert float(error / posterior.covariance.trace()) == pytest.approx(distortion(weight, samples), rel=1e-10)


def test_ends_and_decibels() -> None:
    mean, sample = torch.randn(2, 3, 4)
    assert torch.equal(blend(mean, sample, 0.0), mean)
    torch.testing.assert_close(blend(mean, sample, 1.0), sample)
    assert distortion_db(1.0) == pytest.approx(10 * math.log10(2))
    assert distortion_db(0.5) == pytest.approx(0.969, abs=1e-3)
    assert distortion_db(1.0, samples=4) == pytest.approx(10 * math.log10(1.25))
    assert distortion_db(0.0) == 0


@pytest.mark.parametrize("weight", [-0.1, 1.01, math.nan])
def test_refuses(weight: float) -> None:
    for function in (distortion, lambda w: blend(torch.zeros(1), torch.zeros(1), w)):
        with pytest.raises(UsageError, match="--strength"):
            function(weight)
    with pytest.raises(UsageError, match="1 or more"):
        distortion(0.5, samples=0)
