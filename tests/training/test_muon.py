"""Muon: the update has equal singular values, and a step goes downhill."""

import pytest
import torch

from medidiff.training.muon import ConvMuon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (16, 200), (200, 16)])
def test_singular_values_become_equal(shape: tuple[int, int]) -> None:
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(gradient))
    # Jordan et al. 2024: five iterations of the quintic leave singular values within about 0.7 to 1.2
    assert values.max() < 1.25
    assert values.median() > 0.65


def test_least_squares_goes_down() -> None:
    torch.manual_seed(0)
    conv, teacher = torch.nn.Conv3d(4, 4, 3, padding=1), torch.nn.Conv3d(4, 4, 3, padding=1)
    x = torch.randn(2, 4, 8, 8, 8)
    optimizer = ConvMuon([conv.weight], lr=0.02)
    losses = []
    for _ in range(30):
        loss = ((conv(x) - teacher(x).detach()) ** 2).mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]
