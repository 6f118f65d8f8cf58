"""A Gaussian whose posterior, denoiser and ODE solution are known, and noise maps of every kind."""

import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import GaussianDenoiser

SHAPE = (1, 4, 4, 4)
INF = math.inf


def grid() -> Tensor:
    """Voxel coordinates (64, 3)."""
    axis = torch.arange(4, dtype=torch.float64)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)


@pytest.fixture(scope="session")
def gaussian() -> GaussianDenoiser:
    """Correlated over two voxels, standard deviation 0.51; eigenvalues of C from 0.1^2 to 2.76^2; a mean of its own."""
    distance = torch.cdist(grid(), grid())
    covariance = 0.25 * torch.exp(-0.5 * (distance / 2) ** 2) + 0.01 * torch.eye(64, dtype=torch.float64)
    return GaussianDenoiser(0.3 * torch.sin(grid().sum(dim=1)).reshape(SHAPE), covariance)


@pytest.fixture(scope="session")
def noise_maps() -> dict[str, Tensor]:
    """One noise map (0-dim or (1, c, x, y, z)) for each task of design.md, section 1."""
    smooth = 0.3 * torch.exp(0.7 * torch.cos(grid()[:, 0] / 2 + grid()[:, 1])).reshape(1, *SHAPE)
    hole, slices = (torch.full((1, *SHAPE), 0.15, dtype=torch.float64) for _ in range(2))
    hole[..., 1:3, 1:3, 1:3] = INF
    slices[..., 1::2] = INF
    constant, nothing = (torch.tensor(level, dtype=torch.float64) for level in (0.3, INF))
    return {"constant": constant, "smooth": smooth, "hole": hole, "slices": slices, "synthesis": nothing}


@pytest.fixture(scope="session")
def observed() -> Tensor:
    """A scan to condition on, (1, c, x, y, z); any will do, the answers are exact for all."""
    return torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
