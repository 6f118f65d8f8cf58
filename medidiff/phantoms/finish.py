"""What a scanner adds to a scene: dark background, bias field, blur and a contrast curve; shared by all generators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from medidiff.phantoms.fields import Array, Shape, Spacing, blend, body_distance, inside, smooth_field


@dataclass(frozen=True)
class Setup:
    """What one volume's objects have in common."""

    spacing: Spacing
    """Size of a voxel along each axis, the smallest 1: objects look squeezed along a thick axis."""
    edge: float
    """Width of the partial-volume ramp at an edge, in the smallest voxels."""
    palette: np.ndarray | None
    """Intensities that objects draw from, or None for uniform ones."""

    def intensity(self, u: float, v: float) -> float:
        """Intensity of one object from two uniform numbers."""
        if self.palette is None:
            return u
        return float(self.palette[int(u * len(self.palette))]) + 0.04 * (v - 0.5)


def draw_setup(rng: np.random.Generator) -> Setup:
    """Voxel shape (one volume in three has a thick axis, mostly z), edge width, and tissue intensities."""
    spacing = [1.0, 1.0, 1.0]
    if rng.random() < 0.33:
        spacing[int(rng.choice(3, p=[0.15, 0.15, 0.7]))] = float(rng.uniform(1.3, 4.0))
    palette = rng.random(int(rng.integers(3, 9))) if rng.random() < 0.5 else None
    return Setup((spacing[0], spacing[1], spacing[2]), float(rng.uniform(0.4, 1.6)), palette)


def add_background(volume: Array, rng: np.random.Generator) -> Array:
    """`volume` inside a random body, a constant outside (mostly exactly 0), often with rims like skin and skull."""
    distance = body_distance(volume.shape, rng)
    level = 0.0 if rng.random() < 0.75 else float(rng.uniform(0, 0.12))
    width = float(rng.uniform(0.6, 1.6))
    if rng.random() < 0.6:
        depth = 0.0
        for _ in range(int(rng.integers(1, 4))):  # from the skin inwards
            thick = float(np.exp(rng.uniform(np.log(1.2), np.log(0.07 * min(volume.shape) + 1.5))))
            rim = inside(np.abs(distance + np.float32(depth + thick / 2)) - np.float32(thick / 2), width)
            volume = blend(volume, float(rng.random()), rim)
            depth += thick
    return blend(np.full_like(volume, level), volume, inside(distance, width))


def bias_field(shape: Shape, strength: float, rng: np.random.Generator) -> Array:
    """Smooth positive multiplicative field, exp of a slow Gaussian field with standard deviation `strength`."""
    return np.exp(np.float32(strength) * smooth_field(shape, max(shape) * float(rng.uniform(0.4, 1.0)), rng))


def contrast_curve(volume: Array, rng: np.random.Generator) -> Array:
    """Monotone change of contrast: identity, a power, or an S-shaped curve; 0 and 1 stay where they are."""
    kind = rng.random()
    if kind < 0.4:
        return volume
    if kind < 0.75:
        return volume ** np.float32(np.exp(rng.uniform(-0.5, 0.5)))
    steep = float(rng.uniform(2, 6))
    middle = float(rng.uniform(0.35, 0.65))
    low, high = np.tanh(-steep * middle), np.tanh(steep * (1 - middle))
    return ((np.tanh(np.float32(steep) * (volume - np.float32(middle))) - low) / (high - low)).astype(np.float32)


def finish(scene: Array, rng: np.random.Generator, setup: Setup, background: bool) -> Array:
    """The scene as a scanner would show it, in about [0, 1] and still free of noise.

    Args:
        scene: Intensities in about [0, 1].
        rng: Source of randomness; drawn from in a fixed order.
        setup: The volume's voxel shape.
        background: Put the scene inside a body surrounded by a constant.
    """
    low, high = np.percentile(scene[::2, ::2, ::2], [1, 99])
    if high - low < 0.25 or high > 1.1:  # a dull scene would be nothing but noise to a denoiser
        scene = (scene - np.float32(low)) * np.float32(0.9 / max(high - low, 0.05)) + np.float32(0.05)
    if rng.random() < 0.5:
        scene = scene * bias_field(scene.shape, float(rng.uniform(0.03, 0.25)), rng)
    if background:
        scene = add_background(scene, rng)
    sigma = np.zeros(3)
    if rng.random() < 0.6:
        sigma += rng.uniform(0.0, 0.9) * (rng.uniform(0.5, 1.0, 3) if rng.random() < 0.3 else 1.0)
    sigma = np.where(np.array(setup.spacing) > 1, np.maximum(sigma, 0.45), sigma)  # thick slices average
    if sigma.max() > 0.25:
        widths = np.where(sigma > 0.25, sigma, 0)
        scene = np.asarray(gaussian_filter(scene, widths, mode="nearest", truncate=3.0), np.float32)
    scene = contrast_curve(np.clip(scene, 0, 1.15), rng)
    bright = float(np.percentile(scene[::2, ::2, ::2], 99.5))
    gain = float(rng.uniform(0.8, 1.0)) / max(bright, 0.05) if bright < 0.7 else 1.0
    return np.clip(scene * np.float32(gain), 0, 1.2).astype(np.float32)
