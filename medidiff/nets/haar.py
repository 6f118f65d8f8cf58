"""The orthonormal 3D Haar transform: half the size, eight times the channels, white noise stays white."""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor


@functools.cache
def _haar_matrix() -> Tensor:
    """The orthonormal 8 x 8 matrix acting on the corners of a 2 x 2 x 2 cube (x slowest, z fastest)."""
    h = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    return torch.kron(torch.kron(h, h), h)


def haar3d(x: Float[Tensor, "b c x y z"]) -> Float[Tensor, "b c8 x2 y2 z2"]:
    """Haar coefficients of each 2 x 2 x 2 cube.

    Args:
        x: (b, c, x, y, z) with even spatial sizes.

    Returns:
        (b, 8 c, x/2, y/2, z/2) in channels_last_3d memory; the eight coefficients of a channel lie together and
        the first of them is the mean times sqrt(8).

    Raises:
        ValueError: a spatial size is odd.
    """
    b, c, X, Y, Z = x.shape
    if X % 2 or Y % 2 or Z % 2:
        raise ValueError(f"haar3d: spatial size {(X, Y, Z)} must be even on every axis; pad the scan first")
    cubes = x.reshape(b, c, X // 2, 2, Y // 2, 2, Z // 2, 2).permute(0, 2, 4, 6, 1, 3, 5, 7)
    cubes = cubes.reshape(b, X // 2, Y // 2, Z // 2, c, 8)
    coefficients = cubes @ _haar_matrix().to(x)
    return coefficients.flatten(-2).permute(0, 4, 1, 2, 3)


def inverse_haar3d(coefficients: Float[Tensor, "b c8 x2 y2 z2"]) -> Float[Tensor, "b c x y z"]:
    """Inverse (and transpose) of `haar3d`.

    Args:
        coefficients: (b, 8 c, x/2, y/2, z/2).

    Returns:
        (b, c, x, y, z), contiguous.

    Raises:
        ValueError: the number of channels is not a multiple of eight.
    """
    b, c8, X, Y, Z = coefficients.shape
    if c8 % 8:
        raise ValueError(f"inverse_haar3d: {c8} channels must be a multiple of 8")
    cubes = coefficients.permute(0, 2, 3, 4, 1).reshape(b, X, Y, Z, c8 // 8, 8) @ _haar_matrix().to(coefficients).T
    cubes = cubes.reshape(b, X, Y, Z, c8 // 8, 2, 2, 2).permute(0, 4, 1, 5, 2, 6, 3, 7)
    return cubes.reshape(b, c8 // 8, 2 * X, 2 * Y, 2 * Z)
