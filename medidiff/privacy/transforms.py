"""What a copy may have gone through before it is published: the positive controls of the audit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from medidiff.errors import InputError, UsageError

MOST_DEGREES = 10.0
MOST_VOXELS = 3.0
GAMMA = (0.7, 1.4)
NOISE_SHARE = 0.3
"""Noise of a noisy copy, of the standard deviation of what the scan holds above `HIGH_PASS_VOXELS`."""
HIGH_PASS_VOXELS = 2.0
BLUR_VOXELS = 0.8
_LEAST_SIDE = 8


class Planted(NamedTuple):
    """Copies of scans.

    Attributes:
        images: float32 (count, x, y, z).
        sources: Which scan each is a copy of, (count,) int.
    """

    images: np.ndarray
    sources: np.ndarray


def apply_transform(name: str, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy of a scan that has gone through one transform.

    `exact`: the same. `flip`: left and right (axis 0) exchanged. `rotation`: by up to 10 degrees about any axis through
    the middle. `shift`: by up to 3 voxels along each axis, not whole ones. `gamma`: the scan's range taken to a power
    of 0.7 to 1.4. `noise`: white, 0.3 of the standard deviation of the high-passed scan. `blur`: Gaussian of 0.8 voxel.
    `combined`: flip (every second time), rotation, shift, gamma, blur of half the width and noise of half the strength.

    Args:
        name: One of `thresholds.TRANSFORMS`.
        image: Scan (x, y, z), finite, in any unit. What a rotation or a shift brings in from outside is its mirror.
        rng: Of angle, axis, shift, exponent and noise.

    Returns:
        float32 (x, y, z); a new array.

    Raises:
        UsageError: No such transform.
        InputError: Not three axes of 8 voxels or more, or not finite.
    """
    image = _checked(image)
    if name not in _MADE_BY:
        raise UsageError(f"transform {name!r}: must be one of {', '.join(_MADE_BY)}.")
    return np.ascontiguousarray(_MADE_BY[name](image, rng), dtype=np.float32)


def planted_copies(images: np.ndarray, patients: np.ndarray, name: str, count: int, seed: int) -> Planted:
    """Copies of scans of different patients under one transform: what the audit must be able to see.

    Which scans are copied, and how, follows from their content, `name` and `seed`: the order of the files and the
    numbers that patients are given do not matter. No patient is copied twice before all have been copied once.

    Args:
        images: Scans (n, x, y, z).
        patients: Whose each is, (n,).
        name: One of `thresholds.TRANSFORMS`.
        count: How many; with more copies than scans, scans are copied again, by another draw.
        seed: Of the choice and of the transforms.

    Raises:
        UsageError: `count` is not positive, or no such transform.
        InputError: No scans, as many patients as scans are needed, or see `apply_transform`.
    """
    images, patients = np.asarray(images), np.asarray(patients)
    if len(images) == 0 or patients.shape != (len(images),):
        raise InputError(f"{len(images)} scans and patients {patients.shape}: one patient for each scan is needed.")
    if count < 1:
        raise UsageError(f"count {count}: must be 1 or more.")
    draws = [_draw(image, name, seed) for image in images]
    order = _patients_in_turn(draws, patients)
    chosen = [(order[i % len(order)], i // len(order)) for i in range(count)]
    copies = [apply_transform(name, images[s], np.random.default_rng([*draws[s], again])) for s, again in chosen]
    return Planted(np.stack(copies), np.array([source for source, _ in chosen]))


def _draw(image: np.ndarray, name: str, seed: int) -> tuple[int, ...]:
    """Random numbers that belong to a scan's content."""
    content = hashlib.sha256(f"{seed} {name} {image.shape} ".encode())
    content.update(np.ascontiguousarray(image, dtype=np.float32).tobytes())
    return tuple(int(word) for word in np.frombuffer(content.digest(), np.uint32))


def _patients_in_turn(draws: list[tuple[int, ...]], patients: np.ndarray) -> list[int]:
    """Scans in the order of their draws, the first of every patient before the second of any."""
    seen: dict[object, int] = {}
    keys: dict[int, tuple[int, tuple[int, ...]]] = {}
    for scan in sorted(range(len(draws)), key=draws.__getitem__):
        patient = patients[scan].item()
        keys[scan] = (seen.get(patient, 0), draws[scan])
        seen[patient] = seen.get(patient, 0) + 1
    return sorted(keys, key=keys.__getitem__)


def _exact(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image.copy()


def _flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[::-1]


def _rotation(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return moved(image, _random_rotation(rng), np.zeros(3))


def _shift(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return moved(image, np.eye(3), rng.uniform(-MOST_VOXELS, MOST_VOXELS, 3))


def _gamma(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The exponent's logarithm is uniform: as often below 1 as above."""
    exponent = np.exp(rng.uniform(*np.log(GAMMA)))
    low, high = image.min(), image.max()
    if low == high:
        return image.copy()
    return low + (high - low) * ((image - low) / (high - low)) ** exponent


def _noise(image: np.ndarray, rng: np.random.Generator, share: float = NOISE_SHARE) -> np.ndarray:
    detail = image - ndimage.gaussian_filter(image, HIGH_PASS_VOXELS, mode="reflect")
    return image + share * detail.std() * rng.standard_normal(image.shape)


def _blur(image: np.ndarray, rng: np.random.Generator, voxels: float = BLUR_VOXELS) -> np.ndarray:
    return ndimage.gaussian_filter(image, voxels, mode="reflect")


def _combined(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    image = image[::-1] if rng.random() < 0.5 else image
    image = moved(image, _random_rotation(rng), rng.uniform(-MOST_VOXELS, MOST_VOXELS, 3))
    return _noise(_blur(_gamma(image, rng), rng, BLUR_VOXELS / 2), rng, NOISE_SHARE / 2)


def moved(image: np.ndarray, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A scan rotated about its middle, then shifted, by cubic interpolation, mirrored at its ends.

    Args:
        image: (x, y, z).
        rotation: (3, 3), orthonormal.
        shift: Voxels along x, y, z.
    """
    middle = (np.array(image.shape) - 1) / 2
    inverse = rotation.T  # output voxel o shows the input at R^T (o - middle - shift) + middle
    offset: Any = middle - inverse @ (middle + shift)  # scipy takes an array too
    return ndimage.affine_transform(image, inverse, offset, order=3, mode="reflect")


def _random_rotation(rng: np.random.Generator) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    axis = rng.standard_normal(3)
    angle = np.deg2rad(rng.uniform(-MOST_DEGREES, MOST_DEGREES))
    return Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()


def _checked(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    if image.ndim != 3 or min(image.shape) < _LEAST_SIDE:
        raise InputError(f"a scan of shape {image.shape}: must be (x, y, z) with sides of {_LEAST_SIDE} or more.")
    if not np.isfinite(image).all():
        raise InputError("a scan holds NaN or infinite values: leave it out.")
    return image


_MADE_BY: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "exact": _exact,
    "flip": _flip,
    "rotation": _rotation,
    "shift": _shift,
    "gamma": _gamma,
    "noise": _noise,
    "blur": _blur,
    "combined": _combined,
}


__all__ = ["Planted", "apply_transform", "moved", "planted_copies"]
