"""Pairs made from a clean scan: the same scan with noise of a known kind and level, the same bits every time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medidiff.errors import InputError, NoiseError, NoNoiseError, UsageError
from medidiff.evaluate.scores import data_range
from medidiff.noise import add_gaussian, add_rician, estimate_noise
from medidiff.noise.correlated import GaussianKernel, add_correlated, kernel_correlations
from medidiff.noise.varying import smooth_level_map
from medidiff.volume import Volume

ENOUGH = 3.0
"""Added noise should be so many times the scan's own: what a method removes of the latter then counts for little."""
_MOST_PERCENT = 100.0
_KERNEL_WIDTH = 0.8
"""Of correlated noise: standard deviation in voxels of the kernel that blurs it in the plane of the finer voxels."""
_PEAK = 3.0
"""Of varying noise: the highest level over the lowest."""


@dataclass(frozen=True, eq=False)
class Made:
    """A scan with noise added.

    Args:
        noisy: On the clean scan's grid, float32.
        kind: Of noise.
        percent: Its level in percent of the clean scan's range.
        level: The same in the scan's unit: standard deviation (Rician: of each of the two parts).
        level_map: Voxel by voxel, where it differs; `level` is then its median.
        facts: What else is known of it, for the manifest.
    """

    noisy: Volume
    kind: str
    percent: float
    level: float
    level_map: Volume | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


_Noisy = tuple[np.ndarray, np.ndarray | None, dict[str, Any]]
"""Scan, map of the level where it differs, what else is known."""


def add_known_noise(clean: Volume, kind: str, percent: float, seed: int) -> Made:
    """The scan with noise of a known kind and level; scan, kind, level and seed decide every bit.

    Args:
        clean: The scan, its own noise small against what is added.
        kind: One of `NOISES`.
        percent: Level in percent of the scan's range (99.5th minus 0.5th percentile).
        seed: Of the noise.

    Raises:
        UsageError: An unknown kind, or a level that is not positive and at most 100%.
        InputError: A magnitude is asked for of a scan with negative values.
    """
    check_wish(kind, percent)
    data = clean.data.astype(np.float32)
    if kind == "rician" and float(data.min()) < 0:
        raise InputError("has negative values, so it is no magnitude, and Rician noise does not happen to it.")
    level = percent / 100 * data_range(data)
    key = hashlib.sha256(data.tobytes()).digest() + f"{kind} {percent:g}".encode()
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(key).digest()[:16], "little")])
    noisy, level_map, facts = _MAKERS[kind](clean.with_data(data), level, rng)
    told = None if level_map is None else clean.with_data(level_map.astype(np.float32))
    return Made(clean.with_data(noisy.astype(np.float32)), kind, percent, level, told, facts)


def check_wish(kind: str, percent: float) -> None:
    """Refuse a kind or level that cannot be added.

    Raises:
        UsageError: It is one.
    """
    if kind not in _MAKERS:
        raise UsageError(f"--noise {kind}: must be {', '.join(NOISES)}.")
    if not 0 < percent <= _MOST_PERCENT:
        raise UsageError(f"--percent {percent:g}: must be above 0 and at most {_MOST_PERCENT:g}, of the scan's range.")


def halved(volume: Volume) -> Volume:
    """Means over 2 x 2 x 2 voxels: a smaller scan with about a third of the noise (1 / sqrt(8), where it is white).

    Raises:
        InputError: An axis has fewer than four voxels.
    """
    if min(volume.shape) < 4:
        raise InputError(f"{volume.name or 'volume'}: shape {volume.shape}: too small for --downsample.")
    x, y, z = (n // 2 for n in volume.shape)
    cut = volume.data[: 2 * x, : 2 * y, : 2 * z]
    data = cut.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5), dtype=np.float32)
    affine = volume.affine_ras @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = volume.affine_ras[:3, 3] + volume.affine_ras[:3, :3] @ (0.5, 0.5, 0.5)
    return Volume(data, affine, name=volume.name, modality=volume.modality)


def own_noise(volume: Volume) -> dict[str, Any]:
    """How noisy a scan is itself, in its unit and in percent of its range: zero where there is none to be measured,
    None where it cannot be told.
    """
    try:
        found = estimate_noise(volume.data.astype(np.float32), "gaussian" if volume.modality == "CT" else "auto")
    except NoNoiseError:
        return {"level": 0.0, "percent": 0.0, "trusted": True}
    except NoiseError:
        return {"level": None, "percent": None, "trusted": False}
    percent = 100 * found.level / data_range(volume.data)
    return {"level": found.level, "percent": percent, "kind": found.kind, "trusted": found.trusted and found.white}


def _gaussian(clean: Volume, level: float, rng: np.random.Generator) -> _Noisy:
    return add_gaussian(clean.data, level, rng), None, {}


def _rician(clean: Volume, level: float, rng: np.random.Generator) -> _Noisy:
    return add_rician(clean.data, level, rng), None, {}


def _correlated(clean: Volume, level: float, rng: np.random.Generator) -> _Noisy:
    x, y, z = clean.spacing_mm
    through = 2 if z >= max(x, y) else 1 if y >= x else 0
    wx, wy, wz = (0.0 if axis == through else _KERNEL_WIDTH for axis in range(3))
    kernel = GaussianKernel((wx, wy, wz))
    facts = {"kernel_std_voxels": [wx, wy, wz], "correlation": list(kernel_correlations(kernel))}
    return add_correlated(clean.data, level, rng, kernel), None, facts


def _varying(clean: Volume, level: float, rng: np.random.Generator) -> _Noisy:
    x, y, z = clean.shape
    shape = smooth_level_map((x, y, z), rng, _PEAK)
    level_map = (level * shape / np.median(shape)).astype(np.float32)
    return add_gaussian(clean.data, level_map, rng), level_map, {}


_MAKERS: dict[str, Callable[[Volume, float, np.random.Generator], _Noisy]] = {
    "gaussian": _gaussian,
    "rician": _rician,
    "correlated": _correlated,
    "varying": _varying,
}
NOISES = tuple(_MAKERS)

__all__ = ["ENOUGH", "NOISES", "Made", "add_known_noise", "check_wish", "halved", "own_noise"]
