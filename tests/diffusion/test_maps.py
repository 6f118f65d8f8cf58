"""Maps drawn for training: within their range, of every kind, and the same for the same generator."""

import pytest
import torch
from torch import Generator

from medidiff.diffusion import LevelRange, MapDistribution
from medidiff.diffusion import maps as maps_module
from medidiff.diffusion.maps import random_region, smooth_field

SHAPE = (3, 2, 16, 12, 8)
MAPS = MapDistribution((LevelRange(0.02, 0.5, 3.0), LevelRange(0.5, 20.0, 1.0)), sigma_min=0.02, sigma_max=20.0)


def test_levels_follow_the_mixture() -> None:
    levels = MAPS.draw_levels(4000, Generator().manual_seed(0))
    assert bool(((levels >= 0.02 * (1 - 1e-6)) & (levels <= 20 * (1 + 1e-6))).all())
    # Share of the first part 3/4, ln(sigma) uniform in it: a quarter below 0.02 * 25^(1/3). Four standard errors.
    assert float((levels < 0.5).float().mean()) == pytest.approx(0.75, abs=0.03)
    assert float((levels < 0.02 * 25 ** (1 / 3)).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_every_kind_within_range() -> None:
    generator = Generator().manual_seed(0)
    constant = smooth_or_two = at_min = at_max = 0
    for _ in range(60):
        sigma = MAPS.draw(SHAPE, generator)
        assert float(sigma.min()) >= 0.02 * (1 - 1e-6)
        assert float(sigma.max()) <= 20 * (1 + 1e-6)
        if sigma.shape == (*SHAPE[:2], 1, 1, 1):
            constant += 1
            continue
        assert sigma.shape == SHAPE
        smooth_or_two += 1
        at_min += bool((sigma == 0.02).any())
        at_max += bool((sigma == 20).any())
    # Binomial(60, 1/2): 30 +- 15 is four standard deviations.
    assert 15 <= constant <= 45
    assert at_min > 0
    assert at_max > 0, "a hole (nothing observed) must be met in training"


def test_same_generator_same_maps() -> None:
    for seed in range(8):
        first, second = (MAPS.draw(SHAPE, Generator().manual_seed(seed)) for _ in range(2))
        assert torch.equal(first, second)


def test_regions_and_fields() -> None:
    generator = Generator().manual_seed(0)
    shares = [float(random_region((2, 16, 12, 8), generator).float().mean()) for _ in range(40)]
    assert max(shares) <= 1
    assert sum(0 < share < 1 for share in shares) > 30
    assert smooth_field((16, 12, 8), generator).shape == (16, 12, 8)


def test_slices_are_missing_as_scanners_and_readers_lose_them() -> None:
    """Half of the draws hide all but every k-th slice, half one to four neighbours; whole slices of one axis."""
    generator, shape = Generator().manual_seed(0), (16, 12, 20)
    alternate, lost = set(), set()
    axes = set()
    for _ in range(120):
        region = maps_module._slices(shape, generator)
        assert region.shape == shape
        along = [axis for axis in range(3) if region.float().std(dim=axis, correction=0).max() > 0]
        assert len(along) == 1, "hidden is a set of whole slices"
        axis = along[0]
        axes.add(axis)
        hidden = region.movedim(axis, 0)[:, 0, 0]
        assert bool(hidden.any())
        assert not bool(hidden.all()), "something is observed"
        runs = int((hidden[1:] & ~hidden[:-1]).sum()) + int(hidden[0])
        if runs == 1 and int(hidden.sum()) <= 4:
            lost.add(int(hidden.sum()))
        else:
            seen = (~hidden).nonzero().flatten()
            alternate.add(int(seen.diff().unique().item()))
    assert axes == {0, 1, 2}
    assert lost == {1, 2, 3, 4}
    assert alternate == {2, 3, 4, 5}


def test_a_block_shorter_than_what_is_missing() -> None:
    for seed in range(40):
        region = maps_module._slices((3, 2, 2), Generator().manual_seed(seed))
        assert region.shape == (3, 2, 2)
