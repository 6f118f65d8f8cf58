"""Real pairs of scan and label map on one common window, and synthetic ones in the same form."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medidiff.cohort.store import Store
from medidiff.errors import InputError

WINDOW = (32, 48, 40)
"""Voxels of 1 mm round the centre of a crop: every hippocampus fits."""
FIDELITY_WINDOW = (32, 40, 24)
"""Inside nearly every crop, so that nothing in it is mirrored: what synthetic scans are compared on."""


@dataclass(frozen=True)
class Pairs:
    """Scans with label maps.

    Attributes:
        images: float32 (n, *WINDOW), normalised.
        masks: uint8 (n, *WINDOW); 1 anterior, 2 posterior.
        patients: Whose each is; synthetic ones have a name each.
        volume_ml: Of both labels, (n,); of real ones the whole label map's.
        requested_ml: What was asked for, (n,); nan where nothing was.
    """

    images: np.ndarray
    masks: np.ndarray
    patients: tuple[str, ...]
    volume_ml: np.ndarray
    requested_ml: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: np.ndarray | slice) -> Pairs:
        """Some of them."""
        chosen = np.arange(len(self))[index]
        return Pairs(
            self.images[chosen],
            self.masks[chosen],
            tuple(self.patients[i] for i in chosen),
            self.volume_ml[chosen],
            self.requested_ml[chosen],
        )


def joined(first: Pairs, second: Pairs) -> Pairs:
    """Both, one after the other."""
    arrays = ("images", "masks", "volume_ml", "requested_ml")
    both = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in arrays}
    return Pairs(patients=(*first.patients, *second.patients), **both)


@functools.cache
def real_pairs(store: Path, split: str) -> Pairs:
    """All scans of a split, in the order of their ids."""
    opened = Store.open(store)
    rows = opened.scans(split)
    images, masks, volumes = [], [], []
    for row in rows:
        labels = opened.read(row.scan_id, array="mask")
        images.append(window(opened.read(row.scan_id).astype(np.float32), mirrored=True))
        masks.append(window(labels, mirrored=False))
        volumes.append(float((labels > 0).sum()) * float(np.prod(row.spacing_mm)) / 1000)
    volume = np.array(volumes)
    return Pairs(
        np.stack(images), np.stack(masks), tuple(row.patient for row in rows), volume, np.full(len(rows), np.nan)
    )


def made_pairs(images: np.ndarray, masks: np.ndarray | None, requested_ml: np.ndarray | None = None) -> Pairs:
    """Synthetic pairs; the volume is that of the label map in the window, 1 mm voxels.

    Args:
        images: (n, x, y, z), float.
        masks: Label maps, or None.
        requested_ml: What was asked for.
    """
    images = np.stack([window(image.astype(np.float32), mirrored=True) for image in images])
    labels = np.zeros(images.shape, np.uint8) if masks is None else np.stack([window(m, mirrored=False) for m in masks])
    n = len(images)
    requested = np.full(n, np.nan) if requested_ml is None else np.asarray(requested_ml, dtype=np.float64)
    volume = (labels > 0).sum(axis=(1, 2, 3)) / 1000
    return Pairs(images, labels, tuple(f"synthetic-{i:05d}" for i in range(n)), volume, requested)


def window(volume: np.ndarray, *, mirrored: bool, shape: tuple[int, int, int] = WINDOW) -> np.ndarray:
    """The middle of a volume; where the volume is smaller it is mirrored, or 0."""
    for axis, n in enumerate(shape):
        size = volume.shape[axis]
        if size < n:
            ends = [((n - size) // 2, n - size - (n - size) // 2) if a == axis else (0, 0) for a in range(3)]
            volume = np.pad(volume, ends, mode="symmetric") if mirrored else np.pad(volume, ends)
        start = (volume.shape[axis] - n) // 2
        volume = volume[(slice(None),) * axis + (slice(start, start + n),)]
    return np.ascontiguousarray(volume)


def fidelity_window(images: np.ndarray) -> np.ndarray:
    """The middle of each scan (n, x, y, z)."""
    return np.stack([window(image, mirrored=True, shape=FIDELITY_WINDOW) for image in images])


def read_made(path: Path) -> Pairs:
    """Synthetic pairs from an .npz (image, mask, volume_ml as asked for), or from a folder of `medidiff synth`.

    Raises:
        InputError: Nothing of the kind is there.
    """
    if path.suffix == ".npz":
        with np.load(path) as stored:
            asked = stored["volume_ml"] if "volume_ml" in stored else None
            return made_pairs(stored["image"], stored["mask"] if "mask" in stored else None, asked)
    if path.is_dir():
        from benchmarks._synthesis_folder import read_folder

        return read_folder(path)
    raise InputError(f"{path}: neither an .npz nor a folder of medidiff synth.")
