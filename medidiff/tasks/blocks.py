"""A few small blocks that stand for a whole scan."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

EDGE, SMALL_EDGE = 32, 24
"""Edge of a block in voxels, and in scans of less than eight blocks. No margin: what the prior says of a block alone is
consistent in itself."""
CELL = 8
"""Edge of the cells that a block is cut into where the level differs from place to place. White noise of the level that
was told leaves 3% of scatter in ln(residual / expected) of one."""
MOST_BLOCKS = 8
_ALIGNMENT = 8  # of the network's coarsest level
SHARE = 6  # a scan over its blocks: three rounds of two evaluations are one evaluation of the scan
_LEAST_MEASURED = 0.3  # share of a block's voxels that must hold noise


class Block(NamedTuple):
    """A part of a scan, by its first voxel and its shape."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Its voxels in a scan (x, y, z)."""
        x, y, z = (slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        return x, y, z


def noisy_voxels(
    y: Float[np.ndarray, "x y z"], where: Bool[np.ndarray, "x y z"] | None = None
) -> Bool[np.ndarray, "x y z"]:
    """Voxels that hold noise: measured, and not the value that a mask or a clipped background repeats."""
    noisy = np.ones(y.shape, dtype=bool) if where is None else where.copy()
    for extreme in (y.min(), y.max()):
        filled = y == extreme
        if filled.mean() >= 0.01:
            noisy &= ~filled
    return noisy


def choose_blocks(noisy: Bool[np.ndarray, "x y z"], most: int = MOST_BLOCKS, share: int = SHARE) -> list[Block]:
    """Blocks spread over the scan: the fullest first, then each far from the others.

    Args:
        noisy: Voxels that hold noise.
        most: How many; fewer where the scan is small: together one part in `share` of it, or one.
        share: See there.

    Returns:
        At least one block, aligned like the network's coarse levels; none where no block has enough such voxels.
    """
    edge = EDGE if noisy.size >= 8 * EDGE**3 else SMALL_EDGE
    shape = tuple(min(edge, max(n // _ALIGNMENT * _ALIGNMENT, min(n, _ALIGNMENT))) for n in noisy.shape)
    starts = np.array(list(itertools.product(*[_starts(n, k) for n, k in zip(noisy.shape, shape, strict=True)])))
    filled = _counted(noisy, starts, shape) / np.prod(shape)
    keep = filled >= min(_LEAST_MEASURED, 0.999 * filled.max()) if filled.max() > 0 else filled > 0
    starts, filled = starts[keep], filled[keep]
    count = min(most, max(1, noisy.size // (share * int(np.prod(shape)))), len(starts))
    chosen: list[int] = []
    centre = (np.array(noisy.shape) - shape) / 2
    apart = np.exp(-np.linalg.norm((starts - centre) / np.array(noisy.shape), axis=1))
    for _ in range(count):
        best = int(np.argmax(filled * apart))
        chosen.append(best)
        distance = np.linalg.norm((starts - starts[best]) / np.array(noisy.shape), axis=1)
        apart = distance if len(chosen) == 1 else np.minimum(apart, distance)
        if apart.max() <= 0:
            break
    return [Block(tuple(int(v) for v in starts[i]), shape) for i in chosen]  # type: ignore[arg-type]


def _counted(noisy: np.ndarray, starts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Noisy voxels in the blocks of that shape, one number a start. Cubes are summed first: they take little memory."""
    unit = np.minimum(_ALIGNMENT, shape)
    x, y, z = np.array(noisy.shape) // unit
    i, j, k = unit
    cubes = noisy[: x * i, : y * j, : z * k].reshape(x, i, y, j, z, k).sum(axis=(1, 3, 5), dtype=np.int64)
    sums = np.pad(cubes, ((1, 0), (1, 0), (1, 0))).cumsum(0).cumsum(1).cumsum(2)
    first, edge = starts // unit, shape // unit
    corners = itertools.product((0, 1), repeat=3)
    # inclusion and exclusion of the eight corners
    counted = [(1 if sum(c) % 2 else -1) * sums[tuple((first + np.array(c) * edge).T)] for c in corners]
    return np.sum(counted, axis=0)


def _starts(size: int, edge: int) -> range:
    return range(0, max(size - edge, 0) + 1, _ALIGNMENT)


__all__ = ["CELL", "EDGE", "MOST_BLOCKS", "SMALL_EDGE", "Block", "choose_blocks", "noisy_voxels"]
