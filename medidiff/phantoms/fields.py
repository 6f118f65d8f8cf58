"""Random smooth and band-limited 3D fields, the raw material of every procedural volume."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from medidiff.errors import UsageError

Array = NDArray[np.float32]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

# Root mean square of the cubic B-spline weights along one axis, so that fields have unit variance.
_SPLINE_RMS = 0.6924
_SHORTEST_WAVE = 2.6  # voxels: shorter waves would be noise in all but name


def check_shape(shape: tuple[int, ...]) -> Shape:
    """`shape` as three integers of at least 16.

    Raises:
        UsageError: `shape` has not three axes, or one is shorter than 16 voxels.
    """
    if len(shape) != 3 or min(shape) < 16:
        raise UsageError(f"shape {tuple(shape)}: needs three axes of at least 16 voxels. Ask for a larger volume.")
    return int(shape[0]), int(shape[1]), int(shape[2])


def _spline_axis(n: int, step: float, phase: float) -> tuple[NDArray[np.intp], Array]:
    """Cubic B-splines at n points, `step` points between two controls: first control of each, and its 4 weights."""
    t = np.arange(n) / step + phase
    first = np.floor(t).astype(np.intp)
    u = t - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
    return first, weights.astype(np.float32)


def smooth_field(shape: Shape, scale: float, rng: np.random.Generator, spacing: Spacing = (1.0, 1.0, 1.0)) -> Array:
    """Gaussian field of about zero mean and unit variance whose bumps are about `scale` wide.

    Args:
        shape: Voxels along x, y, z.
        scale: Distance between independent values, in the unit of `spacing`.
        rng: Source of randomness.
        spacing: Size of a voxel along each axis.
    """
    steps = [max(scale / s, 1.0) for s in spacing]
    axes = [_spline_axis(n, step, phase) for n, step, phase in zip(shape, steps, rng.random(3), strict=True)]
    field = rng.standard_normal([int(first[-1]) + 4 for first, _ in axes], dtype=np.float32)
    for axis, (first, weights) in enumerate(axes):  # four taps, no matrix product: the same bits for any thread count
        side = [-1 if a == axis else 1 for a in range(3)]
        taps = [field.take(first + k, axis=axis) * weights[k].reshape(side) for k in range(4)]
        field = (taps[0] + taps[1]) + (taps[2] + taps[3])
    return np.asarray(field / np.float32(_SPLINE_RMS**3), np.float32)


def band_field(
    shape: Shape, wavelength: float, rng: np.random.Generator, spacing: Spacing = (1.0, 1.0, 1.0), octaves: float = 0.5
) -> Array:
    """Gaussian field of unit variance with waves near `wavelength` (unit of `spacing`), periodic over the volume.

    Waves shorter than 2.6 voxels are removed, so that the field is a texture and never looks like noise.
    """
    white = rng.standard_normal(shape, dtype=np.float32)
    spectrum = np.asarray(scipy.fft.rfftn(white))
    voxel = [np.fft.fftfreq(n) for n in shape[:2]] + [np.fft.rfftfreq(shape[2])]
    square = [(f / s) ** 2 for f, s in zip(voxel, spacing, strict=True)]
    grid_square = [f**2 for f in voxel]
    k2 = square[0][:, None, None] + square[1][:, None] + square[2]
    g2 = grid_square[0][:, None, None] + grid_square[1][:, None] + grid_square[2]
    log_k = 0.5 * np.log2(np.maximum(k2, 1e-12)) + np.log2(wavelength)
    gain = np.exp(-0.5 * (log_k / octaves) ** 2) / np.maximum(k2, 1e-12) ** 0.5
    gain[g2 > _SHORTEST_WAVE**-2] = 0
    gain[0, 0, 0] = 0
    field = np.asarray(scipy.fft.irfftn(spectrum * gain.astype(np.float32), s=shape))
    return (field / max(float(field.std(dtype=np.float64)), 1e-12)).astype(np.float32)


def distance_to_level(field: Array) -> Array:
    """First-order distance in voxels to the zero level of `field`: field over the length of its gradient."""
    gx, gy, gz = np.gradient(field)
    length = np.sqrt(gx * gx + gy * gy + gz * gz)
    floor = 0.1 * float(length.mean(dtype=np.float64)) + 1e-12
    return (field / np.maximum(length, np.float32(floor))).astype(np.float32)


def inside(distance: Array, width: float) -> Array:
    """Share of each voxel inside a surface: 1 inside, 0 outside, a linear ramp `width` voxels wide between."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / width), 0, 1)


def blend(base: Array, paint: Array | float, share: Array) -> Array:
    """`paint` over `base` where `share` is 1, mixed where it is between 0 and 1."""
    return np.asarray(base + share * (paint - base), np.float32)


def body_distance(shape: Shape, rng: np.random.Generator, low: float = 0.62, high: float = 0.96) -> Array:
    """Signed distance in voxels (negative inside) to a random rounded body that fills `low` to `high` of each axis.

    Two in five are tubes: the body runs through both ends of the last axis, as a scan of a trunk or a limb does.
    """
    half = np.array(shape) / 2
    radii = half * rng.uniform(low, high, 3)
    centre = half - 0.5 + (half - radii) * rng.uniform(-0.5, 0.5, 3)
    power = float(rng.choice([2.0, 2.5, 4.0]))
    terms = [np.abs((np.arange(n) - c) / r) ** power for n, c, r in zip(shape, centre, radii, strict=True)]
    if rng.random() < 0.4:
        terms[2] = terms[2] * 0.05
    total = (terms[0][:, None, None] + terms[1][:, None] + terms[2]).astype(np.float32)
    size = float(radii.min())
    field = (total ** np.float32(1 / power) - 1) * np.float32(size)
    field += np.float32(size * rng.uniform(0, 0.12)) * smooth_field(shape, size * rng.uniform(0.4, 1.2), rng)
    return distance_to_level(field)
