"""Noise levels that vary from place to place: maps to multiply a level with. All are float32, at least 1."""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Float

from medidiff.errors import NoiseError

Shape = tuple[int, int, int]
_COILS_AT = 1.25  # distance of the coils from the middle, in half fields of view
_SEGMENTS = 12  # of half a loop


def g_factor_map(
    shape: Shape, acceleration: int = 2, peak: float = 3.0, axis: int = 1, coils: int = 8, body: float = 0.85
) -> Float[np.ndarray, "x y z"]:
    """The noise of a parallel-imaging (SENSE) scan: up to `peak` where the body folds onto itself, 1 elsewhere.

    With S the coils' sensitivities at the R places that fold onto each other, the level grows by

        g = sqrt([(S^H S)^-1]_rr [S^H S]_rr)                     (Pruessmann et al. 1999)

    for independent coils. The coils are loops side by side on an ellipse round the x-y plane, with the field of a loop
    of current (Biot and Savart). Places outside the body have no signal, so they fold onto nothing; where one enters
    the body, g has a step, as measured maps have. For R = 2 that leaves two lenses beside the middle, for 3 and 4 g is
    highest in the middle. g - 1 is scaled so that its largest value in the volume is `peak` - 1: a map of realistic
    shape, of the strength that is asked for.

    Args:
        shape: Voxels of the scan; all slices along z are alike.
        acceleration: R, from 2 to 4: every R-th line was measured along `axis`.
        peak: The largest value, from 1 to 10.
        axis: Phase-encoding axis, 0 (x) or 1 (y).
        coils: How many coils, at least twice `acceleration`.
        body: Half axes of the body as a share of half the field of view along x and y, 0.1 to 1. Outside it is 1.

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
    if not 0.1 <= body <= 1:
        raise NoiseError(f"body {body:g}: must be from 0.1 to 1 of half the field of view.")
    along, across = _unit(shape[axis])[:, None, None], _unit(shape[1 - axis])[None, :, None]
    field = 2.0  # of `along`, from -1 to 1
    p = np.mod(along + np.arange(acceleration) * field / acceleration + 1, field) - 1  # the places that fold, (.., R)
    s = _sensitivities(p, across, coils)  # (along, across, R, coils)
    inside = p**2 + across**2 <= body**2
    s *= inside[..., None]
    gram = np.einsum("abrc,absc->abrs", s.conj(), s) + np.eye(acceleration) * ~inside[..., None]
    g = np.sqrt(np.abs(np.linalg.inv(gram)[..., 0, 0] * gram[..., 0, 0]))  # 1 where the first place is outside
    level = 1 + (peak - 1) * (g - 1) / max(float(g.max()) - 1, 1e-12)
    plane = level if axis == 0 else level.T
    return np.ascontiguousarray(np.broadcast_to(plane[:, :, None], shape), dtype=np.float32)


def _sensitivities(x: np.ndarray, y: np.ndarray, coils: int) -> np.ndarray:
    """B_x - i B_y at places in the plane, for loops of current that face its middle; coils along the last axis."""
    radius = _COILS_AT * np.sin(np.pi / coils)  # each touches its neighbours
    turn = np.pi * (np.arange(_SEGMENTS) + 0.5) / _SEGMENTS  # the other half of a loop doubles the field
    fields = []
    for angle in 2 * np.pi * (np.arange(coils) + 0.5) / coils:
        out_x, out_y = np.cos(angle), np.sin(angle)
        b: np.ndarray = np.zeros((), np.complex128)
        for c, d in zip(radius * np.cos(turn), radius * np.sin(turn), strict=True):
            rx = x - (_COILS_AT * out_x - c * out_y)
            ry = y - (_COILS_AT * out_y + c * out_x)
            # the piece of wire is d (out_y, -out_x, 0) + c (0, 0, 1), and the way to the plane (rx, ry, -d)
            b = b + ((out_x * d * d - c * ry) - 1j * (c * rx + out_y * d * d)) / (rx * rx + ry * ry + d * d) ** 1.5
        fields.append(b)
    return np.stack(fields, axis=-1)


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
    values = np.asarray(scipy.fft.idctn(coefficients, norm="ortho", overwrite_x=True))
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
