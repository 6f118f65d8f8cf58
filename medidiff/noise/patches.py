"""Small cubes of a scan and their cosine spectra: what every part of the noise estimate looks at."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.fft import dct

from medidiff.errors import NoiseError, NoNoiseError
from medidiff.noise.rounding import rounding_step

SIDE = 4  # voxels; the noise two voxels away still shows, and anatomy is often flat over so few
SIZE = SIDE**3
COSINES = np.asarray(dct(np.eye(SIDE), axis=0, norm="ortho"), dtype=np.float32)  # frequency, place
_INDEX = np.indices((SIDE, SIDE, SIDE)).reshape(3, SIZE)
ORDER = _INDEX.sum(axis=0)  # of a coefficient (i, j, k): i + j + k
# Anatomy that is smooth over a cube lies in the low orders; noise that is white lies in all of them alike.
LOW, HIGH = (ORDER > 0) & (ORDER < 3), ORDER >= 3
MOST_PATCHES = 30_000  # overlapping ones; the level's sampling error is far below one percent with so many
FEWEST_PATCHES = 40  # of 64 voxels that do not overlap: a sampling error of some 5%
_MOST_REPEATED = 4  # of the 64 voxels may have the scan's lowest value (a few zeros of a magnitude in whole numbers)
_BLANK_SHARE = 0.01
# Of the neighbours in a cube may be equal: more are so in saturated ones. In a scan rounded to its noise half are so
# where it is flat, and fewer elsewhere.
_ALIKE, _ALIKE_ROUNDED = 0.3, 0.8


class Patches(NamedTuple):
    """Cubes of 4 x 4 x 4 voxels.

    Attributes:
        values: (n, 64), float32.
        mean: (n,).
        centre: (n, 3), from -1 to 1 across the scan along each axis.
        overlap: How many of them cover a voxel on average: n / overlap of them are independent.
    """

    values: np.ndarray
    mean: np.ndarray
    centre: np.ndarray
    overlap: float

    def take(self, chosen: np.ndarray) -> Patches:
        """Some of them."""
        return Patches(self.values[chosen], self.mean[chosen], self.centre[chosen], self.overlap)


def gather_patches(
    data: Float[np.ndarray, "x y z"], where: Bool[np.ndarray, "x y z"] | None = None, most: int = MOST_PATCHES
) -> Patches:
    """The cubes to measure noise in: none that touches a blank background, a clipped one, or voxels left out.

    Args:
        data: The scan, float32, at least 4 voxels along each axis.
        where: True for the voxels to judge by; None: all.
        most: How many to take, overlapping ones counted.

    Raises:
        NoNoiseError: Neighbouring voxels are equal wherever one looks.
        NoiseError: The scan is thinner than 4 voxels, or too little of it is left.
    """
    if min(data.shape) < SIDE:
        raise NoiseError(
            f"a scan of {' x '.join(map(str, data.shape))} voxels is too thin to estimate its noise: "
            f"{SIDE} voxels are needed along each axis. Give --noise-std."
        )
    lowest = data.min() if where is None else np.min(data, where=where, initial=np.inf)
    blank = float(np.count_nonzero(data == lowest)) / data.size >= _BLANK_SHARE
    if blank or where is not None:  # candidates are thinned after the useless ones are gone
        outside = data == lowest if blank else np.zeros(data.shape, dtype=bool)
        strides = _strides(data.shape, 8 * most)
        many = _windows(outside, strides).sum(axis=(3, 4, 5), dtype=np.uint8)
        good = many <= _MOST_REPEATED
        if where is not None:
            good &= _windows(where, strides).all(axis=(3, 4, 5))
    else:
        strides = _strides(data.shape, most)
        good = np.ones(_windows(data, strides).shape[:3], dtype=bool)
    corner = np.argwhere(good)
    if len(corner) > most:
        corner = corner[np.sort(np.random.default_rng(0).choice(len(corner), most, replace=False))]
    values = _windows(data, strides)[tuple(corner.T)].reshape(-1, SIZE)
    covered = math.prod(max(1.0, SIDE / s) for s in strides) * len(corner) / max(1, np.count_nonzero(good))
    alike = (values[:, SIDE**2 :] == values[:, : -(SIDE**2)]).mean(axis=1)  # saturated, or filled with another constant
    moving = alike <= _most_alike(alike, data)
    if len(moving) and not moving.any():
        raise NoNoiseError("no noise can be measured in this scan: neighbouring voxels are equal. Give --noise-std.")
    values, corner = values[moving], corner[moving]
    mean = values.mean(axis=1)
    if blank:  # next to a floor that clips it, noise loses its lower half
        clear = mean - 2.5 * values.std(axis=1) > lowest if lowest < 0 else mean > lowest
        values, corner, mean = values[clear], corner[clear], mean[clear]
    half = (np.array(data.shape) - 1) / 2
    centre = (corner * np.array(strides) + (SIDE - 1) / 2 - half) / half
    return Patches(values, mean, centre.astype(np.float32), max(1.0, covered))


def _most_alike(alike: np.ndarray, data: np.ndarray) -> float:
    """Share of equal neighbours above which a cube is saturated, or filled with another constant than the lowest."""
    rounded = alike[alike < _ALIKE_ROUNDED]
    usual = float(np.quantile(rounded, 0.9)) if len(rounded) else 0.0
    if 1.5 * usual <= _ALIKE or rounding_step(data) == 0:
        return _ALIKE
    return min(1.5 * usual, _ALIKE_ROUNDED)


def _strides(shape: tuple[int, ...], most: int) -> list[int]:
    """Steps between cubes, in voxels: 2 (1 along thin axes), or as large as it takes to have no more than `most`."""
    strides = [1 if n < 12 else 2 for n in shape]
    while math.prod((n - SIDE) // s + 1 for n, s in zip(shape, strides, strict=True)) > most:
        widest = max(range(3), key=lambda a: (shape[a] - SIDE) / strides[a])
        strides[widest] += 1
    return strides


def _windows(data: np.ndarray, strides: list[int]) -> np.ndarray:
    """(nx, ny, nz, 4, 4, 4), a view."""
    x, y, z = strides
    return np.lib.stride_tricks.sliding_window_view(data, (SIDE, SIDE, SIDE))[::x, ::y, ::z]


def spectra(values: Float[np.ndarray, "n 64"]) -> Float[np.ndarray, "n 64"]:
    """Squared cosine coefficients of cubes: of white noise each has the noise's variance as its mean."""
    c = values.reshape(-1, SIDE, SIDE, SIDE)
    for axis in (1, 2, 3):
        c = np.moveaxis(np.moveaxis(c, axis, 3) @ COSINES.T, 3, axis)
    return np.square(c.reshape(-1, SIZE))


__all__ = [
    "COSINES",
    "FEWEST_PATCHES",
    "HIGH",
    "LOW",
    "MOST_PATCHES",
    "ORDER",
    "SIDE",
    "Patches",
    "gather_patches",
    "spectra",
]
