"""A denoiser over a volume of any size: overlapping tiles whose seams cannot be seen."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from medidiff.device import free_memory_bytes
from medidiff.diffusion.preconditioning import Denoised
from medidiff.errors import MemoryLimitError
from medidiff.nets.embedding import POSITION
from medidiff.nets.unet import NetConfig
from medidiff.prior.denoiser import Denoiser
from medidiff.tiles import AS_IT_LIES, BLEND, Cut, Grid, cut_up, on_grid, spans_along

MARGIN = 16
"""Context around a tile's own voxels: with 16, tiles differ from the whole by 0.4% of sigma rms in the median of random
scans, by 1.1% in the worst of 170 (`python -m benchmarks.random_cases`); with 24 the worst of those falls to 1.0%."""
_MAX_CUTS = 64  # tiles along one axis; beyond this the margins are nearly all the work
# What the whole volume needs beside the network's own memory: scan, map, padded copies, the two outputs, their sums.
_BYTES_PER_VOXEL_HELD = 40
_FREE_SHARE = 0.7  # of the free memory; the rest is for the other arrays of the task
_ENOUGH = 0.9e9
"""Bytes for the network when no limit is given: larger tiles cost memory and save little. A scan of 256 x 256 x 180 at
one level is cut in two in bfloat16, for an eighth more work; with a noise map in six, for 1.4 times the work."""


class _Denoise(Protocol):
    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,
        spacing_mm: Tensor | Sequence[float] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> Denoised: ...


class TiledDenoiser:
    """A `Denoiser` that cuts volumes into tiles where the memory asks for it, and otherwise leaves them whole.

    Args:
        denoiser: The denoiser.
        max_gb: Memory (10^9 bytes) that one evaluation may take beside the scan; None: what makes tiles large enough.
        margin: Context around each tile, voxels.

    Attributes:
        nfe: Evaluations of whole scans: a scan in tiles counts once, a batch of b counts b.
        tile: Tile of the latest evaluation, the scan's own shape when it was whole. Chosen once per shape and batch.
    """

    def __init__(self, denoiser: Denoiser, max_gb: float | None = None, margin: int = MARGIN) -> None:
        self.denoiser, self.max_gb, self.margin = denoiser, max_gb, margin
        self.nfe = 0
        self.tile: tuple[int, int, int] | None = None
        self._chosen: dict[tuple[int | bool, ...], tuple[int, int, int]] = {}

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor | float,
        spacing_mm: Tensor | Sequence[float] | None = None,
        cond: dict[str, Tensor] | None = None,
        grid: Grid = AS_IT_LIES,
        into: Denoised | None = None,
        share: float = 1.0,
    ) -> Denoised:
        """Estimate the clean scan; arguments as for `Denoiser` and `denoise_tiled`.

        Raises:
            MemoryLimitError: Not even the smallest tile fits.
        """
        sigma = torch.as_tensor(sigma, dtype=torch.float32)
        shape = on_grid(x.shape[2:], grid, self.denoiser.alignment)
        varying = _is_map(sigma)
        key = (x.shape[0], varying, *shape)
        if key not in self._chosen:
            self._chosen[key] = self._choose(shape, x.shape[0], varying)
        self.tile = self._chosen[key]
        out = denoise_tiled(
            self.denoiser,
            x,
            sigma,
            tile=self.tile,
            margin=self.margin,
            alignment=self.denoiser.alignment,
            spacing_mm=spacing_mm,
            cond=cond,
            grid=grid,
            into=into,
            share=share,
        )
        self.nfe += x.shape[0]
        return out

    def tile_for(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """The tile of a scan of this shape at one level, without an evaluation: rounding depends on it."""
        shape = on_grid(shape, AS_IT_LIES, self.denoiser.alignment)
        key = (1, False, *shape)
        if key not in self._chosen:
            self._chosen[key] = self._choose(shape, 1, False)
        return self._chosen[key]

    def _choose(self, shape: tuple[int, int, int], batch: int, varying: bool) -> tuple[int, int, int]:
        device = self.denoiser.device
        budget = _FREE_SHARE * free_memory_bytes(device)
        if self.max_gb is not None:
            budget = min(self.max_gb * 1e9, budget)
        elif device.type == "cpu":
            budget = min(_ENOUGH + _BYTES_PER_VOXEL_HELD * shape[0] * shape[1] * shape[2], budget)
        per_voxel = batch * bytes_per_voxel(self.denoiser.config, self.denoiser.choice.dtype, varying)
        return choose_tile(shape, budget, per_voxel, alignment=self.denoiser.alignment, margin=self.margin)


def denoise_tiled(
    denoise: _Denoise,
    x: Tensor,
    sigma: Tensor,
    *,
    tile: Sequence[int],
    margin: int = MARGIN,
    alignment: int = 8,
    spacing_mm: Tensor | Sequence[float] | None = None,
    cond: dict[str, Tensor] | None = None,
    order: Iterable[int] | None = None,
    grid: Grid = AS_IT_LIES,
    into: Denoised | None = None,
    share: float = 1.0,
) -> Denoised:
    """Denoise in overlapping tiles and blend them linearly.

    Every tile starts at a multiple of `alignment` from the first voxel of the grid, so the network's coarse grids of
    all tiles coincide. The weights of the tiles at a voxel sum to one.

    Args:
        denoise: Called on each tile as denoise(x, sigma, spacing_mm, cond).
        x: Noisy scan (b, c, x, y, z).
        sigma: Its level, 0-dim or broadcastable to `x`.
        tile: Size of a tile with its margins, per axis; an axis no longer than that is not cut.
        margin: Voxels of context on each side of a tile's own voxels.
        alignment: What tiles are aligned to.
        spacing_mm: Passed on.
        cond: Passed on; images are cut like `x`, and the position moves with the tile.
        order: Order in which the tiles are done; the result depends on it by float32 rounding of the sums only.
        grid: How the grid lies on the scan. Only tiles are turned and shifted, so this costs no copy of the scan.
        into: What the estimate is added to, shaped as `x`; None: zeros.
        share: What the estimate is multiplied by.

    Returns:
        Mean and log variance of the whole scan, on the scan's own grid; or `into`. Voxels that a shifted grid leaves
        out (`tiles.covered`) get nothing added.
    """
    tiles = cut_up(on_grid(x.shape[2:], grid, alignment), tile, margin, alignment)
    if len(tiles) == 1 and into is None and grid == AS_IT_LIES and share == 1:
        return denoise(x, sigma, spacing_mm, cond)
    into = into or Denoised(torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(x, dtype=torch.float32))
    for index in order if order is not None else range(len(tiles)):
        cut = Cut(tiles[index], x.shape[2:], grid)
        parts = {k: cut.take(v) if v.ndim == 5 else v for k, v in (cond or {}).items()}
        if POSITION in parts:
            parts[POSITION] = cut.take_frame(parts[POSITION])
        level = cut.take(sigma.expand(x.shape)) if _is_map(sigma) else sigma
        out = denoise(cut.take(x), level, spacing_mm, parts or None)
        weight = share * cut.weight().to(into.mean)
        for whole, part in zip(into, out, strict=True):
            whole[cut.place].addcmul_(cut.back(part).to(whole), weight)
    return into


def count_tiles(shape: Sequence[int], tile: Sequence[int], margin: int = MARGIN, alignment: int = 8) -> int:
    """Number of tiles a scan of that shape is cut into."""
    return len(cut_up(shape, tile, margin, alignment))


def _is_map(sigma: Tensor) -> bool:
    """Whether there is a level for each voxel, not one for each scan or channel."""
    return sigma.ndim > 0 and tuple(sigma.shape[-3:]) != (1, 1, 1)


def bytes_per_voxel(config: NetConfig, dtype: str, varying: bool = True) -> float:
    """Memory the network needs at its peak for one voxel.

    Measured with widths (64, 96, 128) in bfloat16: 66 bytes at one level for the whole scan (96^3 and 128^3), 188 with
    a map (96^3). The terms are feature maps at half the scan's size (three of the first level at a time, a map's
    embedding and what it is made of) and float32 arrays of the scan's own; a fifth more for safety.

    Args:
        config: Sizes of the network.
        dtype: "bf16" or "float32".
        varying: Whether the level is a map.
    """
    item = 2 if dtype == "bf16" else 4
    features = 3.5 * config.widths[0] + (5 * config.embedding if varying else 0)
    return 1.2 * (features * item / 8 + (56 if varying else 16) * config.channels)


def choose_tile(
    shape: tuple[int, int, int], budget_bytes: float, per_voxel: float, *, alignment: int = 8, margin: int = MARGIN
) -> tuple[int, int, int]:
    """The tile with the least work among those that fit the memory; the whole shape when that fits.

    Raises:
        MemoryLimitError: Not even the smallest tile fits.
    """
    left = budget_bytes - _BYTES_PER_VOXEL_HELD * shape[0] * shape[1] * shape[2]
    # Voxels computed along each axis, margins included, for each size of tile.
    axes = [
        [(t, sum(s.stop - s.start for s in spans_along(n, t, margin, alignment))) for t in _sizes(n, alignment, margin)]
        for n in shape
    ]
    best: tuple[int, tuple[int, int, int]] | None = None
    for (x, along_x), (y, along_y), (z, along_z) in itertools.product(*axes):
        work = along_x * along_y * along_z
        if x * y * z * per_voxel <= left and (best is None or work < best[0]):
            best = (work, (x, y, z))
    if best is None:
        x, y, z = (min(t for t, _ in axis) for axis in axes)
        need = budget_bytes - left + x * y * z * per_voxel
        raise MemoryLimitError(
            f"--max-gb {budget_bytes / 1e9:.2f}: even the smallest tile of this {shape[0]}x{shape[1]}x{shape[2]} scan "
            f"needs {need / 1e9:.2f} GB. Raise --max-gb, close other programs, or crop the scan."
        )
    return best[1]


def _sizes(n: int, alignment: int, margin: int) -> list[int]:
    """Tile sizes worth trying along an axis: the whole, then what cuts it into 2, 3, ... even parts."""
    sizes = {n}
    for parts in range(2, _MAX_CUTS):
        core = -(-n // parts)
        core += -core % alignment
        if core + 2 * margin < n:
            sizes.add(core + 2 * margin)
    return sorted(sizes)


__all__ = [
    "BLEND",
    "MARGIN",
    "Grid",
    "TiledDenoiser",
    "bytes_per_voxel",
    "choose_tile",
    "count_tiles",
    "denoise_tiled",
]
