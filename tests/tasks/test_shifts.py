"""The mean of shifted passes, where each of them has been."""

import pytest
import torch

from medidiff.diffusion.preconditioning import Denoised
from medidiff.tasks import shifts as shifting
from medidiff.tasks.shifts import MOST_SHIFTS, shifted_mean
from medidiff.tiles import Grid, covered
from medidiff.tiling import TiledDenoiser


class Numbered:
    """A session whose passes return their own number, counted from 1."""

    def __init__(self) -> None:
        self.tiled = TiledDenoiser(self)  # type: ignore[arg-type]
        self.passes: list[Grid] = []
        self.alignment = 8

    def evaluate(self, y: torch.Tensor, sigma: torch.Tensor, *, grid: Grid, into: Denoised, share: float) -> None:
        self.passes.append(grid)
        place = (..., *covered(y.shape[2:], grid, 8))
        for part in into:
            part[place] += share * len(self.passes)


@pytest.mark.parametrize("shape", [(104, 8, 96), (16, 96, 7), (5, 6, 9)])
@pytest.mark.parametrize("shifts", [1, 2, 3, MOST_SHIFTS])
def test_each_voxel_is_the_mean_of_the_passes_that_saw_it(shape: tuple[int, int, int], shifts: int) -> None:
    session, y = Numbered(), torch.zeros(1, 1, *shape)
    out = shifted_mean(session, y, torch.tensor(0.1), shifts)  # type: ignore[arg-type]
    total, count = torch.zeros_like(y), torch.zeros_like(y)
    for number, grid in enumerate(session.passes, start=1):
        place = (..., *covered(shape, grid, 8))
        total[place] += number
        count[place] += 1
    assert count.min() >= 1
    torch.testing.assert_close(out.mean, total / count, rtol=1e-6, atol=0)
    torch.testing.assert_close(out.log_variance, total / count, rtol=1e-6, atol=0)
    # Turned round and shifted, the second pass leaves out the first voxels of axes of 104 and 96.
    assert (count < shifts).any() == (shifts > 1 and max(shape) >= 96)


def test_short_full_axes_are_flipped_only() -> None:
    session = Numbered()
    shifted_mean(session, torch.zeros(1, 1, 56, 57, 104), torch.tensor(0.1), 2)  # type: ignore[arg-type]
    assert session.passes == [Grid(), Grid((0, 1, 1), (2, 3, 4))]


def test_places_and_flips_are_pairs() -> None:
    assert len(shifting._SHIFTS) == len(shifting._FLIPS) == len(set(shifting._SHIFTS)) == MOST_SHIFTS
