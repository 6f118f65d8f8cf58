"""Where tiles lie on a scan, what they take of it, and how they are blended."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLEND = 8
"""Width of the ramp between neighbours: a difference of 1% of sigma is spread over 8 voxels instead of one."""


@dataclass(frozen=True)
class Grid:
    """How the network's grid lies on a scan.

    Args:
        shift: Voxels by which each axis begins earlier; the scan's first voxels are repeated there. Where the axis
            would then be padded to a longer grid, as many of its last voxels are left out instead: see `covered`.
        flips: Axes (2, 3, 4) that are turned round before the shift.
    """

    shift: tuple[int, int, int] = (0, 0, 0)
    flips: tuple[int, ...] = ()


AS_IT_LIES = Grid()


def cut_up(shape: Sequence[int], tile: Sequence[int], margin: int, alignment: int) -> list[tuple[Span, ...]]:
    """The tiles of a grid of that shape.

    Args:
        shape: Voxels along each axis.
        tile: Size of a tile with its margins, per axis.
        margin: Voxels of context on each side of a tile's own voxels.
        alignment: What tiles are aligned to.

    Raises:
        ValueError: The margin leaves a tile no voxels of its own.
    """
    axes = [spans_along(n, size, margin, alignment) for n, size in zip(shape, tile, strict=True)]
    return list(itertools.product(*axes))


class Span:
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


def spans_along(size: int, tile: int, margin: int, alignment: int) -> list[Span]:
    """Cut one axis; the tiles' own voxels are as even as the alignment allows."""
    if tile >= size:
        return [Span(0, size, size, 0)]
    core = (tile - 2 * margin) // alignment * alignment
    if core < alignment or margin % alignment or margin < BLEND // 2:
        raise ValueError(
            f"tile {tile}, margin {margin}: must be a multiple of {alignment} that leaves {alignment} voxels"
        )
    borders = [*range(0, size, core), size]
    if len(borders) > 2 and borders[-1] - borders[-2] < BLEND:  # a core must be longer than the ramp across its border
        borders.pop(-2)
    return [Span(a, b, size, margin) for a, b in itertools.pairwise(borders)]


class Cut:
    """One tile on the scan: what of it the tile takes, and where what comes back belongs.

    Args:
        spans: The tile on the grid, one span an axis.
        shape: The scan's.
        grid: How the grid lies on it.

    Attributes:
        place: The tile's voxels in the scan.
    """

    def __init__(self, spans: Sequence[Span], shape: Sequence[int], grid: Grid) -> None:
        self._spans, self._flips = spans, grid.flips
        self._repeated = [max(0, by - span.start) for span, by in zip(spans, grid.shift, strict=True)]
        place = []
        for axis, (span, n, by) in enumerate(zip(spans, shape, grid.shift, strict=True), start=2):
            first, last = max(0, span.start - by), span.stop - by
            place.append(slice(n - last, n - first) if axis in grid.flips else slice(first, last))
        self.place: tuple[Any, ...] = (..., *place)

    def take(self, x: Tensor) -> Tensor:
        """The tile's part of the scan, turned and shifted as the grid lies."""
        part = x[self.place].flip(self._flips) if self._flips else x[self.place]
        for axis, by in enumerate(self._repeated, start=2):
            if by:
                part = torch.cat([part.narrow(axis, 0, by), part], dim=axis)
        return part

    def take_frame(self, frame: Tensor) -> Tensor:
        """The affine (b, 3, 4) from the tile's voxels to where the scan's affine puts them."""
        moved = frame.clone()
        for axis, (place, by) in enumerate(zip(self.place[1:], self._repeated, strict=True)):
            turned = axis + 2 in self._flips
            first = place.stop - 1 + by if turned else place.start - by  # the scan's voxel that the tile begins at
            moved[..., 3] += first * frame[..., axis]
            moved[..., axis] *= -1 if turned else 1
        return moved

    def back(self, part: Tensor) -> Tensor:
        """The reverse of `take`, for an array shaped as the tile."""
        part = part[(..., *(slice(by, None) for by in self._repeated))]
        return part.flip(self._flips) if self._flips else part

    def weight(self) -> Tensor:
        """The tile's weights, where they belong in the scan."""
        x, y, z = (span.weight() for span in self._spans)
        return self.back((x[:, None, None] * y[:, None] * z)[None, None])[0, 0]


def on_grid(shape: Sequence[int], grid: Grid, alignment: int) -> tuple[int, int, int]:
    """The shape that a scan has on a grid: padded, it is no longer than the scan padded as it lies.

    A shifted scan of 56^3 would be padded to 64^3, for half as much work again; cut to 56^3, it leaves out one face an
    axis.
    """
    x, y, z = (min(n + by, n + -n % alignment) for n, by in zip(shape, grid.shift, strict=True))
    return x, y, z


def covered(shape: Sequence[int], grid: Grid, alignment: int) -> tuple[slice, slice, slice]:
    """The voxels of a scan that lie on a grid: all but the last of a shifted axis that was cut."""
    whole = [Span(0, n, n, 0) for n in on_grid(shape, grid, alignment)]
    x, y, z = Cut(whole, shape, grid).place[1:]
    return x, y, z


__all__ = ["AS_IT_LIES", "BLEND", "Cut", "Grid", "Span", "covered", "cut_up", "on_grid", "spans_along"]
