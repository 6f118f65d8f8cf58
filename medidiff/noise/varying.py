"""Noise levels that vary from place to place: maps to multiply a level with. All are float32, at least 1."""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Float

from medidiff.errors import NoiseError

Shape = tuple[int, int, int]


def g_factor_map(
    shape: Shape, acceleration: int = 2, peak: float = 3.0, axis: int = 1, coils: int = 8, reach: float = 0.9
) -> Float[np.ndarray, "x y z"]:
    """The noise of a parallel-imaging (SENSE) scan, from 1 to `peak`: ridges in the middle of the field of view.

    With S the coils' sensitivities at the R places that fold onto each other, the level grows by

        g = sqrt([(S^H S)^-1]_rr [S^H S]_rr)                     (Pruessmann et al. 1999)

    for independent coils. The coils stand on an ellipse round the x-y plane, each with a Gaussian sensitivity and a
    phase that turns with its place. g - 1 is then scaled so that its largest value in the volume is `peak` - 1: it is a
    map of realistic shape, of the strength that is asked for.

    Args:
        shape: Voxels of the scan; all slices along z are alike.
        acceleration: R, from 2 to 4: every R-th line was measured along `axis`.
        peak: The largest value, from 1 to 10.
        axis: Phase-encoding axis, 0 (x) or 1 (y).
        coils: How many coils, at least twice `acceleration`.
        reach: Width of a coil's sensitivity, in half fields of view.

    Raises:
        NoiseError: An argument is out of range.
    """
    _check_peak(peak)
    if acceleration not in (2, 3, 4):
        raise NoiseError(f"acceleration {acceleration}: must be 2, 3 or 4.")
    if axis not in (0, 1):
        raise NoiseError(f"axis {axis}: must be 0 (x) or 1 (y), the phase-encoding axis.")
    if not 2 * acceleration <= coils <= 64:
        raise NoiseError(f"coils {coils}: must be from {2 * acceleration} (twice the acceleration) to 64.")
    along = _unit(shape[axis])
    across = _unit(shape[1 - axis])
    angle = 2 * np.pi * (np.arange(coils) + 0.5) / coils
    field = 2.0  # of `along`, from -1 to 1
    fold = np.arange(acceleration) * field / acceleration
    p = np.mod(along[:, None] + fold + 1, field) - 1  # (along, R): the places that fold onto each voxel
    x, y = 1.25 * np.cos(angle), 1.25 * np.sin(angle)
    squared = (p[:, None, :, None] - x) ** 2 + (across[None, :, None, None] - y) ** 2
    s = np.exp(-squared / (2 * reach**2)) * np.exp(1j * angle)  # (along, across, R, coils)
    gram = np.einsum("abrc,absc->abrs", s.conj(), s)
    g = np.sqrt(np.abs(np.linalg.inv(gram)[..., 0, 0] * gram[..., 0, 0]))
    level = 1 + (peak - 1) * (g - g.min()) / max(float(np.ptp(g)), 1e-12)
    plane = level if axis == 0 else level.T
    return np.ascontiguousarray(np.broadcast_to(plane[:, :, None], shape), dtype=np.float32)


def smooth_level_map(
    shape: Shape, rng: np.random.Generator, peak: float = 3.0, scale: float = 0.25
) -> Float[np.ndarray, "x y z"]:
    """A smooth random map from exactly 1 to `peak`, log-uniform between its ends as a random field is.

    Args:
        shape: Voxels of the scan.
        rng: Source of randomness.
        peak: The largest value, from 1 to 10.
        scale: Standard deviation of the kernel that smooths it, as a share of each side of the scan, 0.05 to 1.

    Raises:
        NoiseError: An argument is out of range.
    """
    _check_peak(peak)
    if not 0.05 <= scale <= 1:
        raise NoiseError(f"scale {scale:g}: must be from 0.05 to 1 of a side of the scan.")
    # Cosine waves with the Gaussian's weights: smooth up to the borders, and not alike on opposite sides.
    waves = np.ix_(*(np.arange(min(n, 24)) for n in shape))
    weight = np.exp(-sum((np.pi * k * scale) ** 2 for k in waves) / 2)
    coefficients = np.zeros(shape, np.float32)
    coefficients[tuple(slice(0, n) for n in weight.shape)] = weight * rng.standard_normal(weight.shape)
    coefficients[0, 0, 0] = 0
    values = scipy.fft.idctn(coefficients, norm="ortho", overwrite_x=True)
    spread = float(np.ptp(values))
    share = (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
    return np.exp(np.log(peak) * share).astype(np.float32)


def radial_level_map(shape: Shape, peak: float = 3.0, body: float = 0.85) -> Float[np.ndarray, "x y z"]:
    """The noise of CT in a round body, from 1 outside it to `peak` in its middle; all slices along z are alike.

    Rays through the middle of a body are weakened the most: their noise grows with exp(path / 2), and the path through
    an ellipse falls with the distance r from its middle as sqrt(1 - r^2). For a given body, `low_dose_std` computes
    the map of a filtered back projection.

    Args:
        shape: Voxels of the scan.
        peak: The largest value, from 1 to 10.
        body: Half axes of the body as a share of half the field of view along x and y.

    Raises:
        NoiseError: An argument is out of range.
    """
    _check_peak(peak)
    if not 0.1 <= body <= 2:
        raise NoiseError(f"body {body:g}: must be from 0.1 to 2 of half the field of view.")
    r2 = (_unit(shape[0])[:, None, None] ** 2 + _unit(shape[1])[None, :, None] ** 2) / body**2
    level = peak ** np.sqrt(np.clip(1 - r2, 0, None))
    return np.ascontiguousarray(np.broadcast_to(level, shape), dtype=np.float32)


def _unit(n: int) -> np.ndarray:
    """Middles of n voxels over -1 to 1."""
    return (np.arange(n) + 0.5) * 2 / n - 1


def _check_peak(peak: float) -> None:
    if not 1 <= peak <= 10:
        raise NoiseError(f"peak {peak:g}: must be from 1 (the same level everywhere) to 10.")


__all__ = ["g_factor_map", "radial_level_map", "smooth_level_map"]
