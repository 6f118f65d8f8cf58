"""The noise by the prior's own residual: exact on a Gaussian field with its exact denoiser, then the packaged prior."""

import itertools
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from medidiff.diffusion.colour import colour, correlations, gaussian_power
from medidiff.diffusion.noise_shape import noise_shape
from medidiff.diffusion.preconditioning import Denoised
from medidiff.io import read_nifti
from medidiff.nets.embedding import NOISE_CORRELATION
from medidiff.phantoms import procedural_volume
from medidiff.prior import Prior
from medidiff.tasks.blind import refine_noise
from medidiff.tasks.blocks import Block, choose_blocks, noisy_voxels

SHAPE = (24, 24, 24)
SMOOTH = (2.0, 2.0, 2.0)
LEVEL = 0.1
WHITE = (0.0,) * 6


def wiener(x: Tensor, sigma: Tensor, spacing_mm: object = None, cond: dict[str, Tensor] | None = None) -> Denoised:
    """The exact denoiser of `noisy_field`: one periodic block, a smooth field of standard deviation 0.5."""
    noise = noise_shape(cond[NOISE_CORRELATION][0].tolist()).power(SHAPE) if cond else torch.ones(())
    power = 0.25 * gaussian_power(SHAPE, SMOOTH)
    gain = power / (power + sigma**2 * noise)
    mean = torch.fft.irfftn(gain * torch.fft.rfftn(x, dim=(-3, -2, -1)), s=SHAPE)
    return Denoised(mean, torch.full_like(mean, math.nan))  # its log variance is not used


def noisy_field(widths: tuple[float, float, float]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    field = colour(torch.randn(SHAPE, generator=generator), gaussian_power(SHAPE, SMOOTH)) / 2
    noise = colour(torch.randn(SHAPE, generator=generator), gaussian_power(SHAPE, widths))
    return (field + LEVEL * noise)[None, None]


@pytest.mark.parametrize("start", [0.3, 0.7, 2.0])
def test_white_noise_of_a_gaussian_field_is_found_from_a_wrong_start(start: float) -> None:
    found = refine_noise(wiener, noisy_field((0, 0, 0)), torch.tensor(LEVEL * start), WHITE, None, budget=6)
    assert found.trusted
    # 13824 voxels say a level to 1 / sqrt(2 n) = 0.6% (one deviation).
    assert float(found.sigma) == pytest.approx(LEVEL, rel=0.015)


def test_a_right_start_is_left_alone() -> None:
    found = refine_noise(wiener, noisy_field((0, 0, 0)), torch.tensor(LEVEL), WHITE, None)
    assert found.nfe == 2
    assert float(found.sigma) == pytest.approx(LEVEL, rel=0.03)
    assert found.correlation == WHITE
    assert found.interval[0] < 1 < found.interval[1]


def test_correlated_noise_of_a_gaussian_field_is_found_from_white() -> None:
    widths = (0.8, 0.8, 0.0)
    true = correlations(gaussian_power(SHAPE, widths), SHAPE)
    found = refine_noise(wiener, noisy_field(widths), torch.tensor(0.8 * LEVEL), WHITE, None, budget=6)
    assert found.trusted
    assert found.correlation is not None
    # White was wrong by 0.68. What stays is what a prior's own differences may be (0.04 + 0.13 * 0.68) and the sampling
    # of 13824 voxels, worth 3500 white ones; a correlation that is 0.1 too low costs some 5% of the level.
    np.testing.assert_allclose(found.correlation, true, atol=0.16)
    assert float(found.sigma) == pytest.approx(LEVEL, rel=0.15)


def test_correlated_noise_is_noticed_by_a_prior_that_is_not_told() -> None:
    start = torch.tensor(LEVEL)
    found = refine_noise(wiener, noisy_field((0.8, 0.8, 0.0)), start, None, None)
    assert not found.trusted
    assert found.sigma is start
    assert "correlated" in found.warnings[0]


def test_blocks_lie_where_the_noise_is() -> None:
    noisy = np.zeros((96, 90, 96), dtype=bool)
    noisy[40:, :, 10:] = True
    blocks = choose_blocks(noisy)
    assert len(blocks) == 96 * 90 * 96 // (6 * 32**3)
    for block in blocks:
        assert noisy[block.place].mean() >= 0.3
        assert all(a % 8 == 0 for a in block.start)
    assert len({b.start for b in blocks}) == len(blocks)
    assert choose_blocks(np.zeros((40, 40, 40), dtype=bool)) == []


@pytest.mark.parametrize("shape", [(33, 40, 9), (5, 60, 61), (70, 65, 64)])
def test_the_first_block_is_a_fullest_one(shape: tuple[int, int, int]) -> None:
    noisy = np.zeros(shape, dtype=bool)
    noisy[24:32, 8:, : min(shape[2], 16)] = True
    noisy[shape[0] - shape[0] % 8 :] = True  # beyond the last whole cube: in no block
    noisy[0] |= shape[0] < 8
    block = choose_blocks(noisy)[0]
    x, y, z = (range(0, n - k + 1, 8) for n, k in zip(shape, block.shape, strict=True))
    most = max(noisy[Block(start, block.shape).place].sum() for start in itertools.product(x, y, z))
    assert noisy[block.place].sum() == most > 0


def test_blocks_of_a_large_scan_take_no_memory() -> None:
    noisy = np.ones((128, 128, 128), dtype=bool)
    tracemalloc.start()
    choose_blocks(noisy)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * noisy.size  # sums voxel by voxel took 16 bytes each: 2 GB of 512^3


def test_what_a_mask_repeats_is_no_noise() -> None:
    y = np.random.default_rng(0).standard_normal((16, 16, 16)).astype(np.float32)
    y[:8] = -7
    assert noisy_voxels(y).sum() == 8 * 16 * 16
    assert not noisy_voxels(y, where=np.zeros(y.shape, dtype=bool)).any()


def test_a_scan_without_noise_is_not_trusted() -> None:
    found = refine_noise(wiener, torch.zeros(1, 1, *SHAPE), torch.tensor(LEVEL), WHITE, None)
    assert not found.trusted
    assert found.nfe == 0


@pytest.fixture(scope="module")
def denoiser() -> object:
    return Prior.load("general").denoiser("cpu", "float32")


@pytest.mark.parametrize("start", [0.7, 1.0])
def test_a_phantoms_level_is_found_by_the_packaged_prior(denoiser: object, start: float) -> None:
    clean = torch.from_numpy(procedural_volume((24, 24, 24), 5))[None, None]
    clean = 2 * (clean - clean.min()) / (clean.max() - clean.min()) - 1
    y = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    told = WHITE if denoiser.config.noise_correlation else None  # type: ignore[attr-defined]
    found = refine_noise(denoiser, y, torch.tensor(0.1 * start), told, (1.0, 1.0, 1.0), budget=6)  # type: ignore[arg-type]
    assert found.trusted
    # One block of 24^3 voxels. Version 1 finds 0.1084 from 0.07.
    assert float(found.sigma) == pytest.approx(0.1, rel=0.1)


def test_a_real_scan_is_judged(denoiser: object, real_data: Callable[[str], Path]) -> None:
    """Its own noise is not known; with much more added, the sum is."""
    path = real_data("ixi") / "images" / "IXI013_T1w.nii.gz"  # a val patient
    data = np.asarray(read_nifti(path).data, dtype=np.float32)
    x, y, z = (n // 2 for n in data.shape)
    data = data[x - 12 : x + 12, y - 12 : y + 12, z - 12 : z + 12]
    clean = torch.from_numpy(2 * data / float(np.percentile(data, 99.5)) - 1)[None, None]
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    told = WHITE if denoiser.config.noise_correlation else None  # type: ignore[attr-defined]
    found = refine_noise(denoiser, noisy, torch.tensor(0.2), told, (1.0, 1.0, 1.0), budget=6)  # type: ignore[arg-type]
    assert 0.19 < float(found.sigma) < 0.23
