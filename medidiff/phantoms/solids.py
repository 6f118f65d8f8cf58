"""Anatomy in millimetres: a grid, implicit solids on it, and a canvas that paints them with partial volume.

A solid is a field that is negative inside and about the distance to its surface in mm. Fields are made of closed
formulas and plane waves, so the same seed gives the same anatomy on every grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medidiff.errors import UsageError
from medidiff.phantoms.fields import Array, Shape, Spacing, blend, check_shape
from medidiff.phantoms.lesions import Lesion, insert_lesion

Point = tuple[float, float, float]
LESION_LABEL = 100


@dataclass(eq=False)
class Phantom:
    """A noise-free volume whose every structure is known."""

    data: Array
    """Intensities, (x, y, z)."""
    labels: NDArray[np.int16]
    """Structure of each voxel; lesions are 100, 101, ..."""
    spacing_mm: Spacing
    lesions: list[Lesion]
    """Lesions in the order of their labels; `centre_mm` in the world of `affine_ras`."""
    name: str
    label_names: dict[int, str] = field(default_factory=dict)

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """Voxel index to RAS millimetres, with the origin at the middle of the volume."""
        return centred_affine(self.labels.shape, self.spacing_mm)


def centred_affine(shape: tuple[int, ...], spacing_mm: Spacing) -> NDArray[np.float64]:
    """Affine of an axis-aligned RAS grid whose middle is the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.array(spacing_mm)
    return affine


def grid_mm(shape: tuple[int, int, int], spacing_mm: Spacing, shift: Point = (0, 0, 0)) -> tuple[Array, Array, Array]:
    """Broadcastable x, y, z in mm from the volume's middle, plus `shift`.

    Raises:
        UsageError: the shape is not 3D or too small, or a spacing is not positive and finite.
    """
    shape = check_shape(shape)
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise UsageError(f"spacing_mm {spacing_mm}: must be three positive numbers. Give millimetres, as (2, 2, 2).")
    axes = [
        ((np.arange(n) - (n - 1) / 2) * s + d).astype(np.float32)
        for n, s, d in zip(shape, spacing_mm, shift, strict=True)
    ]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def ellipsoid(x: Array, y: Array, z: Array, centre: Point, radii: Point) -> Array:
    """Ellipsoid; first-order distance (f - 1) / |grad f|."""
    (a, b, c), (i, j, k) = centre, (1 / radii[0], 1 / radii[1], 1 / radii[2])
    u, v, w = ((x - a) * i) ** 2, ((y - b) * j) ** 2, ((z - c) * k) ** 2
    f2 = u + v + w
    slope2 = u * i**2 + v * j**2 + w * k**2
    return np.asarray((f2 - np.sqrt(f2)) / np.sqrt(slope2 + 1e-9) - 1e-3, np.float32)


def capsule(x: Array, y: Array, z: Array, start: Point, end: Point, radii: tuple[float, float]) -> Array:
    """Straight tube with round ends between two points, its radius going from `radii[0]` to `radii[1]`."""
    a, d = np.array(start), np.array(end) - np.array(start)
    t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1] + (z - a[2]) * d[2]) / float(d @ d), 0, 1).astype(np.float32)
    square = (x - a[0] - t * d[0]) ** 2 + (y - a[1] - t * d[1]) ** 2 + (z - a[2] - t * d[2]) ** 2
    return np.asarray(np.sqrt(square) - (radii[0] + (radii[1] - radii[0]) * t), np.float32)


def polyline(x: Array, y: Array, z: Array, points: list[Point], radii: list[float]) -> Array:
    """Tube along straight pieces."""
    pieces = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    return np.minimum.reduce([capsule(x, y, z, a, b, (r, s)) for a, b, r, s in pieces])


def join(a: Array, b: Array, radius: float) -> Array:
    """Union of two solids with the crease between them filled over about `radius` mm."""
    gap = np.maximum(radius - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - gap * gap / (4 * radius), np.float32)


def waves(
    x: Array, y: Array, z: Array, wavelength: float, rng: np.random.Generator, count: int = 20, spread: float = 0.25
) -> Array:
    """About Gaussian field of unit variance: `count` plane waves in random directions near `wavelength` mm."""
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    k = directions * (2 * np.pi / wavelength * np.exp(spread * rng.uniform(-1, 1, count)))[:, None]
    phases = rng.uniform(0, 2 * np.pi, count)
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), np.float32)
    for (kx, ky, kz), phase in zip(k.astype(np.float32), phases.astype(np.float32), strict=True):
        total += np.cos((x * kx + y * ky) + (z * kz + phase))
    return np.asarray(total * np.sqrt(2 / count).astype(np.float32), np.float32)


def sheet_distance(values: Array, spacing_mm: Spacing) -> Array:
    """First-order distance in mm to the zero level of a wavy field."""
    gx, gy, gz = np.gradient(values, *spacing_mm)
    slope = np.sqrt(gx * gx + gy * gy + gz * gz)
    return np.asarray(values / np.maximum(slope, 0.15 * float(slope.mean())), np.float32)


def partial_volume(solid: Array) -> Array:
    """Share of each voxel inside a solid: a ramp as wide as the field's change across one voxel, whatever its shape."""
    gx, gy, gz = np.gradient(solid)
    across = np.abs(gx) + np.abs(gy) + np.abs(gz)
    return np.asarray(np.clip(0.5 - solid / np.maximum(across, 1e-3), 0, 1), np.float32)


class Canvas:
    """Intensities and labels of a scene, painted from back to front."""

    def __init__(self, shape: Shape, value: float) -> None:
        self.shape = shape
        self.data: Array = np.full(shape, value, np.float32)
        self.labels = np.zeros(shape, np.int16)

    def paint(self, solid: Array, value: Array | float, label: int) -> None:
        """Fill a solid with an intensity, mixed at its surface, and give its voxels a label."""
        share = partial_volume(np.broadcast_to(solid, self.shape))
        self.data = blend(self.data, value, share)
        self.labels[share > 0.5] = label

    def finish(self, spacing_mm: Spacing, lesions: list[Lesion], name: str, label_names: dict[int, str]) -> Phantom:
        """The phantom, with its lesions put in."""
        names = dict(label_names)
        affine = centred_affine(self.shape, spacing_mm)
        for number, lesion in enumerate(lesions):
            share = insert_lesion(self.data, affine, lesion)
            self.labels[share > 0.5] = LESION_LABEL + number
            names[LESION_LABEL + number] = f"lesion, {lesion.kind}"
        spacing = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
        return Phantom(self.data, self.labels, spacing, list(lesions), name, names)
