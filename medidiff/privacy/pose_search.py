"""The coarse search: every pose of a scan against every scan of a gallery at once."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medidiff.privacy.pose import Pose, centred_grid, posed, rotation_ball

_TINY = 1e-12


class Found(NamedTuple):
    """Best poses of one query over each scan of the gallery.

    Attributes:
        correlation: (g, m), the best first.
        pose: g * m poses, those of a scan together; shifts in coarse voxels.
    """

    correlation: Tensor
    pose: Pose


class CoarseSearch:
    """Correlation of a scan with every scan of a gallery at every pose of a grid, over the voxels that both show.

    Args:
        gallery: Prepared scans (g, x, y, z), coarse.
        most_degrees: Rotations reach so far.
        step_degrees: See `rotation_ball`.
        most_shift: Shifts of up to so many coarse voxels along each axis, see `shift_lattice`.
        flips: Whether the mirror image is searched too.
    """

    def __init__(
        self, gallery: Tensor, most_degrees: float, step_degrees: float, most_shift: int, flips: bool = True
    ) -> None:
        self.shape = tuple(gallery.shape[1:])
        self._gallery = gallery.flatten(1).T.contiguous()  # (v, g)
        rotations = rotation_ball(most_degrees, step_degrees)
        mirrored = torch.arange(len(rotations) * (2 if flips else 1)) >= len(rotations)
        rotations = torch.cat([rotations, rotations]) if flips else rotations
        self._poses = Pose(rotations, torch.zeros(len(rotations), 3), mirrored)
        self._reach = most_shift
        self._shifts = shift_lattice(most_shift)
        self._grid = centred_grid(self.shape)
        self._energy = self._gallery_energy()

    def __call__(self, query: Tensor, keep: int) -> Found:
        """The best poses of one prepared scan (x, y, z): the `keep` best rotations, each at its best shift."""
        best, where = [], []
        turned, _ = self._turned(query)
        for rotation, energy in zip(turned, self._energy, strict=True):
            rows = self._shifted(rotation)
            power = torch.linalg.vector_norm(rows, dim=1)
            correlation = (rows @ self._gallery) / (power[:, None] * energy + _TINY)
            value, shift = correlation.max(dim=0)
            best.append(value)
            where.append(shift)
        value, rotation = torch.stack(best, dim=1).topk(min(keep, len(best)), dim=1)
        shift = torch.stack(where, dim=1).gather(1, rotation).flatten()
        pose = self._poses.take(rotation.flatten())
        return Found(value, pose._replace(shift=self._shifts[shift]))

    def _turned(self, query: Tensor) -> tuple[Tensor, Tensor]:
        poses = len(self._poses.flip)
        values, known = posed(query.expand(poses, *self.shape), self._poses, self._grid)
        return values.reshape(-1, *self.shape), known.float().reshape(-1, *self.shape)

    def _shifted(self, volume: Tensor) -> Tensor:
        """A volume at every shift, 0 where nothing moves in, (s, v)."""
        padded, (x, y, z) = F.pad(volume, (self._reach,) * 6), self.shape
        starts = (self._reach - self._shifts).int().tolist()
        return torch.stack([padded[a : a + x, b : b + y, c : c + z] for a, b, c in starts]).flatten(1)

    def _gallery_energy(self) -> Tensor:
        """Norm of every gallery scan where a scan in that pose shows something, (poses, s, g)."""
        _, known = self._turned(torch.zeros(self.shape))
        squares = self._gallery**2
        half = known[: len(known) // 2] if self._poses.flip.any() else known  # a mirrored scan shows the same voxels
        norms = torch.stack([(self._shifted(mask) @ squares).sqrt() for mask in half])
        return torch.cat([norms, norms]) if len(half) < len(known) else norms


def shift_lattice(most: int) -> Tensor:
    """Whole shifts of up to `most` along each axis whose sum is even, (s, 3), no shift first.

    Every second shift is left out: no shift of whole or broken voxels is further than one voxel from a searched one
    (sqrt(3)/2 with all of them).
    """
    steps = range(-most, most + 1)
    shifts = [shift for shift in itertools.product(steps, repeat=3) if sum(shift) % 2 == 0]
    return torch.tensor(sorted(shifts, key=lambda shift: (sum(n * n for n in shift), shift)), dtype=torch.float32)


__all__ = ["CoarseSearch", "Found", "shift_lattice"]
