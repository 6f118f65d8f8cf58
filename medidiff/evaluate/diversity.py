"""How alike the scans of one set are: multi-scale structural similarity of random pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from medidiff.errors import InputError, UsageError

# Wang et al. 2003, section 3.2, from the finest scale to the coarsest; the first ones are taken and sum to 1 again.
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SIGMA, _RADIUS = 1.5, 5  # window of 11 voxels
_C1, _C2 = 0.01**2, 0.03**2


class Diversity(NamedTuple):
    """Mean similarity of pairs: 1 where all are copies; compare it with the same figure of real scans."""

    ms_ssim: float
    standard_error: float
    pairs: int


def ms_ssim(a: np.ndarray, b: np.ndarray, data_range: float, scales: int | None = None) -> float:
    """Multi-scale structural similarity of two volumes.

    Contrast and structure are compared at every scale, luminance at the coarsest; between scales means of 2 x 2 x 2.
    A scale whose contrast and structure are negative in the mean counts as 0.

    Args:
        a: (x, y, z).
        b: The same shape.
        data_range: Range of values that counts as 1, such as 2 for scans normalised to [-1, 1].
        scales: 1 to 5; None: as many as leave 11 voxels a side, the size of the window.

    Raises:
        InputError: Shapes differ, are not 3D, or too small for one scale.
        UsageError: `scales` or `data_range` is not acceptable.

    Source: Wang et al. 2003, Eq. 7.
    """
    if a.shape != b.shape or a.ndim != 3:
        raise InputError(f"volumes of shape {a.shape} and {b.shape}: must be 3D and the same.")
    fit = possible_scales(a.shape)
    if fit == 0:
        raise InputError(f"shape {a.shape}: at least {2 * _RADIUS + 1} voxels along each axis are needed.")
    scales = fit if scales is None else scales
    if not 1 <= scales <= fit:
        raise UsageError(f"scales {scales}: must be 1 to {fit} for volumes of shape {a.shape}.")
    if not data_range > 0:
        raise UsageError(f"data_range {data_range}: must be positive, such as 2 for scans between -1 and 1.")
    weights = np.array(_WEIGHTS[:scales]) / sum(_WEIGHTS[:scales])
    a, b = np.asarray(a, dtype=np.float64) / data_range, np.asarray(b, dtype=np.float64) / data_range
    result = 1.0
    for scale in range(scales):
        luminance_structure, structure = _similarity(a, b)
        last = scale == scales - 1
        result *= max(luminance_structure if last else structure, 0.0) ** weights[scale]
        if not last:
            a, b = _halved(a), _halved(b)
    return float(result)


def diversity(volumes: np.ndarray, data_range: float = 2.0, pairs: int = 200, seed: int = 0) -> Diversity:
    """Mean MS-SSIM over random pairs of different volumes.

    Args:
        volumes: (n, x, y, z).
        data_range: See `ms_ssim`.
        pairs: At most this many, drawn without repetition.
        seed: Of the pairs.

    Raises:
        InputError: Fewer than 2 volumes, or see `ms_ssim`.
    """
    n = len(volumes)
    if n < 2 or volumes.ndim != 4:
        raise InputError(f"volumes of shape {volumes.shape}: must be (n, x, y, z) with n of at least 2.")
    first, second = np.triu_indices(n, 1)
    chosen = np.random.default_rng(seed).permutation(len(first))[:pairs]
    values = [ms_ssim(volumes[first[i]], volumes[second[i]], data_range) for i in chosen]
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Diversity(float(np.mean(values)), error, len(values))


def possible_scales(shape: tuple[int, ...]) -> int:
    """Scales that leave the window's size along the shortest side, at most 5."""
    scales = 0
    while scales < len(_WEIGHTS) and min(shape) // 2**scales >= 2 * _RADIUS + 1:
        scales += 1
    return scales


def _similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean of luminance times contrast-structure, and of contrast-structure alone; values in units of the range."""
    mean_a, mean_b = _smooth(a), _smooth(b)
    var_a, var_b = _smooth(a * a) - mean_a**2, _smooth(b * b) - mean_b**2
    covariance = _smooth(a * b) - mean_a * mean_b
    structure = (2 * covariance + _C2) / (var_a + var_b + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    inner = tuple(slice(_RADIUS, n - _RADIUS) for n in a.shape)  # where the window lies inside
    return float((luminance * structure)[inner].mean()), float(structure[inner].mean())


def _smooth(volume: np.ndarray) -> np.ndarray:
    return gaussian_filter(volume, _SIGMA, radius=_RADIUS)


def _halved(volume: np.ndarray) -> np.ndarray:
    x, y, z = (n // 2 for n in volume.shape)
    return volume[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))


__all__ = ["Diversity", "diversity", "ms_ssim", "possible_scales"]
