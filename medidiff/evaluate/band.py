"""What a distance between two sets of REAL scans is, so that a distance to synthetic ones can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.mmd import Kernel, checked_features, mmd2_of


@dataclass(frozen=True)
class Band:
    """Distances between two halves of real patients, at one size.

    Attributes:
        low: 2.5th percentile.
        high: 97.5th percentile.
        spread: Standard deviation.
        size: Scans in each half.
        draws: Halvings.
    """

    low: float
    high: float
    spread: float
    size: int
    draws: int

    def inside(self, distance: float) -> bool:
        """Whether a distance is no larger than what real patients have among themselves."""
        return distance <= self.high

    def excess(self, distance: float) -> float:
        """How far a distance is outside, in standard deviations of the band beyond its upper end; 0 inside."""
        return max(0.0, (distance - self.high) / self.spread) if self.spread > 0 else float(distance > self.high)

    def verdict(self, distance: float) -> str:
        """In words."""
        if self.inside(distance):
            return "inside"
        return f"outside, {distance / self.high:.1f} times the upper end" if self.high > 0 else "outside"

    def to_dict(self) -> dict[str, Any]:
        """Its numbers by name."""
        return asdict(self)


def patient_halves(
    patients: Sequence[str], size: int, draws: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of disjoint sets of scans of one size, no patient in both.

    Patients, not scans, are put in random order; the first ones fill one set, the next ones the other. Nobody is drawn
    twice: a copy within a set would be at distance 0 and bias every distance.

    Args:
        patients: Whose each scan is.
        size: Scans in each set.
        draws: Pairs.
        seed: Of the order.

    Yields:
        Two index arrays (size,).

    Raises:
        InputError: The patients are too few for two sets of that size.
    """
    names = np.asarray(patients)
    people = sorted(set(names.tolist()))
    scans = {person: np.flatnonzero(names == person) for person in people}
    most = max((len(own) for own in scans.values()), default=0)
    if size < 2 or 2 * (size + most - 1) > len(names):
        raise InputError(
            f"size {size}: two sets of {size} scans without a common patient need 2 scans each at least and about "
            f"{2 * (size + most - 1)} scans in all; there are {len(names)}. Compare fewer."
        )
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        sets: list[list[int]] = [[], []]
        for person in rng.permutation(len(people)):
            own = scans[people[person]]
            target = next((s for s in sets if len(s) < size), None)
            if target is None:
                break
            target.extend(rng.permutation(own)[: size - len(target)].tolist())
        yield np.array(sets[0]), np.array(sets[1])


def real_band(
    features: np.ndarray, patients: Sequence[str], size: int, kernel: Kernel, draws: int = 1000, seed: int = 0
) -> Band:
    """The 95% band of the unbiased squared MMD between halves of real patients.

    Args:
        features: Of real scans (n, d).
        patients: Whose each is.
        size: Scans in each half, as many as will be compared.
        kernel: See `mmd2`.
        draws: Halvings.
        seed: Of the halvings.

    Raises:
        InputError: Lengths differ, or see `patient_halves` and `checked_features`.
    """
    (features,) = checked_features(features)
    if len(features) != len(patients):
        raise InputError(f"features of {len(features)} scans, patients of {len(patients)}: one for each scan.")
    matrix = kernel(features, features)
    values = [
        mmd2_of(matrix[np.ix_(a, a)], matrix[np.ix_(b, b)], matrix[np.ix_(a, b)])
        for a, b in patient_halves(patients, size, draws, seed)
    ]
    low, high = np.quantile(values, [0.025, 0.975])
    return Band(float(low), float(high), float(np.std(values)), size, draws)


__all__ = ["Band", "patient_halves", "real_band"]
