"""Scans bent with their masks: what teaches to read masks from a few labelled scans, and nothing else.

A bent scan is not a scan: its texture is that of interpolation and its shapes are made up. So the image of such a patch
teaches nothing, or samples would look like it; only its masks do.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

AFFINE = 0.05
"""Standard deviation of the entries of the matrix that is added to the identity: sizes, angles, shear by about 5%."""
KNOT_VOXELS = 10
"""Distance of the knots of the smooth displacement."""
DISPLACEMENT_VOXELS = 1.2
"""Standard deviation of the displacement at a knot, along each axis."""


def bend(
    image: np.ndarray, masks: np.ndarray, inside: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bend a patch by a random affine and a random smooth displacement, about its middle.

    Args:
        image: float32 (x, y, z).
        masks: float32 (m, x, y, z), -1 outside and 1 inside; no voxel is in two.
        inside: Boolean (x, y, z), false where there is no scan.
        rng: Source of randomness.

    Returns:
        The three, bent. A voxel belongs to a mask where more than half of it does in all masks together, and then to
        the one with the largest share: no seam opens between neighbours.
    """
    grid = _grid((image.shape[0], image.shape[1], image.shape[2]), rng)
    bent = _sample(image[None], grid, "reflection")[0]
    shares = (_sample(masks, grid, "border") + 1) / 2
    chosen = (shares.argmax(axis=0) == np.arange(len(masks))[:, None, None, None]) & (shares.sum(axis=0) > 0.5)
    there = _sample(inside[None].astype(np.float32), grid, "zeros")[0] > 0.999
    return bent, np.where(chosen, 1, -1).astype(np.float32), there


def _grid(shape: tuple[int, int, int], rng: np.random.Generator) -> Tensor:
    """Where each voxel of the bent patch is looked up, (1, x, y, z, 3), in `grid_sample`'s units: last axis first."""
    half = (np.array(shape) - 1) / 2
    lines = [torch.linspace(-h, h, n) for h, n in zip(half, shape, strict=True)]
    voxels = torch.stack(torch.meshgrid(*lines, indexing="ij"))  # about the middle
    matrix = torch.from_numpy(np.eye(3) + AFFINE * rng.standard_normal((3, 3))).float()
    knots = [max(2, round(n / KNOT_VOXELS) + 1) for n in shape]
    moves = torch.from_numpy(DISPLACEMENT_VOXELS * rng.standard_normal((1, 3, *knots))).float()
    moved = nnf.interpolate(moves, size=shape, mode="trilinear", align_corners=True)[0]
    looked_up = torch.einsum("ij,jxyz->xyzi", matrix, voxels) + moved.permute(1, 2, 3, 0)
    return (looked_up / torch.from_numpy(np.maximum(half, 0.5)).float()).flip(-1)[None]


def _sample(channels: np.ndarray, grid: Tensor, beyond: str) -> np.ndarray:
    given = torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32))[None]
    return nnf.grid_sample(given, grid, mode="bilinear", padding_mode=beyond, align_corners=True)[0].numpy()


__all__ = ["AFFINE", "DISPLACEMENT_VOXELS", "KNOT_VOXELS", "bend"]
