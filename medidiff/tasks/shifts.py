"""One estimate from several evaluations, each on a grid shifted by a voxel and flipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medidiff.diffusion.preconditioning import Denoised
from medidiff.errors import UsageError
from medidiff.tasks.session import Session
from medidiff.tiles import Grid, covered

# Shifts of the grid on which the network works, all parities of the Haar transform, and the axes flipped with them.
_SHIFTS = ((0, 0, 0), (1, 1, 1), (1, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0))
_FLIPS = ((), (2, 3, 4), (2,), (3, 4), (3,), (2, 4), (4,), (2, 3))
MOST_SHIFTS = len(_SHIFTS)
_LONG = 96
"""Voxels of an axis from which it is worth a face to shift it. On 56^3 and 72 x 72 x 56 (val, 9%, version 1: head,
procedural, ixi) two passes lose 0.02, 0.02 and 0.02 dB of what they reach padded to 64^3 and 80 x 80 x 64 when the
shifted one is cut, and -0.01, 0.01 and 0.01 dB when it is flipped only. From 4 voxels off the faces on the cut pass
loses nothing, the flipped one 0.01 to 0.03 dB."""
DEFAULT_SHIFTS = 2
"""Two places of the Haar grid: 0.1 dB better than one for twice the time; four add 0.05 dB, eight 0.03 dB more
(`python -m benchmarks.shifts`)."""


def check_shifts(shifts: int) -> None:
    """Refuse numbers of passes that there are not.

    Raises:
        UsageError: Fewer than one or more than there are places.
    """
    if not 1 <= shifts <= MOST_SHIFTS:
        raise UsageError(f"--shifts {shifts}: must be from 1 to {MOST_SHIFTS}.")


def shifted_mean(session: Session, y: Tensor, sigma: Tensor, shifts: int) -> Denoised:
    """The mean of several evaluations, each on a grid shifted by a voxel and flipped.

    The Haar transform is not shift invariant: where a 2 x 2 x 2 cube begins changes the estimate by up to a fifth of
    sigma. Averaging over the places takes that part of the error away. What the prior is told of correlated noise
    holds for all of them: a correlation is the same in both directions. No pass is padded to a longer grid than the
    first: an axis that fills its grid is only flipped where it is short, and elsewhere the shifted pass leaves out one
    face of the scan (`tiles.covered`), where the mean is that of the other passes.
    """
    total = Denoised(torch.zeros_like(y), torch.zeros_like(y))
    shape, alignment = y.shape[2:], session.tiled.denoiser.alignment
    grids = [_grid(number, shape, alignment) for number in range(shifts)]
    for grid in grids:
        session.evaluate(y, sigma, grid=grid, into=total, share=1 / shifts)
    _make_up(total, [covered(shape, grid, alignment) for grid in grids])
    return total


def _grid(number: int, shape: Sequence[int], alignment: int) -> Grid:
    """The grid of one pass."""
    x, y, z = (by if n % alignment or n >= _LONG else 0 for n, by in zip(shape, _SHIFTS[number], strict=True))
    return Grid((x, y, z), _FLIPS[number])


def _make_up(total: Denoised, passes: list[tuple[slice, slice, slice]]) -> None:
    """Turn sums of shares into means where not every pass has been, plane by plane, in place.

    Args:
        total: The sums, (b, c, x, y, z).
        passes: The voxels of each pass; the first has all of them.
    """
    along = [torch.zeros(len(passes), n, device=total.mean.device) for n in total.mean.shape[2:]]
    for number, box in enumerate(passes):
        for seen, part in zip(along, box, strict=True):
            seen[number, part] = 1
    if all(bool(seen.all()) for seen in along):
        return
    in_x, in_y, in_z = along
    for plane in range(in_x.shape[1]):
        share = torch.einsum("k,ky,kz->yz", in_x[:, plane], in_y, in_z) / len(passes)
        for part in total:
            part[..., plane, :, :] /= share


__all__ = ["DEFAULT_SHIFTS", "MOST_SHIFTS", "check_shifts", "shifted_mean"]
