"""The fine search: poses of pairs of scans made better step by step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from medidiff.privacy.pose import Pose, angles_of, posed, rotations_of

_TINY = 1e-12


def refined(
    queries: Tensor, gallery: Tensor, start: Pose, grid: Tensor, *, steps: int, most_degrees: float, most_shift: float
) -> tuple[Tensor, Pose]:
    """Correlation of b pairs of scans at the best pose near a first one.

    Damped Gauss-Newton on the difference of the scans, each divided by its norm over the voxels that both show
    (the derivative of the moved scan is the mean of both scans' derivatives). A step that lowers the correlation is
    taken back and damped more.

    Args:
        queries: Prepared scans (b, x, y, z), moved.
        gallery: Prepared scans (b, x, y, z).
        start: b poses.
        grid: `centred_grid` of the scans' shape.
        steps: Steps, the same number for every pair.
        most_degrees: Poses further than this are not reached.
        most_shift: The same along each axis, voxels.

    Returns:
        Correlation (b,) and poses; never below the correlation at `start`.

    Source: Benhimane & Malis 2004 (the mean of both derivatives); Marquardt 1963.
    """
    fixed, slopes = gallery.flatten(1), _slopes(gallery)
    best, pose = start, start
    damping = torch.full((len(queries),), 1e-2)
    score, system = _evaluate(queries, fixed, slopes, pose, grid)
    for _ in range(steps):
        pose = _moved(best, _step(system, damping))
        tried, new_system = _evaluate(queries, fixed, slopes, pose, grid)
        allowed = (angles_of(pose.rotation) <= math.radians(most_degrees)) & (pose.shift.abs() <= most_shift).all(1)
        better = (tried > score) & allowed
        best = Pose(*(torch.where(_wide(better, a), a, b) for a, b in zip(pose, best, strict=True)))
        new_normal, new_towards = new_system
        system = (
            torch.where(_wide(better, new_normal), new_normal, system[0]),
            torch.where(better[:, None], new_towards, system[1]),
        )
        score = torch.where(better, tried, score)
        damping = torch.where(better, damping / 4, damping * 8)
    return score, best


def pair_correlation(queries: Tensor, gallery: Tensor, pose: Pose, grid: Tensor) -> Tensor:
    """Correlation of b pairs of scans over the voxels that both show, (b,).

    Args:
        queries: Prepared scans (b, x, y, z), moved.
        gallery: Prepared scans (b, x, y, z).
        pose: b poses.
        grid: `centred_grid` of the scans' shape.
    """
    moved, known = posed(queries, pose, grid)
    fixed = gallery.flatten(1) * known
    return (moved * fixed).sum(1) / ((moved * moved).sum(1) * (fixed * fixed).sum(1) + _TINY).sqrt()


def _evaluate(
    queries: Tensor, fixed: Tensor, slopes: Tensor, pose: Pose, grid: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Correlation (b,), and the normal equations (b, 6, 6), (b, 6) of the step that makes it larger."""
    moved, known = posed(queries, pose, grid)
    slope = (_slopes(moved.reshape(queries.shape)) + slopes) / 2
    turning = torch.linalg.cross(grid.T.expand_as(slope), slope, dim=1)
    columns = torch.cat([turning, slope, moved[:, None], fixed[:, None]], dim=1) * known[:, None]
    gram = columns @ columns.mT  # (b, 8, 8): six derivatives, the moved scan, the fixed one
    power, other = gram[:, 6, 6] + _TINY, gram[:, 7, 7] + _TINY
    correlation = gram[:, 6, 7] / (power * other).sqrt()
    along = gram[:, :6, 6] / power.sqrt()[:, None]  # J^T a, a the moved scan of norm 1
    normal = (gram[:, :6, :6] - along[:, :, None] * along[:, None]) / power[:, None, None]
    towards = (gram[:, :6, 7] / other.sqrt()[:, None] - along * correlation[:, None]) / power.sqrt()[:, None]
    return correlation, (normal, towards)


def _step(system: tuple[Tensor, Tensor], damping: Tensor) -> Tensor:
    normal, towards = system
    diagonal = normal.diagonal(dim1=1, dim2=2)
    damped = normal + torch.diag_embed(diagonal * damping[:, None] + _TINY)
    return torch.linalg.solve(damped, towards)


def _moved(pose: Pose, step: Tensor) -> Pose:
    """The pose after the small motion `step` (rotation, shift) of the coordinates u -> E u + s."""
    turn = rotations_of(step[:, :3])  # w(E u + s), w(u) = q(R^T (u - t)): R^T E, E^T (t - s)
    shift = (turn.mT @ (pose.shift - step[:, 3:])[:, :, None])[:, :, 0]
    return Pose(turn.mT @ pose.rotation, shift, pose.flip)


def _slopes(volumes: Tensor) -> Tensor:
    """Central differences (b, 3, v), one-sided at the ends."""
    return torch.stack(torch.gradient(volumes, dim=(1, 2, 3)), dim=1).flatten(2)


def _wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(-1, *[1] * (like.ndim - 1))


__all__ = ["pair_correlation", "refined"]
