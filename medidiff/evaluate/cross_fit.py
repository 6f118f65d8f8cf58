"""Nets judged on patients they have not seen: real patients in two halves, and as many synthetic scans for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.intervals import Interval, paired_t

STEPS = 250
"""Of every net."""
FEWEST_PATIENTS = 8
_LARGEST_SIDE = 64
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Task:
    """One thing that nets were trained to do.

    Attributes:
        name: Such as "segmentation" or "age_years".
        figure: What is given: Dice, mean absolute error, share that is right.
        higher: Whether more is better.
        real: Of nets trained on real scans; mean over patients with Student's 95% interval.
        synthetic: Of nets trained on synthetic scans.
        difference: Synthetic minus real, on the same patients.
        chance: What is reached without a look at the scan; None for a segmentation.
        per_scan: Of nets trained on synthetic scans, one a real scan, in their order.
        trained_on: Scans that each net was trained on.
        patients: Real patients that were judged, each by nets that had not seen him.
    """

    name: str
    figure: str
    higher: bool
    real: Interval
    synthetic: Interval
    difference: Interval
    chance: float | None
    per_scan: np.ndarray
    trained_on: int
    patients: int

    def to_dict(self) -> dict[str, Any]:
        """JSON types, without the figures of single scans."""
        intervals = {name: getattr(self, name)._asdict() for name in ("real", "synthetic", "difference")}
        plain = {name: getattr(self, name) for name in ("name", "figure", "higher", "chance", "trained_on", "patients")}
        return {**plain, **intervals}


def cross_fitted(
    made: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    patients: Sequence[str],
    judge: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray],
    seed: int,
    say: Say,
    name: str,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Figures of every real scan by nets trained on other patients, and on synthetic scans; scans a net was given."""
    half = halves(patients, seed)
    order = np.random.default_rng([seed, 1]).permutation(len(made[0]))
    count = min(len(made[0]), *(int((half == place).sum()) for place in (0, 1)))
    figures = np.empty((2, len(real[0])))
    for place in (0, 1):
        index = np.flatnonzero(half == place)
        others = np.random.default_rng([seed, 3, place]).permutation(np.flatnonzero(half != place))[:count]
        own = np.roll(order, -place * count)[:count]
        for row, (kind, pool, chosen) in enumerate((("real", real, others), ("synthetic", made, own))):
            say(f"{name}: {kind} net {place + 1} of 2, {count} scans")
            figures[row, index] = judge(pool[0][chosen], pool[1][chosen], index, place)
    return figures[0], figures[1], count


def task_of(
    name: str,
    figure: str,
    higher: bool,
    chance: float | None,
    patients: Sequence[str],
    real: np.ndarray,
    made: np.ndarray,
    count: int,
) -> Task:
    """Figures of every real scan, by nets of both kinds, as means over patients with their intervals."""
    names = np.asarray(patients)
    people = sorted(set(patients))
    by_patient = [[float(values[names == one].mean()) for one in people] for values in (real, made)]
    nothing = [0.0] * len(people)
    return Task(
        name, figure, higher, paired_t(by_patient[0], nothing), paired_t(by_patient[1], nothing),
        paired_t(by_patient[1], by_patient[0]), chance, made, count, len(people),
    )  # fmt: skip


def halves(patients: Sequence[str], seed: int) -> np.ndarray:
    """0 or 1 of every scan, all of a patient's alike; it depends on names and seed, not on the order of scans."""
    people = sorted(set(patients))
    if len(people) < FEWEST_PATIENTS:
        raise InputError(f"{len(people)} real patients: {FEWEST_PATIENTS} are needed at least, 30 to mean anything.")
    deal = dict(zip(people, np.random.default_rng(seed).permutation(len(people)) % 2, strict=True))
    return np.array([int(deal[one]) for one in patients])


def shrunk(images: np.ndarray) -> np.ndarray:
    """Scans of more than 64 voxels a side at half their resolution, and again: the nets are small."""
    while max(images.shape[1:]) > _LARGEST_SIDE:
        n, x, y, z = (images.shape[0], *(side // 2 for side in images.shape[1:]))
        cut = images[:, : 2 * x, : 2 * y, : 2 * z]
        images = cut.reshape(n, x, 2, y, 2, z, 2).mean(axis=(2, 4, 6), dtype=np.float32)
    return images


def shrunk_masks(masks: np.ndarray) -> np.ndarray:
    """Their label maps: every second voxel."""
    while max(masks.shape[1:]) > _LARGEST_SIDE:
        x, y, z = (side // 2 * 2 for side in masks.shape[1:])
        masks = masks[:, :x:2, :y:2, :z:2]
    return masks


__all__ = ["FEWEST_PATIENTS", "STEPS", "Say", "Task", "cross_fitted", "halves", "shrunk", "shrunk_masks", "task_of"]
