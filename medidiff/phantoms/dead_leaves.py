"""Dead leaves in 3D: objects of all sizes and kinds that hide each other, which is where edges come from."""

from __future__ import annotations

import numpy as np

from medidiff.phantoms.fields import Array, Shape, band_field, check_shape, smooth_field
from medidiff.phantoms.finish import Setup, draw_setup, finish
from medidiff.phantoms.shapes import Kind, Leaf

SMALLEST_RADIUS = 1.2  # voxels
_KINDS: tuple[Kind, ...] = ("ellipsoid", "superellipsoid", "box", "tube", "shell", "sheet")
_TILE = 48  # side of the periodic texture tiles
_HIDDEN = 0.01  # a leaf whose box lets less light through is not painted
_LEAVES_PER_VOXEL = 5000 / 96**3


def power_law_sizes(count: int, largest: float, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """`count` radii between 1.2 and `largest` with density proportional to r^-exponent (exponent above 1)."""
    low, high = SMALLEST_RADIUS ** (1 - exponent), largest ** (1 - exponent)
    return (low + rng.random(count) * (high - low)) ** (1 / (1 - exponent))


def dead_leaves(shape: tuple[int, int, int], seed: int) -> Array:
    """One dead-leaves volume, noise-free, float32 (x, y, z) in about [0, 1].

    Args:
        shape: Voxels along x, y, z, each at least 16.
        seed: The same seed and shape give the same bits; 30% of seeds have a dark constant background.

    Raises:
        UsageError: `shape` is not 3D or too small.

    Source: Lee, Mumford and Huang 2001 (occlusion models and scale invariance), here in 3D with partial volume.
    """
    shape = check_shape(shape)
    rng = np.random.default_rng([seed, 1])
    setup = draw_setup(rng)
    coverage = float(np.exp(rng.uniform(np.log(0.5), np.log(4.0))))
    backdrop = np.float32(rng.random()) + np.float32(0.1) * smooth_field(shape, min(shape) / 2, rng)
    scene = paint_leaves(backdrop, coverage, rng, setup)
    return finish(scene, rng, setup, background=bool(rng.random() < 0.3))


def paint_leaves(backdrop: Array, coverage: float, rng: np.random.Generator, setup: Setup) -> Array:
    """Leaves in front of `backdrop`, painted from front to back; their volumes add up to `coverage` volumes."""
    size = np.array(backdrop.shape) * np.array(setup.spacing)
    limit = int(_LEAVES_PER_VOXEL * backdrop.size) + 20
    radii = power_law_sizes(limit, size.min() / 2, float(rng.uniform(2.2, 3.4)), rng)
    count = int(np.searchsorted(np.cumsum(2.5 * radii**3), coverage * size.prod())) + 1
    mix = rng.dirichlet([1.5, 0.8, 0.8, 1.0, 0.7, 0.7])
    kinds = rng.choice(len(_KINDS), limit, p=mix)
    centres = rng.random((limit, 3)) * size
    rotations = _rotations(rng.standard_normal((limit, 4)))
    draws = rng.random((limit, 16))
    tiles = [
        band_field((_TILE, _TILE, _TILE), wave, rng, setup.spacing) for wave in np.exp(rng.uniform(1.15, 3.0, size=3))
    ]
    textured, strength = float(rng.uniform(0, 0.9)), float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
    axes = [np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(backdrop.shape, setup.spacing, strict=True)]
    light, image = np.ones_like(backdrop), np.zeros_like(backdrop)
    for i in range(min(count, limit)):
        u = draws[i]
        leaf = _leaf(_KINDS[kinds[i]], centres[i], rotations[i], float(radii[i]), u)
        box = _box(leaf, setup, backdrop.shape)
        if box is None or light[box].max() < _HIDDEN:
            continue
        p, q, s = leaf.frame(*(a[b] - np.float32(c) for a, b, c in zip(axes, box, leaf.centre, strict=True)))
        share = np.clip(np.float32(0.5) - leaf.distance(p, q, s) * np.float32(1 / setup.edge), 0, 1)
        paint: Array | np.float32 = np.float32(setup.intensity(u[8], u[9]))
        if u[10] < textured and radii[i] > 2:
            paint = paint + _texture((p, q, s), box, tiles, strength, float(radii[i]), u)
        share *= light[box]
        image[box] += share * paint
        light[box] -= share
    return np.add(image, light * backdrop, dtype=np.float32)


def _leaf(kind: Kind, centre: np.ndarray, rotation: np.ndarray, radius: float, u: np.ndarray) -> Leaf:
    """A leaf of about the volume of a ball of `radius`, whatever its kind."""
    half = radius * np.array([1.0, 0.4 + 0.6 * u[0], 0.4 + 0.6 * u[1]]) * (1 + 0.3 * u[2])
    thickness = min(0.8 * (0.4 * radius) ** u[3], 0.6 * radius) if radius > 2 else 1.0
    bend = (0.0, 1.0, 6.28 * u[5])
    if kind == "tube":
        width = max(0.7, radius * (0.2 + 0.3 * u[0]))
        half, bend = np.array([width, width, radius * (2 + 2 * u[1])]), (0.25 * u[4] ** 2, 2 + 4 * u[6], 6.28 * u[5])
    elif kind == "sheet":
        half = np.array([radius * 1.4, radius * (0.8 + u[0]), thickness])
        bend = (0.3 * u[4], 1 + 4 * u[6], 6.28 * u[5])
    return Leaf(kind, centre, half, rotation, thickness, bend)


def _rotations(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3), uniform over rotations, from Gaussian quaternions (n, 4)."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def _box(leaf: Leaf, setup: Setup, shape: Shape) -> tuple[slice, slice, slice] | None:
    """Voxels that the leaf can touch, or None where it misses the volume."""
    reach = leaf.extent() + setup.edge
    spacing = np.array(setup.spacing)
    low = np.maximum(np.ceil((leaf.centre - reach) / spacing), 0).astype(int)
    high = np.minimum(np.floor((leaf.centre + reach) / spacing) + 1, shape).astype(int)
    if (high <= low).any():
        return None
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def _texture(
    frame: tuple[Array, Array, Array],
    box: tuple[slice, slice, slice],
    tiles: list[Array],
    strength: float,
    radius: float,
    u: np.ndarray,
) -> Array:
    """Zero-mean pattern inside one leaf: waves of a band, a grating in the leaf's frame, or a gradient along it."""
    amplitude = np.float32(strength * (0.3 + 1.4 * u[11]))
    if u[12] < 0.55:
        tile = tiles[int(u[13] * len(tiles))]
        offset = (u[13:16] * 7919).astype(int)
        index = [np.arange(b.start + o, b.stop + o) % _TILE for b, o in zip(box, offset, strict=True)]
        return amplitude * tile[np.ix_(*index)]
    if u[12] < 0.75:
        wave = 4.0 * (max(radius, 4.0) / 4.0) ** u[13]
        return amplitude * np.sin(frame[0] * np.float32(6.2832 / wave) + np.float32(6.28 * u[14]))
    return np.clip(amplitude * frame[2] * np.float32(2 / radius), -0.3, 0.3)
