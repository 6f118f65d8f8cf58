"""Poses: how a scan may lie over another, and a scan brought into one."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Pose(NamedTuple):
    """b ways to lay a scan over another: mirrored along axis 0 first, then rotated about its middle, then shifted.

    Attributes:
        rotation: (b, 3, 3), orthonormal.
        shift: (b, 3), voxels.
        flip: (b,), bool.
    """

    rotation: Tensor
    shift: Tensor
    flip: Tensor

    def take(self, index: Tensor) -> Pose:
        """Some of them."""
        return Pose(self.rotation[index], self.shift[index], self.flip[index])

    def scaled(self, factor: float) -> Pose:
        """The same where a voxel is 1 / `factor` as long."""
        return Pose(self.rotation, self.shift * factor, self.flip)


def rotation_ball(most_degrees: float, step_degrees: float) -> Tensor:
    """Rotations about all axes that cover those of up to an angle: a body-centred lattice of rotation vectors.

    Args:
        most_degrees: Largest angle.
        step_degrees: Side of the lattice's cube; no rotation is further than 0.75 of it from one of the lattice.

    Returns:
        (r, 3, 3), the identity first, then by growing angle.
    """
    n = math.ceil(most_degrees / step_degrees) + 1
    corners = torch.tensor(list(itertools.product(range(-n, n + 1), repeat=3)), dtype=torch.float64)
    vectors = torch.cat([corners, corners + 0.5]) * step_degrees
    angle = vectors.norm(dim=1)
    reach = most_degrees + 0.25 * step_degrees  # the lattice reaches what is near its surface
    keys = [(round(float(a), 9), *v.tolist()) for a, v in zip(angle, vectors, strict=True) if a <= reach]
    return rotations_of(torch.deg2rad(torch.tensor([key[1:] for key in sorted(keys)], dtype=torch.float64))).float()


def rotations_of(vectors: Tensor) -> Tensor:
    """Rotation vectors (b, 3), radians, as matrices (b, 3, 3)."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*x.shape, 3, 3)
    return torch.linalg.matrix_exp(cross)


def angles_of(rotations: Tensor) -> Tensor:
    """Angle of each rotation (b, 3, 3), radians, (b,)."""
    trace = rotations.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.arccos(((trace - 1) / 2).clamp(-1, 1))


def centred_grid(shape: tuple[int, ...]) -> Tensor:
    """Voxel coordinates from the middle, (v, 3) float32, z fastest."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)


def posed(images: Tensor, pose: Pose, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Scans brought into their poses, trilinear.

    Args:
        images: (b, x, y, z).
        pose: b poses.
        grid: `centred_grid` of the scans' shape.

    Returns:
        Scans (b, v), 0 where nothing is known, and whether a voxel is known, (b, v) bool.
    """
    shape = torch.tensor(images.shape[1:], dtype=torch.float32)
    half = (shape - 1) / 2
    at = (grid - pose.shift[:, None]) @ pose.rotation  # rows of R^T (u - t)
    at = at * torch.where(pose.flip[:, None], torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))[:, None]
    inside = (at.abs() <= half + 1e-3).all(dim=-1)
    where = (at / half).flip(-1).reshape(len(images), *images.shape[1:], 3)
    values = F.grid_sample(images[:, None], where, mode="bilinear", padding_mode="border", align_corners=True)
    return values.reshape(len(images), -1) * inside, inside


__all__ = ["Pose", "angles_of", "centred_grid", "posed", "rotation_ball", "rotations_of"]
