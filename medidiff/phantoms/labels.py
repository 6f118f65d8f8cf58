"""Labelled scenes: regions, folded sheets and a cortex-like ribbon, from the levels of smooth random fields."""

from __future__ import annotations

import numpy as np

from medidiff.phantoms.fields import (
    Array,
    Shape,
    band_field,
    blend,
    body_distance,
    check_shape,
    distance_to_level,
    inside,
    smooth_field,
)
from medidiff.phantoms.finish import Setup, draw_setup, finish


def random_labels(shape: tuple[int, int, int], seed: int) -> Array:
    """One volume of labelled, folded structures, noise-free, float32 (x, y, z) in about [0, 1].

    Args:
        shape: Voxels along x, y, z, each at least 16.
        seed: The same seed and shape give the same bits.

    Raises:
        UsageError: `shape` is not 3D or too small.
    """
    shape = check_shape(shape)
    rng = np.random.default_rng([seed, 2])
    setup = draw_setup(rng)
    scene, has_body = labelled_scene(shape, rng, setup)
    return finish(scene, rng, setup, background=bool(not has_body and rng.random() < 0.15))


def labelled_scene(shape: Shape, rng: np.random.Generator, setup: Setup) -> tuple[Array, bool]:
    """Unfinished intensities, and whether they already lie inside a body with a dark background."""
    pattern = _pattern(shape, rng, setup)
    kind = rng.random()
    if kind < 0.35:
        return _regions(shape, rng, setup, pattern), False
    if kind < 0.65:
        return _sheets(_regions(shape, rng, setup, pattern), rng, setup, pattern), False
    return _cortex(shape, rng, setup, pattern)


def _pattern(shape: Shape, rng: np.random.Generator, setup: Setup) -> Array:
    """The texture that labels wear at different strengths; one volume in three has none."""
    if rng.random() < 0.33:
        return np.zeros(shape, np.float32)
    wave = float(np.exp(rng.uniform(np.log(3.2), np.log(16))))
    return np.float32(np.exp(rng.uniform(np.log(0.01), np.log(0.12)))) * band_field(shape, wave, rng, setup.spacing)


def _paint(rng: np.random.Generator, setup: Setup, pattern: Array) -> Array:
    """Intensity of one label everywhere."""
    return np.float32(setup.intensity(*rng.random(2))) + np.float32(rng.choice([0.0, 0.3, 1.0])) * pattern


def _scale(shape: Shape, rng: np.random.Generator, low: float, high_share: float) -> float:
    """Log-uniform length between `low` voxels and a share of the shortest axis."""
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high_share * min(shape), low + 1)))))


def _regions(shape: Shape, rng: np.random.Generator, setup: Setup, pattern: Array) -> Array:
    """Regions where one of several smooth fields is the largest, with soft edges of about the volume's edge width."""
    scale = _scale(shape, rng, 7, 0.5)
    rough = float(rng.uniform(0, 0.4))
    total = np.zeros(shape, np.float32)
    weight = np.zeros(shape, np.float32)
    # Two unit fields of this scale differ by about sqrt(2) * 1.3 / scale from a voxel to the next; a logistic edge
    # with temperature T is about 4 T wide.
    temperature = setup.edge * 1.8 * (1 + rough) / scale / 4
    for _ in range(int(rng.integers(3, 9))):
        field = smooth_field(shape, scale, rng, setup.spacing)
        if rough > 0.1:
            field += np.float32(rough) * smooth_field(shape, max(scale / 3, 3), rng, setup.spacing)
        np.minimum(field, 6, out=field)
        share = np.exp(field * np.float32(1 / max(temperature, 0.075)))
        total += share * _paint(rng, setup, pattern)
        weight += share
    return total / weight


def _sheets(scene: Array, rng: np.random.Generator, setup: Setup, pattern: Array) -> Array:
    """Thin or thick folded sheets through `scene`: bands between levels of one field, from one to many."""
    shape = scene.shape
    layered = rng.random() < 0.3
    wave = _scale(shape, rng, 24 if layered else 12, 0.8) * max(setup.spacing) ** 0.5
    field = band_field(shape, wave, rng, setup.spacing, octaves=float(rng.uniform(0.2, 0.6)))
    if layered:  # one field folded over itself, like an onion
        field = np.sin(np.float32(rng.uniform(1.5, 3.0)) * field)
    for level in rng.uniform(-1.2, 1.2, int(rng.integers(1, 4))):
        distance = distance_to_level(field - np.float32(level))
        thick = float(np.exp(rng.uniform(np.log(1.0), np.log(8.0))))
        if rng.random() < 0.3:
            share = inside(distance, setup.edge)  # everything on one side
        else:
            share = inside(np.abs(distance) - np.float32(thick / 2), setup.edge)
        scene = blend(scene, _paint(rng, setup, pattern), share)
    return scene


def _cortex(shape: Shape, rng: np.random.Generator, setup: Setup, pattern: Array) -> tuple[Array, bool]:
    """A body whose inner surface is folded like a cortex: background, rims, fluid, a ribbon, a core, and nuclei."""
    outer = body_distance(shape, rng, 0.7, 1.05)
    dark = bool(rng.random() < 0.75)
    size = min(shape) / 2
    hull = outer + np.float32(rng.uniform(0.08, 0.3) * size)
    ribbon = _bumps(hull, rng, setup) if rng.random() < 0.4 else _sulci(hull, rng, setup)
    thick = float(rng.uniform(1.5, 4.0))
    core = _regions(shape, rng, setup, pattern) if rng.random() < 0.7 else _paint(rng, setup, pattern)
    bulge = smooth_field(shape, size / 2, rng) * float(0.25 * size)
    inner = distance_to_level(np.add(outer, bulge + float(rng.uniform(0.6, 1.0) * size), dtype=np.float32))
    layers = [
        (outer, _paint(rng, setup, pattern)),  # skin
        (0.7 * outer + 0.3 * hull, _paint(rng, setup, pattern)),  # skull
        (0.3 * outer + 0.7 * hull, _paint(rng, setup, pattern)),  # fluid
        (ribbon, _paint(rng, setup, pattern)),
        (ribbon + np.float32(thick), core),
        (inner, _paint(rng, setup, pattern)),  # nuclei and ventricles
    ]
    scene = np.zeros(shape, np.float32) if dark else _paint(rng, setup, pattern)
    for distance, paint in layers:
        scene = blend(scene, paint, inside(distance, setup.edge))
    return scene, dark


def _bumps(hull: Array, rng: np.random.Generator, setup: Setup) -> Array:
    """The hull pushed in and out by waves: distance to a folded surface."""
    wave = float(rng.uniform(8, 9 + 0.18 * min(hull.shape)))
    folds = band_field(hull.shape, wave, rng, setup.spacing, octaves=0.35)
    return distance_to_level(np.asarray(hull + folds * float(rng.uniform(0.2, 0.65) * wave), np.float32))


def _sulci(hull: Array, rng: np.random.Generator, setup: Setup) -> Array:
    """The hull cut by thin winding clefts that end at a depth: distance to the nearest outside, negative within."""
    wave = float(rng.uniform(11, 12 + 0.25 * min(hull.shape)))
    sheet = distance_to_level(band_field(hull.shape, wave, rng, setup.spacing, octaves=0.35))
    depth = float(rng.uniform(0.1, 0.45)) * min(hull.shape)
    cleft = np.hypot(sheet, np.maximum(-hull - np.float32(depth), 0)) - np.float32(rng.uniform(0.4, 1.5))
    return np.maximum(hull, -cleft)
