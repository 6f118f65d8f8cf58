"""Scans as the pose search compares them: the fine anatomy of a patient, whatever the intensities are."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from medidiff.errors import InputError

LEAST_SIDE = 8
_FLOOR = 0.05
"""Local contrast below this share of the scan's mean contrast counts as none: air is not amplified."""


def band_pass(image: np.ndarray, inner: float, outer: float, local: float) -> np.ndarray:
    """What of a scan lies between two scales, at a contrast that is the same everywhere.

    Args:
        image: Scan (x, y, z).
        inner: Standard deviation of the Gaussian that takes away what is finer, voxels; 0: nothing is.
        outer: Of the Gaussian that takes away what is coarser, voxels.
        local: Of the window in which the contrast is made 1, voxels.

    Returns:
        float32 (x, y, z), about 1 in root mean square; unchanged where intensities are scaled or shifted. All 0 where
        the scan has no contrast.
    """
    largest = float(np.abs(image).max())
    image = (image - image.mean(dtype=np.float64)).astype(np.float32)
    fine = ndimage.gaussian_filter(image, inner, mode="reflect") if inner > 0 else image
    band = fine - ndimage.gaussian_filter(image, outer, mode="reflect")
    power = ndimage.gaussian_filter(band * band, local, mode="reflect")
    mean = float(power.mean(dtype=np.float64))
    if mean <= (1e-5 * largest) ** 2:  # rounding
        return np.zeros_like(band)
    return band / np.sqrt(power + _FLOOR * mean)


def prepared(images: np.ndarray, inner: float, outer: float, local: float, factor: int = 1) -> Tensor:
    """Scans band-passed and averaged over cubes of `factor` voxels.

    Args:
        images: (n, x, y, z).
        inner, outer, local: See `band_pass`, in voxels of `images`.
        factor: Voxels of a cube along each axis; what is left over at the far end is left out.

    Returns:
        float32 (n, x // factor, y // factor, z // factor).
    """
    rows = [torch.from_numpy(band_pass(image, inner, outer, local)) for image in images]
    fine = torch.stack(rows)[:, None]
    return fine[:, 0] if factor == 1 else torch.nn.functional.avg_pool3d(fine, factor)[:, 0]


def checked_images(images: np.ndarray, name: str) -> np.ndarray:
    """Scans that can be compared.

    Raises:
        InputError: Not (n, x, y, z) with sides of 8 voxels or more, none, or not finite.
    """
    images = np.asarray(images)
    if images.ndim != 4 or len(images) == 0 or min(images.shape[1:]) < LEAST_SIDE:
        raise InputError(
            f"{name} of shape {images.shape}: must be (n, x, y, z), n at least 1, sides of {LEAST_SIDE} or more."
        )
    if not np.isfinite(images).all():
        raise InputError(f"{name}: a scan holds NaN or infinite values: leave it out.")
    return images


__all__ = ["LEAST_SIDE", "band_pass", "checked_images", "prepared"]
