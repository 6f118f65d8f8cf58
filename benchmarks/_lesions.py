"""Small lesions: where they are put, what they look like, and how much of one is found again."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from benchmarks._cases import Case
from benchmarks._noise import Noisy, generator
from medidiff.volume import Volume

SIZES = (3, 4, 5, 6)
"""Across, in voxels."""
CONTRASTS = (1.0, 2.0, 3.0)
"""Times the noise's standard deviation."""
BINS = tuple((s, c) for s in SIZES for c in CONTRASTS)
APART = 10
"""Voxels from lesion to lesion: more than the 7 that BM4D looks round a block, so no lesion helps to find another."""
_NEAR = 2  # voxels round the lesion that the regression takes in
_INSIDE = 0.9  # of the neighbourhood must be foreground


class Planted(NamedTuple):
    """One lesion: its bin, its sign, where it is, and its template there."""

    size: int
    contrast: float
    sign: int
    box: tuple[slice, slice, slice]
    template: np.ndarray


def plant(case: Case, turn: int) -> list[Planted]:
    """Lesions on a grid of `APART` voxels wherever the neighbourhood is foreground, the bins equally often.

    Args:
        case: The reference.
        turn: Another turn draws other bins, signs and places between the voxels.
    """
    rng = generator(case, "lesions", turn)
    foreground = case.foreground
    starts = (range(0, n - APART + 1, APART) for n in case.clean.shape)
    corners = np.array(np.meshgrid(*starts, indexing="ij")).reshape(3, -1).T
    boxes = [(slice(x, x + APART), slice(y, y + APART), slice(z, z + APART)) for x, y, z in corners.tolist()]
    boxes = [box for box in boxes if foreground[box].mean() >= _INSIDE]
    # The bins in turn from a random one on, then shuffled: none has its own corner of the scan.
    first = int(rng.integers(len(BINS)))
    order = rng.permutation([(first + i) % len(BINS) for i in range(len(boxes))])
    found = []
    for box, which in zip(boxes, order, strict=True):
        size, contrast = BINS[which]
        # Anywhere between voxels, so that no lesion sits on the grid better than another.
        centre = (APART - 1) / 2 + rng.uniform(-0.5, 0.5, 3)
        found.append(Planted(size, contrast, 1 if rng.uniform() < 0.5 else -1, box, ball(size, centre)))
    return found


def ball(size: int, centre: np.ndarray) -> np.ndarray:
    """A ball `size` voxels across with partial-volume edges, in a box of `APART`."""
    index = np.meshgrid(*(np.arange(APART),) * 3, indexing="ij")
    distance = np.sqrt(sum((i - c) ** 2 for i, c in zip(index, centre, strict=True)))
    return np.clip(0.5 + size / 2 - distance, 0, 1)


def opposite(planted: list[Planted]) -> list[Planted]:
    """The same lesions, dark where they were bright."""
    return [lesion._replace(sign=-lesion.sign) for lesion in planted]


def with_lesions(case: Case, planted: list[Planted], percent: float) -> Volume:
    """The reference with the lesions in it; their contrast is a multiple of noise of that level."""
    data = case.clean.data.copy()
    std = case.noise_std(percent)
    for lesion in planted:
        data[lesion.box] += (lesion.sign * lesion.contrast * std * lesion.template).astype(data.dtype)
    return case.clean.with_data(data)


def noisy_of(case: Case, planted: list[Planted], percent: float, turn: int) -> Noisy:
    """The lesions first, then white Gaussian noise: the same in one turn, whatever the lesions are."""
    std = case.noise_std(percent)
    rng = generator(replace(case, name=f"{case.name} {turn}"), "lesion noise", percent)
    noise = rng.standard_normal(case.clean.shape)
    data = (with_lesions(case, planted, percent).data + std * noise).astype(np.float32)
    return Noisy("gaussian_lesions", percent, case.clean.with_data(data), std, case.lower, case.data_range)


def recovery(change: np.ndarray, lesion: Planted) -> float:
    """Least squares: what multiple of the template, beside a constant, the change is.

    Args:
        change: Scan minus the reference without lesions, in the lesion's box.
        lesion: Its template, and with it the voxels that count: it and `_NEAR` voxels around.
    """
    cube = ndimage.generate_binary_structure(3, 3)
    near: np.ndarray = ndimage.binary_dilation(lesion.template > 0, cube, iterations=_NEAR)
    t = lesion.template[near] - lesion.template[near].mean()
    return float(np.dot(t, change[near]) / np.dot(t, t))
