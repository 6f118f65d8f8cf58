"""Tiles give what the whole gives, in any order, within any memory that can do it."""

import math
import random

import pytest
import torch

from medidiff.diffusion.preconditioning import Denoised
from medidiff.errors import MemoryLimitError
from medidiff.nets.unet import NetConfig
from medidiff.phantoms import head_phantom
from medidiff.prior import Prior, list_priors
from medidiff.prior.denoiser import pad_far
from medidiff.prior.files import PACKAGED
from medidiff.tiles import covered, on_grid
from medidiff.tiling import Grid, TiledDenoiser, bytes_per_voxel, choose_tile, count_tiles, denoise_tiled


def scan(*shape: int) -> torch.Tensor:
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(1))


def identity(x, sigma, spacing_mm=None, cond=None) -> Denoised:
    return Denoised(x, torch.zeros_like(x) + sigma)


@pytest.mark.parametrize("shape", [(80, 40, 9), (81, 47, 40), (97, 8, 50), (45, 41, 43)])
@pytest.mark.parametrize("tile", [(40, 40, 40), (48, 56, 40)])
def test_weights_sum_to_one(shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
    x = scan(*shape)
    level = torch.rand_like(x) + 0.1
    out = denoise_tiled(identity, x, level, tile=tile)
    # Sums of at most eight float32 products: a few units in the last place of numbers up to about 5.
    torch.testing.assert_close(out.mean, x, atol=5e-6, rtol=0)
    torch.testing.assert_close(out.log_variance, level, atol=5e-6, rtol=0)


GRIDS = [Grid((1, 1, 1), (2, 3, 4)), Grid((0, 0, 1), (3, 4)), Grid((1, 0, 0)), Grid((0, 1, 0), (2,))]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("tile", [(40, 40, 40), (99, 99, 99)])
def test_a_turned_grid_gives_the_scan_back(grid: Grid, tile: tuple[int, int, int]) -> None:
    x = scan(80, 45, 41)
    level = torch.rand_like(x) + 0.1
    into = Denoised(torch.ones_like(x), torch.zeros_like(x))
    out = denoise_tiled(identity, x, level, tile=tile, grid=grid, into=into, share=0.5)
    assert out.mean is into.mean
    seen = torch.zeros_like(x)
    seen[(..., *covered(x.shape[2:], grid, 8))] = 1
    assert (seen == 0).sum() == (45 * 41 if grid.shift[0] else 0)  # the axis of 80 is full: shifted, it loses a voxel
    torch.testing.assert_close(out.mean, 1 + seen * x / 2, atol=5e-6, rtol=0)
    torch.testing.assert_close(out.log_variance, seen * level / 2, atol=5e-6, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shape", [(56, 72, 8), (57, 55, 1), (1, 6, 16)])
def test_a_shifted_pass_is_no_larger_than_the_first(grid: Grid, shape: tuple[int, int, int]) -> None:
    sizes: set[torch.Size] = set()

    def remember(x, sigma, spacing_mm=None, cond=None) -> Denoised:
        sizes.add(pad_far(x, 8).shape)
        return Denoised(x, x)

    for one in (Grid(), grid):
        denoise_tiled(remember, scan(*shape), torch.tensor(0.1), tile=(99, 99, 99), grid=one)
    assert len(sizes) == 1


@pytest.mark.parametrize("grid", GRIDS)
def test_a_turned_grid_is_a_turned_scan(tiny_prior: Prior, grid: Grid) -> None:
    denoise, x, sigma = tiny_prior.denoiser("cpu", "float32"), scan(24, 17, 16), scan(24, 17, 16).abs() + 0.1
    turned = []
    for image in (x, sigma):
        image = image.flip(grid.flips)
        for axis, by in enumerate(grid.shift, start=2):
            image = torch.cat([image.narrow(axis, 0, by), image], dim=axis)
        turned.append(image)
    kept = (..., *(slice(0, n) for n in on_grid(x.shape[2:], grid, 8)))
    whole = denoise(*(image[kept] for image in turned)).mean
    whole = whole[(..., *(slice(by, None) for by in grid.shift))].flip(grid.flips)
    out = denoise_tiled(denoise, x, sigma, tile=(99, 99, 99), grid=grid)
    assert torch.equal(out.mean[(..., *covered(x.shape[2:], grid, 8))], whole)


def test_tiles_lie_on_the_scans_own_grid() -> None:
    starts: set[float] = set()

    def remember(x, sigma, spacing_mm=None, cond=None) -> Denoised:
        starts.add(float(x.flatten()[0]))
        assert x.shape[2] <= 48
        return Denoised(x, x)

    x = torch.arange(100.0).reshape(1, 1, 100, 1, 1).expand(1, 1, 100, 8, 8)
    denoise_tiled(remember, x, torch.tensor(0.1), tile=(48, 8, 8))
    assert all(start % 8 == 0 for start in starts)
    assert len(starts) > 3


def test_order_does_not_matter(tiny_prior: Prior) -> None:
    denoise, x = tiny_prior.denoiser("cpu", "float32"), scan(64, 48, 16)
    a = denoise_tiled(denoise, x, torch.tensor(0.3), tile=(40, 40, 16))
    count = count_tiles((64, 48, 16), (40, 40, 16))
    assert count > 8
    shuffled = random.Random(0).sample(range(count), count)
    b = denoise_tiled(denoise, x, torch.tensor(0.3), tile=(40, 40, 16), order=shuffled)
    # The tiles themselves are the same; the order of at most eight additions differs.
    torch.testing.assert_close(a.mean, b.mean, atol=2e-6, rtol=0)


@pytest.mark.parametrize("varying", [False, True])
def test_tiles_against_the_whole_with_random_weights(tiny_prior: Prior, varying: bool) -> None:
    denoise, x, level = tiny_prior.denoiser("cpu", "float32"), scan(80, 64, 40), 0.3
    sigma = torch.full_like(x, level)
    if varying:
        sigma *= torch.linspace(0.5, 1.5, 80).reshape(1, 1, -1, 1, 1)
    whole = denoise(x, sigma).mean
    tiles = denoise_tiled(denoise, x, sigma, tile=(56, 48, 40)).mean
    rms = float((whole - tiles).square().mean().sqrt())
    assert rms <= 0.01 * level


def test_the_whole_is_used_when_it_fits(tiny_prior: Prior) -> None:
    tiled = TiledDenoiser(tiny_prior.denoiser("cpu", "float32"))
    x = scan(40, 33, 20)
    plain = tiny_prior.denoiser("cpu", "float32")(x, torch.tensor(0.2))
    assert torch.equal(tiled(x, 0.2).mean, plain.mean)
    assert tiled.tile == (40, 33, 20)


def test_a_scan_in_tiles_is_one_evaluation(tiny_prior: Prior) -> None:
    x = scan(96, 48, 48)
    per_voxel = bytes_per_voxel(tiny_prior.card.network, "float32", varying=False)
    tiled = TiledDenoiser(tiny_prior.denoiser("cpu", "float32"), max_gb=(48**3 * per_voxel + x.numel() * 40) / 1e9)
    tiled(x, 0.2)
    tiled(x, 0.2)
    assert tiled.tile is not None
    assert tiled.tile[0] < 96
    assert tiled.nfe == 2


def test_too_little_memory_is_refused(tiny_prior: Prior) -> None:
    tiled = TiledDenoiser(tiny_prior.denoiser("cpu", "float32"), max_gb=1e-4)
    with pytest.raises(MemoryLimitError, match=r"smallest tile of this 64x64x64 scan needs"):
        tiled(scan(64, 64, 64), 0.2)


@pytest.mark.parametrize("gb", [0.6, 1, 2, 4, 8, 1000])
def test_the_tile_fits_the_memory(gb: float) -> None:
    shape = (256, 256, 180)
    per_voxel = bytes_per_voxel(NetConfig(channels=1, embedding=64), "float32")
    tile = choose_tile(shape, gb * 1e9, per_voxel)
    assert tile[0] * tile[1] * tile[2] * per_voxel + 40 * shape[0] * shape[1] * shape[2] <= gb * 1e9
    if gb == 1000:
        assert tile == shape


@pytest.mark.parametrize("dtype", ["float32", "bf16"])
def test_without_a_limit_tiles_stay_small(tiny_prior: Prior, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medidiff.tiling.free_memory_bytes", lambda device: 20e9)
    shape, asked = (256, 256, 180), []

    def remember(denoise, x, sigma, *, tile, **rest) -> Denoised:
        asked.append(tile)
        return Denoised(x, x)

    monkeypatch.setattr("medidiff.tiling.denoise_tiled", remember)
    denoiser = tiny_prior.denoiser("cpu", dtype)
    denoiser.config = NetConfig(channels=1, embedding=64)
    x = torch.zeros(1).expand(1, 1, *shape)
    for sigma in (torch.tensor(0.1), x):
        TiledDenoiser(denoiser)(x, sigma)
        TiledDenoiser(denoiser, max_gb=15)(x, sigma)
    constant, constant_whole, varying, varying_whole = (math.prod(tile) for tile in asked)
    assert constant_whole == varying_whole == math.prod(shape)
    assert varying < constant < constant_whole
    assert varying * bytes_per_voxel(denoiser.config, dtype, varying=True) <= 0.9e9
    assert constant * bytes_per_voxel(denoiser.config, dtype, varying=False) <= 0.9e9


@pytest.mark.parametrize("sigma", [0.06, 0.3])
def test_tiles_against_the_whole_with_the_shipped_prior(sigma: float) -> None:
    packaged = [entry for entry in list_priors() if entry.name == "general" and entry.path.parent == PACKAGED]
    if not packaged:
        pytest.skip("the package holds no prior `general` yet")
    prior = Prior.load(packaged[0].path)
    head = head_phantom((88, 72, 48), spacing_mm=(2.5, 2.5, 2.5), seed=4).data
    clean = torch.as_tensor(prior.card.normalisation.fit(head).forward(head), dtype=torch.float32)[None, None]
    x, denoise = clean + sigma * scan(*head.shape), prior.denoiser("cpu", "float32")
    whole = denoise(x, sigma, (2.5, 2.5, 2.5)).mean
    tiles = denoise_tiled(denoise, x, torch.tensor(sigma), tile=(56, 56, 48), spacing_mm=(2.5, 2.5, 2.5)).mean
    assert float((whole - tiles).square().mean().sqrt()) <= 0.01 * sigma  # measured: 0.04% of sigma on an IXI head


@pytest.mark.parametrize("grid", [Grid(), *GRIDS])
def test_tiles_lie_where_they_lie_in_the_body(grid: Grid) -> None:
    """Of a scan whose voxels are their own coordinates, every tile says the coordinates that it holds."""
    from medidiff.nets.embedding import POSITION

    frame = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(5))
    index = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in (80, 45, 41)), indexing="ij"), dim=-1)
    for axis in range(3):
        x = (index @ frame[0, axis, :3] + frame[0, axis, 3])[None, None]

        def check(x, sigma, spacing_mm=None, cond=None, axis=axis) -> Denoised:
            assert cond is not None
            inside = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in x.shape[2:]), indexing="ij"), dim=-1)
            said = inside @ cond[POSITION][0, axis, :3] + cond[POSITION][0, axis, 3]
            right = (said - x[0, 0]).abs() < 1e-4  # float32 of numbers up to 200
            repeated = x.new_zeros(x.shape[2:])  # the first voxels of a shifted grid lie before the scan
            repeated[tuple(slice(by, None) for by in grid.shift)] = 1
            assert right[repeated == 1].all()
            return Denoised(x, x)

        denoise_tiled(check, x, torch.tensor(0.1), tile=(40, 40, 40), grid=grid, cond={POSITION: frame})


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_tiles_against_the_whole_with_a_position(tiny_prior: Prior, precision: str) -> None:
    from medidiff.nets.embedding import POSITION

    config = tiny_prior.card.network.model_copy(update={"position": True})
    linear = 0.3 * torch.randn(16, 4, generator=torch.Generator().manual_seed(3))
    weights = {**tiny_prior.weights, "position.linear.weight": linear}
    denoise = Prior(tiny_prior.card.model_copy(update={"network": config}), weights).denoiser("cpu", precision)
    x, level = scan(80, 64, 40), 0.3
    frame = torch.cat([torch.diag(torch.tensor([0.03, -0.02, 0.05])), torch.tensor([[-1.2], [0.7], [-1.0]])], dim=1)[
        None
    ]
    whole = denoise(x, torch.tensor(level), cond={POSITION: frame}).mean
    tiles = denoise_tiled(denoise, x, torch.tensor(level), tile=(56, 48, 40), cond={POSITION: frame}).mean
    assert float((whole - tiles).square().mean().sqrt()) <= 0.01 * level
    untold = denoise(x, torch.tensor(level)).mean
    assert float((whole - untold).square().mean().sqrt()) > 0.05 * level
