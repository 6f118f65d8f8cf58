"""The one door to procedural training volumes: a seeded mixture of dead leaves and labelled scenes."""

from __future__ import annotations

import numpy as np

from medidiff.phantoms.dead_leaves import dead_leaves, paint_leaves
from medidiff.phantoms.fields import Array, check_shape
from medidiff.phantoms.finish import draw_setup, finish
from medidiff.phantoms.labels import labelled_scene, random_labels


def procedural_volume(shape: tuple[int, int, int], seed: int) -> Array:
    """A noise-free volume of random objects, float32 (x, y, z) in about [0, 1].

    45% are dead leaves, 35% labelled scenes, 20% leaves in front of a labelled scene.

    Args:
        shape: Voxels along x, y, z, each at least 16; any proportions.
        seed: The same seed and shape give the same bits.

    Raises:
        UsageError: `shape` is not 3D or too small.
    """
    shape = check_shape(shape)
    kind = np.random.default_rng([seed, 0]).random()
    if kind < 0.45:
        return dead_leaves(shape, seed)
    if kind < 0.8:
        return random_labels(shape, seed)
    return leaves_on_labels(shape, seed)


def leaves_on_labels(shape: tuple[int, int, int], seed: int) -> Array:
    """A few leaves, mostly small, inside a labelled scene: vessels, lesions and nodules in tissue."""
    shape = check_shape(shape)
    rng = np.random.default_rng([seed, 3])
    setup = draw_setup(rng)
    scene, has_body = labelled_scene(shape, rng, setup)
    bare = scene <= 0
    scene = paint_leaves(scene, float(np.exp(rng.uniform(np.log(0.03), np.log(0.5)))), rng, setup)
    if has_body:
        scene[bare] = 0  # nothing floats in the air
    return finish(scene, rng, setup, background=bool(not has_body and rng.random() < 0.4))
