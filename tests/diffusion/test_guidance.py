import math

import pytest
import torch
from torch import Tensor

from medidiff.diffusion import guided

X = torch.randn(1, 1, 2, 2, 2, generator=torch.Generator().manual_seed(0))


def denoise(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (1 + sigma**2)


def reference(x: Tensor, sigma: Tensor) -> Tensor:
    return x / (2 + sigma)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.5])
def test_algebra(weight: float) -> None:
    t = torch.tensor(0.8)
    expected = reference(X, t) + weight * (denoise(X, t) - reference(X, t))
    torch.testing.assert_close(guided(denoise, reference, weight)(X, t), expected)


def test_guiding_by_itself_changes_nothing() -> None:
    t = torch.tensor(0.8)
    torch.testing.assert_close(guided(denoise, denoise, 3.0)(X, t), denoise(X, t))


@pytest.mark.parametrize(("sigma", "inside"), [(0.1, False), (0.3, False), (0.31, True), (2.0, True), (2.1, False)])
def test_only_inside_the_interval(sigma: float, inside: bool) -> None:
    calls = 0

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return reference(x, sigma)

    t = torch.tensor(sigma)
    out = guided(denoise, counted, 2.0, (0.3, 2.0))(X, t)
    expected = 2 * denoise(X, t) - reference(X, t) if inside else denoise(X, t)
    torch.testing.assert_close(out, expected)
    assert calls == int(inside), "the reference costs an evaluation only where it is used"


def test_a_map_is_guided_voxel_by_voxel() -> None:
    sigma = torch.full_like(X, 0.1)
    sigma[..., 1] = 1.0
    sigma[..., 0, 0] = math.inf
    out = guided(denoise, reference, 2.0, (0.3, 2.0))(X, sigma)
    plain, both = denoise(X, sigma), 2 * denoise(X, sigma) - reference(X, sigma)
    torch.testing.assert_close(out, torch.where(sigma == 1.0, both, plain))
