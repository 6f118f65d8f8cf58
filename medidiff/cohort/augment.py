"""Random patches and what is done to them: flips, axes, contrast, inversion, resolution."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from medidiff.cohort.sources import Case, block_mean


class Augmentation(BaseModel):
    """How patches are varied, so that a prior serves contrasts and resolutions it has not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flip: bool = True
    """Random flips of each axis."""
    axes: bool = True
    """Random permutation of the axes (the spacing follows)."""
    contrast: float = Field(default=0.6, ge=0, le=1)
    """Share of CLEAN patches whose intensities go through a random smooth curve (it would bend noise)."""
    invert: float = Field(default=0.15, ge=0, le=1)
    """Share of patches with inverted intensities."""
    scale: float = Field(default=1.4, ge=1)
    """Intensities are scaled by up to this factor up or down; tau follows."""
    offset: float = Field(default=0.2, ge=0)
    """Intensities are shifted by up to this much, normalised units."""
    coarser: float = Field(default=0.25, ge=0, le=1)
    """Share of patches averaged over 2 voxels along one, two or three axes: coarser or thicker voxels."""


def random_patch(
    case: Case, shape: tuple[int, int, int], how: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float, float], float]:
    """Cut and vary one patch.

    Args:
        case: The scan.
        shape: Patch size in voxels.
        how: What is varied.
        rng: Source of randomness.

    Returns:
        Patch float32 of size `shape`, its spacing in mm, its own noise level tau.
    """
    order = rng.permutation(3) if how.axes else np.arange(3)
    factors = np.ones(3, dtype=int)
    if rng.random() < how.coarser:
        factors[rng.permutation(3)[: rng.integers(1, 4)]] = 2
    data = case.data.transpose(*order)
    factors = np.where(np.array(data.shape) >= factors * 16, factors, 1)
    patch = _crop(data, tuple(int(n) for n in np.array(shape) * factors), rng).astype(np.float32)
    patch = _mirror(block_mean(patch, (int(factors[0]), int(factors[1]), int(factors[2]))), shape, rng)
    tau = case.tau / float(np.sqrt(factors.prod()))
    spacing = np.array(case.spacing_mm)[order] * factors
    if how.flip:
        patch = patch[tuple(slice(None, None, -1 if rng.random() < 0.5 else 1) for _ in range(3))]
    patch, tau = _vary_intensity(patch, tau, how, rng)
    return np.ascontiguousarray(patch, dtype=np.float32), tuple(spacing.tolist()), tau  # type: ignore[return-value]


def _crop(data: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A random box, or all there is along an axis that is too short."""
    starts = [int(rng.integers(0, max(n - s, 0) + 1)) for n, s in zip(data.shape, shape, strict=True)]
    return data[tuple(slice(a, a + s) for a, s in zip(starts, shape, strict=True))]


def _mirror(box: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Mirror a box that is too small at its ends."""
    missing = [s - n for s, n in zip(shape, box.shape, strict=True)]
    if not any(missing):
        return box
    before = [int(rng.integers(0, m + 1)) for m in missing]
    return np.pad(box, [(b, m - b) for b, m in zip(before, missing, strict=True)], mode="symmetric")


def _vary_intensity(
    patch: np.ndarray, tau: float, how: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    if tau == 0 and rng.random() < how.contrast:
        patch = _random_curve(patch, rng)
    if rng.random() < how.invert:
        patch = -patch
    factor = float(np.exp(rng.uniform(-1, 1) * np.log(how.scale)))
    shift = float(rng.uniform(-how.offset, how.offset))
    return patch * np.float32(factor) + np.float32(shift), tau * factor


def _random_curve(patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A gamma curve or a smooth monotone curve through random knots; ends stay near -1 and 1."""
    unit = (patch + 1) / 2
    if rng.random() < 0.5:
        curved = np.sign(unit) * np.abs(unit) ** float(np.exp(rng.uniform(-0.9, 0.9)))
    else:
        steps = rng.gamma(0.8, size=6) + 0.05
        knots = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
        curved = np.interp(unit, np.linspace(0, 1, 7), knots)
    return (2 * curved - 1).astype(np.float32)
