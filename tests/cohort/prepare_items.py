"""Scans made in memory, as items to prepare."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from medidiff.cohort.prepare_scan import Item, Reading
from medidiff.errors import InputError
from medidiff.volume import Volume


@dataclass(frozen=True)
class Ball:
    """A smooth ball of 100 on 10 with white noise; `change` names what is wrong with it."""

    seed: int
    shape: tuple[int, int, int] = (20, 18, 16)
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 3.0
    change: str = ""
    modality: str = ""
    mask: int = 0
    radius: float = 0.8

    def __call__(self) -> Reading:
        """Draw it."""
        if self.change == "unreadable":
            raise InputError("scan.nii.gz: damaged (bad magic). Get it again.")
        if self.change == "crash":
            raise RuntimeError("patient Doe in a library's words")
        data = ball(self.shape, self.radius) + np.random.default_rng(self.seed).normal(0, self.noise, self.shape)
        volume = Volume.from_array(self._changed(data.astype(np.float32)), self.spacing_mm, name="scan")
        if self.change == "flat":
            volume = Volume(volume.data, np.diag([1.0, 0.0, 1.0, 1.0]), name="scan")
        if self.change == "turned":  # the same scan, stored with its axes the other way round
            affine = volume.affine_ras @ np.array([[-1, 0, 0, self.shape[0] - 1], *np.eye(4)[1:]])
            volume = Volume(volume.data[::-1], affine)
        volume = Volume(volume.data, volume.affine_ras, None, "scan", self.modality)
        labels = np.full(self.shape, self.mask, dtype=np.uint8)
        return Reading(volume, volume.with_data(labels) if self.mask else None)

    def _changed(self, data: np.ndarray) -> np.ndarray:
        if self.change == "nan":
            data[3, 4, 5] = np.nan
        if self.change == "constant":
            data[:] = 7
        if self.change == "empty":
            data[:] = 0
            data[8, 8:10, 4:14] = np.arange(20).reshape(2, 10) + 500
        if self.change == "noise":
            data = np.random.default_rng(0).normal(100, 20, data.shape).astype(np.float32)
        if self.change == "hot":
            data[0, 0, 0] = 1e7
        if self.change == "labels":
            data = (data > 50).astype(np.float32)
        return data


def ball(shape: tuple[int, int, int], radius: float = 0.8) -> np.ndarray:
    """A ball with a soft rim in the middle of the grid."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return 10 + 100 / (1 + np.exp((np.sqrt(x**2 + y**2 + z**2) - radius) * 12))


@dataclass
class Scans:
    """Items with paths that follow one another."""

    items: list[Item] = field(default_factory=list)

    def add(self, ball: Ball, patient: str = "", **attributes: float | str | None) -> Scans:
        """One more scan; of a new patient where none is named."""
        k = len(self.items)
        item = Item(f"scan-{k:03d}.nii.gz", patient or f"p{k}", f"key-{k}", ball, dict(attributes))
        self.items.append(item)
        return self


def several(count: int = 12) -> list[Item]:
    """Scans of patients with two each."""
    scans = Scans()
    for k in range(count):
        scans.add(Ball(k, shape=(16 + k % 3, 15, 14)), f"patient-{k // 2}", age=20.0 + k // 2, sex="FM"[k // 2 % 2])
    return scans.items
