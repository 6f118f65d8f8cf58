"""Haar: orthonormal, its own inverse's transpose, and white noise stays white."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medidiff.nets.haar import haar3d, inverse_haar3d


def matrix(channels: int = 1) -> Tensor:
    """The transform of a (channels, 4, 2, 2) scan as a dense matrix, row by row."""
    n = channels * 16
    eye = torch.eye(n, dtype=torch.float64).reshape(n, channels, 4, 2, 2)
    return haar3d(eye).reshape(n, n).T


@pytest.mark.parametrize("channels", [1, 2])
def test_orthonormal(channels: int) -> None:
    # float64 entries are +-(1/sqrt 2)^3, each product rounded once: 1e-15; the demand is 1e-6.
    H = matrix(channels)
    torch.testing.assert_close(H @ H.T, torch.eye(len(H), dtype=torch.float64), rtol=0, atol=1e-14)


def test_orthonormal_in_float32() -> None:
    x = torch.randn(2, 3, 8, 6, 4, generator=torch.Generator().manual_seed(0))
    assert float(haar3d(x).square().sum() / x.square().sum()) == pytest.approx(1, abs=1e-6)


def test_white_noise_stays_white() -> None:
    # Cov(H n) = H Cov(n) H^T, exactly; and for a sigma that differs from channel to channel likewise.
    H = matrix(2)
    variance = torch.cat([torch.full((16,), 0.3), torch.full((16,), 2.0)]).double()
    covariance = H @ torch.diag(variance) @ H.T
    torch.testing.assert_close(covariance, torch.diag(variance), rtol=0, atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(st.tuples(st.integers(1, 3), st.integers(1, 3), *[st.integers(1, 5)] * 3))
def test_inverse(sizes: tuple[int, ...]) -> None:
    b, c, x, y, z = sizes
    scan = torch.randn(b, c, 2 * x, 2 * y, 2 * z, dtype=torch.float64)
    coefficients = haar3d(scan)
    assert coefficients.shape == (b, 8 * c, x, y, z)
    torch.testing.assert_close(inverse_haar3d(coefficients), scan, rtol=0, atol=1e-14)


def test_first_coefficient_is_the_mean_and_channels_stay_together() -> None:
    x = torch.randn(1, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = haar3d(x).reshape(2, 8)
    torch.testing.assert_close(coefficients[:, 0], x.reshape(2, 8).mean(dim=1) * 8**0.5)
    torch.testing.assert_close(coefficients.square().sum(dim=1), x.reshape(2, 8).square().sum(dim=1))


def test_refuses_odd_sizes() -> None:
    with pytest.raises(ValueError, match="even"):
        haar3d(torch.zeros(1, 1, 4, 3, 4))
    with pytest.raises(ValueError, match="multiple of 8"):
        inverse_haar3d(torch.zeros(1, 7, 2, 2, 2))
