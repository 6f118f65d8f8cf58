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
from medidiff.nets.unet import NetConfig
from medidiff.prior.denoiser import Denoiser

MARGIN = 16
"""Context around a tile's own voxels: with 16, tiles differ from the whole by 0.2 to 0.5% of sigma rms."""
BLEND = 8
"""Width of the ramp between neighbours: a difference of 1% of sigma is spread over 8 voxels instead of one."""
_MAX_CUTS = 64  # tiles along one axis; beyond this the margins are nearly all the work
# What the whole volume needs beside the network's own memory: scan, map, padded copies, the two outputs, their sums.
_BYTES_PER_VOXEL_HELD = 40
_FREE_SHARE = 0.7  # of the free memory, when no limit is given; the rest is for the other arrays of the task


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
        max_gb: Memory (10^9 bytes) that one evaluation may take beside the scan; None: most of what is free.
        margin: Context around each tile, voxels.

    Attributes:
        nfe: Evaluations of whole scans: a scan in tiles counts once, a batch of b counts b.
        tile: Tile of the latest evaluation, the scan's own shape when it was whole. Chosen once per shape and batch.
    """

    def __init__(self, denoiser: Denoiser, max_gb: float | None = None, margin: int = MARGIN) -> None:
        self.denoiser, self.max_gb, self.margin = denoiser, max_gb, margin
        self.nfe = 0
        self.tile: tuple[int, int, int] | None = None
        self._chosen: dict[tuple[int, ...], tuple[int, int, int]] = {}

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor | float,
        spacing_mm: Tensor | Sequence[float] | None = None,
        cond: dict[str, Tensor] | None = None,
    ) -> Denoised:
        """Estimate the clean scan; arguments as for `Denoiser`.

        Raises:
            MemoryLimitError: Not even the smallest tile fits.
        """
        sigma = torch.as_tensor(sigma, dtype=torch.float32)
        shape = (x.shape[2], x.shape[3], x.shape[4])
        key = (x.shape[0], *shape)
        if key not in self._chosen:
            self._chosen[key] = self._choose(shape, x.shape[0])
        self.tile = self._chosen[key]
        out = denoise_tiled(
            self.denoiser, x, sigma, tile=self.tile, margin=self.margin, spacing_mm=spacing_mm, cond=cond
        )
        self.nfe += x.shape[0]
        return out

    def _choose(self, shape: tuple[int, int, int], batch: int) -> tuple[int, int, int]:
        free = _FREE_SHARE * free_memory_bytes(self.denoiser.device)
        budget = free if self.max_gb is None else min(self.max_gb * 1e9, free)
        per_voxel = batch * bytes_per_voxel(self.denoiser.config, self.denoiser.choice.dtype)
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
) -> Denoised:
    """Denoise in overlapping tiles and blend them linearly.

    Every tile starts at a multiple of `alignment` from the scan's own first voxel, so the network's coarse grids of all
    tiles coincide. The weights of the tiles at a voxel sum to one.

    Args:
        denoise: Called on each tile as denoise(x, sigma, spacing_mm, cond).
        x: Noisy scan (b, c, x, y, z).
        sigma: Its level, 0-dim or broadcastable to `x`.
        tile: Size of a tile with its margins, per axis; an axis no longer than that is not cut.
        margin: Voxels of context on each side of a tile's own voxels.
        alignment: What tiles are aligned to.
        spacing_mm: Passed on.
        cond: Passed on; images are cut like `x`.
        order: Order in which the tiles are done; the result depends on it by float32 rounding of the sums only.

    Returns:
        Mean and log variance of the whole scan.
    """
    tiles = _tiles(x.shape[2:], tile, margin, alignment)
    if len(tiles) == 1:
        return denoise(x, sigma, spacing_mm, cond)
    mean, log_variance = torch.zeros_like(x, dtype=torch.float32), torch.zeros_like(x, dtype=torch.float32)
    for index in order if order is not None else range(len(tiles)):
        spans = tiles[index]
        place = (..., *(slice(s.start, s.stop) for s in spans))
        parts = {k: v[place] if v.ndim == 5 else v for k, v in (cond or {}).items()}
        out = denoise(x[place], _cut(sigma, x, place), spacing_mm, parts or None)
        weight = _weight(spans).to(mean)
        mean[place] += weight * out.mean.to(mean)
        log_variance[place] += weight * out.log_variance.to(mean)
    return Denoised(mean, log_variance)


def count_tiles(shape: Sequence[int], tile: Sequence[int], margin: int = MARGIN, alignment: int = 8) -> int:
    """Number of tiles a scan of that shape is cut into."""
    return len(_tiles(shape, tile, margin, alignment))


def _tiles(shape: Sequence[int], tile: Sequence[int], margin: int, alignment: int) -> list[tuple[_Span, ...]]:
    axes = [_spans(n, size, margin, alignment) for n, size in zip(shape, tile, strict=True)]
    return list(itertools.product(*axes))


class _Span:
    """One tile along one axis: [start, stop) with margins, of which [first, last) are its own voxels."""

    def __init__(self, first: int, last: int, size: int, margin: int) -> None:
        self.first, self.last, self.size = first, last, size
        self.start, self.stop = max(0, first - margin), min(size, last + margin)

    def weight(self) -> Tensor:
        """Ramps of `BLEND` voxels centred on the borders to the neighbours, 1 between, 0 outside."""
        centre = torch.arange(self.start, self.stop) + 0.5
        rise = torch.ones_like(centre) if self.first == 0 else (centre - self.first) / BLEND + 0.5
        fall = torch.ones_like(centre) if self.last == self.size else (self.last - centre) / BLEND + 0.5
        return rise.clamp(0, 1) + fall.clamp(0, 1) - 1


def _spans(size: int, tile: int, margin: int, alignment: int) -> list[_Span]:
    """Cut one axis; the tiles' own voxels are as even as the alignment allows."""
    if tile >= size:
        return [_Span(0, size, size, 0)]
    core = (tile - 2 * margin) // alignment * alignment
    if core < alignment or margin % alignment or margin < BLEND // 2:
        raise ValueError(
            f"tile {tile}, margin {margin}: must be a multiple of {alignment} that leaves {alignment} voxels"
        )
    borders = [*range(0, size, core), size]
    if len(borders) > 2 and borders[-1] - borders[-2] < BLEND:  # a core must be longer than the ramp across its border
        borders.pop(-2)
    return [_Span(a, b, size, margin) for a, b in itertools.pairwise(borders)]


def _weight(spans: Sequence[_Span]) -> Tensor:
    x, y, z = (span.weight() for span in spans)
    return x[:, None, None] * y[:, None] * z


def _cut(sigma: Tensor, x: Tensor, place: tuple) -> Tensor:
    if sigma.ndim == 0 or tuple(sigma.shape[-3:]) == (1, 1, 1):
        return sigma
    return sigma.expand(x.shape)[place]


def bytes_per_voxel(config: NetConfig, dtype: str) -> float:
    """Memory the network needs at its peak for one voxel, with a noise map.

    Fitted to the peak of the process at 96^3 with widths (64, 96, 128) and (32, 96, 128): 417 bytes in float32, 293 and
    143 in bfloat16; a fifth more for safety.
    """
    width = config.widths[0] * max(1.0, config.embedding / 64)
    item = 2 if dtype == "bf16" else 4
    return 1.2 * (width * (item + 2.1) + 40 * config.channels)


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
        [(t, sum(s.stop - s.start for s in _spans(n, t, margin, alignment))) for t in _sizes(n, alignment, margin)]
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


__all__ = ["BLEND", "MARGIN", "TiledDenoiser", "bytes_per_voxel", "choose_tile", "count_tiles", "denoise_tiled"]
