"""Level from place to place: the fit on cells with a known answer, then noise that varies with its exact denoiser."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from medidiff.diffusion.preconditioning import Denoised
from medidiff.noise.varying import smooth_level_map
from medidiff.tasks.blocks import Block
from medidiff.tasks.level_field import LevelField, enough_cells, fit_field
from medidiff.tasks.local_level import Scan, find_local

SHAPE = (48, 48, 48)
SIGNAL, LEVEL = 0.05, 0.1


def cells(n: int) -> np.ndarray:
    return np.stack(np.meshgrid(*[np.arange(3.5, n, 8.0)] * 3, indexing="ij"), -1).reshape(-1, 3)


def wave(at: np.ndarray, n: int) -> np.ndarray:
    """One half wave along x: among the field's own terms."""
    return 0.4 * np.cos(np.pi * (at[:, 0] + 0.5) / n)


@pytest.mark.parametrize("outliers", [0, 20])
def test_a_wave_through_noisy_cells_is_found(outliers: int) -> None:
    centres = cells(64)  # 512
    rng = np.random.default_rng(0)
    wanted = wave(centres, 64) + 0.05 * rng.standard_normal(len(centres))
    wanted[rng.choice(len(wanted), outliers, replace=False)] += 2  # sharp anatomy
    found = fit_field((64, 64, 64), centres, wanted, np.ones(len(centres)))
    # 40 terms through 512 cells of 0.05 leave 0.05 sqrt(40 / 512) = 0.014 (rms), less with a ridge.
    error = found.logarithm(centres) - wave(centres, 64)
    assert np.sqrt(np.mean(error**2)) < 0.02
    assert found.gain > 10
    assert found.scatter == pytest.approx(0.05, rel=0.3)


def test_cells_that_agree_give_one_level() -> None:
    centres = cells(64)
    wanted = 0.1 + 0.05 * np.random.default_rng(1).standard_normal(len(centres))
    found = fit_field((64, 64, 64), centres, wanted, np.ones(len(centres)))
    assert found.gain < 0.2  # the gate of `local_level`
    np.testing.assert_allclose(found.logarithm(centres), 0.1, atol=0.05)


def test_a_field_is_the_same_on_a_block_at_places_and_on_the_scan() -> None:
    centres = cells(64)
    field = fit_field((64, 64, 64), centres, wave(centres, 64), np.ones(len(centres)))
    block = Block((8, 0, 40), (16, 24, 8))
    whole = field.whole()
    torch.testing.assert_close(field.at(block), whole[block.place], rtol=1e-5, atol=0)
    there = np.array([[10, 3, 45], [23, 20, 41]])
    np.testing.assert_allclose(np.log(whole.numpy()[tuple(there.T)]), field.logarithm(there), atol=1e-5)
    assert LevelField.one((8, 8, 8)).whole().ndim == 0


def test_few_cells_tell_no_field() -> None:
    assert enough_cells((64, 64, 64), 60)  # about 40 terms
    assert not enough_cells((64, 64, 64), 40)
    assert enough_cells((4, 4, 4), 2)  # one term, the constant


def shrink(x: Tensor, sigma: Tensor, spacing_mm: object = None, cond: object = None) -> Denoised:
    """The exact denoiser of independent voxels of standard deviation SIGNAL."""
    mean = x * SIGNAL**2 / (SIGNAL**2 + sigma**2)
    return Denoised(mean, torch.full_like(mean, math.nan))


def scan_of(level: np.ndarray) -> Scan:
    rng = np.random.default_rng(2)
    y = SIGNAL * rng.standard_normal(SHAPE) + level * rng.standard_normal(SHAPE)
    y = torch.from_numpy(y.astype(np.float32))[None, None]
    return Scan(shrink, y, torch.ones(SHAPE), None, torch.Generator().manual_seed(0))


def test_a_level_that_varies_is_found_from_one_level() -> None:
    level = LEVEL * smooth_level_map(SHAPE, np.random.default_rng(3), peak=3.0)
    told = float(np.median(level))
    field, work = find_local(scan_of(level), torch.tensor(told), 1.0, None, is_map=False)
    assert field is not None
    error = np.log(told * field.whole().numpy() / level)
    assert np.log(told / level).std() > 0.2
    # For a linear denoiser the ratio grows with the level 1.7 times as fast as for a trained one (`_SLOPE`), so the
    # first of the four turns goes too far; 40 terms cannot follow the map to better than 0.03 either.
    assert error.std() < 0.1
    assert abs(error.mean()) < 0.05
    assert 1 < work <= 2


def test_one_level_gets_no_field_after_a_quarter_of_the_scan() -> None:
    level = np.full(SHAPE, LEVEL)
    field, work = find_local(scan_of(level), torch.tensor(LEVEL), 1.0, None, is_map=False)
    assert field is None
    assert work <= 0.5
