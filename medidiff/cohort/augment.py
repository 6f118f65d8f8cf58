"""Random patches and what is done to them: flips, axes, contrast, inversion, resolution."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from medidiff.cohort.bend import bend
from medidiff.cohort.body import averaged, cut, flipped, turned
from medidiff.cohort.cases import AnyCase, Box
from medidiff.cohort.sources import block_mean


class Augmentation(BaseModel):
    """How patches are varied, so that a prior serves contrasts and resolutions it has not seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    flip: bool = True
    """Random flips of each axis."""
    mirror: bool = False
    """Left and right are exchanged in half of the patches, as in another body: for what is nearly symmetric, or for
    cohorts that have both sides. Samples of crops of one side would be of either."""
    centred: float = Field(default=0, ge=0, le=1)
    """Share of patches cut from the middle of the scan, as samples are; the others lie anywhere. For crops about as
    large as a patch: from patches that lie anywhere samples are learned that do, since a few voxels more or less are
    too little to be told by the position."""
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
    bend: float = Field(default=0, ge=0, le=1)
    """Share of the patches with masks that are bent with them (`cohort.bend`): they teach the masks alone, and are
    told no conditions. For few labelled scans."""


class Patch(NamedTuple):
    """A patch and what is known of it.

    Attributes:
        data: float32 (x, y, z).
        spacing_mm: Its voxel spacing.
        tau: Its own white noise level.
        position: Affine (3, 4) from its voxels to body coordinates (`cohort.body`); None where unknown. A part that is
            mirrored at the scan's end has the coordinates that lie there, not those of what is mirrored.
        masks: float32 (m, x, y, z), -1 outside and 1 inside, on the patch's grid; None where the case has none.
        inside: Boolean (x, y, z), false where the scan had ended and was mirrored (a mask is -1 there).
        bent: Whether it was bent, so that its image is not a scan's.
    """

    data: np.ndarray
    spacing_mm: tuple[float, float, float]
    tau: float
    position: np.ndarray | None
    masks: np.ndarray | None = None
    inside: np.ndarray | None = None
    bent: bool = False


PLAIN = Augmentation(contrast=0, invert=0, scale=1, offset=0, coarser=0, flip=False, axes=False)
"""Nothing is varied: patches that a prior is judged on."""


def random_patch(
    case: AnyCase, shape: tuple[int, int, int], how: Augmentation, rng: np.random.Generator, position: bool = False
) -> Patch:
    """Cut and vary one patch; of the scan no more than the box is read.

    Args:
        case: The scan.
        shape: Patch size in voxels.
        how: What is varied.
        rng: Source of randomness.
        position: Whether its place in the body is wanted.
    """
    order = rng.permutation(3) if how.axes else np.arange(3)
    factors = np.ones(3, dtype=int)
    if rng.random() < how.coarser:
        factors[rng.permutation(3)[: rng.integers(1, 4)]] = 2
    full = np.array(case.shape)[order]
    factors = np.where(full >= factors * 16, factors, 1)
    size = np.array(shape) * factors
    centred = how.centred > 0 and bool(rng.random() < how.centred)
    starts = (np.maximum(full - size, 0) // 2).tolist() if centred else _starts(case, order, full, size, rng)
    box = [slice(0)] * 3
    for axis, start, length, n in zip(order, starts, size, full, strict=True):
        box[axis] = slice(int(start), int(min(start + length, n)))
    where: Box = (box[0], box[1], box[2])
    blocks = (int(factors[0]), int(factors[1]), int(factors[2]))
    data = block_mean(case.read(where).transpose(*order).astype(np.float32), blocks)
    labels = [block_mean(mask.transpose(*order).astype(np.float32), blocks) for mask in case.read_masks(where)]
    inside = np.ones(data.shape, dtype=bool) if case.masks else None
    before, after = _missing(data.shape, shape, None if centred else rng)
    if any(before) or any(after):
        ends = list(zip(before, after, strict=True))
        data = np.pad(data, ends, mode="symmetric")
        labels = [np.pad(mask, ends, constant_values=-1) for mask in labels]
        inside = None if inside is None else np.pad(inside, ends)
    flips = tuple(axis for axis in range(3) if how.flip and rng.random() < 0.5)
    mirrored = how.mirror and bool(rng.random() < 0.5)
    if mirrored:  # one flip more along the axis from left to right
        flips = tuple({*flips} ^ {order.tolist().index(0)})
    data, labels = np.flip(data, flips), [np.flip(mask, flips) for mask in labels]
    inside = None if inside is None else np.flip(inside, flips).copy()
    place = None
    frame = case.frame() if position else None
    if frame is not None:
        place = averaged(cut(turned(frame, order.tolist()), starts), factors.tolist())
        place = flipped(cut(place, [-n for n in before]), flips, shape)
        if mirrored:  # what lay at R lies at -R
            place *= np.array([[-1.0], [1], [1]])
        place = place.astype(np.float32)
    tau = case.tau / float(np.sqrt(factors.prod()))
    spacing = (np.array(case.spacing_mm)[order] * factors).tolist()
    data, tau = _vary_intensity(data, tau, how, rng)
    masks = np.stack(labels) if labels else None
    image = np.ascontiguousarray(data, dtype=np.float32)
    bent = how.bend > 0 and masks is not None and inside is not None and bool(rng.random() < how.bend)
    if bent and masks is not None and inside is not None:
        image, masks, inside = bend(image, masks, inside, rng)
    return Patch(image, (spacing[0], spacing[1], spacing[2]), tau, place, masks, inside, bent)


def _starts(
    case: AnyCase, order: np.ndarray, full: np.ndarray, size: np.ndarray, rng: np.random.Generator
) -> list[int]:
    """Where the box begins along each axis: anywhere, or so that its centre lies in the body's bounding box."""
    last = np.maximum(full - size, 0)
    low, high = np.zeros(3, dtype=int), last
    if case.body is not None and case.foreground > 0 and rng.random() < case.foreground:
        low = np.clip(np.array(case.body[0])[order] - size // 2, 0, last)
        high = np.clip(np.array(case.body[1])[order] - 1 - size // 2, low, last)
    return [int(rng.integers(a, b + 1)) for a, b in zip(low, high, strict=True)]


def _missing(
    have: tuple[int, ...], shape: tuple[int, int, int], rng: np.random.Generator | None
) -> tuple[list[int], list[int]]:
    """How many voxels a box that is too small is mirrored by at its two ends; None: as many at both, or one more."""
    missing = [s - n for s, n in zip(shape, have, strict=True)]
    if not any(missing):
        return [0, 0, 0], [0, 0, 0]
    before = [m // 2 if rng is None else int(rng.integers(0, m + 1)) for m in missing]
    return before, [m - b for m, b in zip(missing, before, strict=True)]


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
