"""What the encoder learns to look through: a batch of scans, each moved, brightened, blurred and made noisy at random.

The ranges are those of `transforms`; here in torch, for a batch at a time, and by cheaper interpolation.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from medidiff.privacy.pose import centred_grid, rotations_of
from medidiff.privacy.transforms import BLUR_VOXELS, GAMMA, HIGH_PASS_VOXELS, MOST_DEGREES, MOST_VOXELS, NOISE_SHARE

_KNOT = 8
"""Voxels between the knots of a bent anatomy."""
_BEND = 2.0
"""Standard deviation of their displacement, voxels: another patient's anatomy, not another scan of his."""


def smoothed(images: Tensor, voxels: float) -> Tensor:
    """Gaussian of a standard deviation in voxels, (b, c, x, y, z), the ends repeated.

    As a product with one matrix an axis: a convolution of one channel takes thirty times as long on a processor.
    """
    for axis in (2, 3, 4):
        weights = _gaussian_matrix(images.shape[axis], voxels)
        images = torch.matmul(images.movedim(axis, -1), weights.T).movedim(-1, axis)
    return images.contiguous()


@functools.lru_cache(maxsize=32)
@torch.inference_mode(False)
def _gaussian_matrix(size: int, voxels: float) -> Tensor:
    """(size, size): row i holds the weights of voxel i's neighbours, those beyond the ends given to the end."""
    radius = math.ceil(4 * voxels)
    steps = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(steps.double() ** 2) / (2 * voxels**2))
    rows = torch.arange(size).repeat_interleave(len(steps))
    columns = (torch.arange(size)[:, None] + steps).clamp(0, size - 1).flatten()
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.index_put_((rows, columns), (weights / weights.sum()).repeat(size), accumulate=True)
    return matrix.float()


def bent(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scans whose anatomy is bent at random: people who do not exist, as different as patients are.

    Args:
        images: (b, 1, x, y, z).
        generator: Of the displacements.
    """
    batch, shape = len(images), images.shape[2:]
    knots = [max(2, round(n / _KNOT)) for n in shape]
    field = _BEND * torch.randn((batch, 3, *knots), generator=generator)
    moves = F.interpolate(field, size=tuple(shape), mode="trilinear", align_corners=True).flatten(2).mT
    return _sampled(images, centred_grid(tuple(shape)) + moves)


def view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Scans as copies of them might look: every transform at once, each as strong as chance has it.

    Args:
        images: (b, 1, x, y, z).
        generator: Of everything random.
    """
    batch = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((batch, *shape), generator=generator)

    axis = F.normalize(torch.randn((batch, 3), generator=generator), dim=1)
    turn = rotations_of(axis * torch.deg2rad(uniform(-MOST_DEGREES, MOST_DEGREES, 1)))
    mirror = torch.where(uniform(0, 1, 1, 1) < 0.5, torch.tensor([-1.0, 1.0, 1.0]), torch.ones(3))
    grid = centred_grid(tuple(images.shape[2:]))
    moved = _sampled(images, ((grid - uniform(-MOST_VOXELS, MOST_VOXELS, 1, 3)) @ turn) * mirror)
    low, high = moved.amin((2, 3, 4), keepdim=True), moved.amax((2, 3, 4), keepdim=True)
    exponent = uniform(math.log(GAMMA[0]), math.log(GAMMA[1]), 1, 1, 1, 1).exp()
    bright = low + (high - low) * ((moved - low) / (high - low + 1e-6)).clamp(0, 1) ** exponent
    blurred = torch.lerp(bright, smoothed(bright, BLUR_VOXELS), uniform(0, 1, 1, 1, 1, 1))
    strength = uniform(0, NOISE_SHARE, 1, 1, 1, 1) * (moved - smoothed(moved, HIGH_PASS_VOXELS)).std(
        (2, 3, 4), keepdim=True
    )
    return blurred + strength * torch.randn(blurred.shape, generator=generator)


def _sampled(images: Tensor, at: Tensor) -> Tensor:
    """Scans at coordinates from their middle (b, v, 3), mirrored at their ends."""
    half = (torch.tensor(images.shape[2:], dtype=torch.float32) - 1) / 2
    where = (at / half).flip(-1).reshape(len(images), *images.shape[2:], 3)
    return F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=True)


__all__ = ["bent", "smoothed", "view"]
