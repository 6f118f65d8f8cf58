"""A synthetic set against real patients: inside what real patients differ by among themselves, or how far outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.band import Band, patient_halves
from medidiff.evaluate.diversity import Diversity, diversity, possible_scales
from medidiff.evaluate.features import balanced, intensity_texture_features, random_features
from medidiff.evaluate.mmd import Kernel, median_bandwidth, mmd2_of
from medidiff.evaluate.neighbours import NEIGHBOURS, Neighbourhood, neighbourhood

FEATURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "intensity and texture": intensity_texture_features,
    "random convolutions": random_features,
}
"""Features that nobody trained: (n, x, y, z) to (n, d)."""
FEWEST = 8
"""Scans on each side."""
_NEIGHBOUR_DRAWS = 50
_LARGEST_SIDE = 64
"""Larger scans are compared for diversity at half their resolution, or a quarter: it is a matter of shapes."""


class Drawn(NamedTuple):
    """A figure of equal numbers of scans: its mean over draws, and the range of 95% of them."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Distance:
    """One distance and the band that it is read against.

    Attributes:
        value: Unbiased squared MMD of `band.size` synthetic scans to as many real ones.
        band: The same between halves of the real patients, at that size.
    """

    value: Drawn
    band: Band

    def to_dict(self) -> dict[str, Any]:
        """JSON types, with the verdict."""
        return {
            **self.value._asdict(),
            "band": self.band.to_dict(),
            "inside": self.band.inside(self.value.mean),
            "excess_sd": self.band.excess(self.value.mean),
            "verdict": self.band.verdict(self.value.mean),
        }


@dataclass(frozen=True)
class FeatureComparison:
    """What one set of features says.

    Attributes:
        distances: By kernel: "polynomial" (KID's), "rbf".
        neighbourhood: precision, recall, density, coverage of the synthetic scans.
        real: The same four of one half of the real patients against the other: what can be expected.
        size: Scans on each side.
    """

    distances: dict[str, Distance]
    neighbourhood: dict[str, Drawn]
    real: dict[str, Drawn]
    size: int

    @property
    def inside(self) -> bool:
        """Whether every distance is."""
        return all(d.band.inside(d.value.mean) for d in self.distances.values())

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "distances": {name: distance.to_dict() for name, distance in self.distances.items()},
            "neighbourhood": {name: drawn._asdict() for name, drawn in self.neighbourhood.items()},
            "real_neighbourhood": {name: drawn._asdict() for name, drawn in self.real.items()},
            "size": self.size,
            "inside": self.inside,
        }


def compare_features(
    made: np.ndarray,
    real: np.ndarray,
    patients: Sequence[str],
    *,
    draws: int = 1000,
    k: int = NEIGHBOURS,
    seed: int = 0,
) -> FeatureComparison:
    """Compare equal numbers of synthetic and real scans, again and again, with real patients against one another.

    Every draw cuts the real PATIENTS into two halves of n scans and takes n synthetic scans: one half against the
    synthetic scans, and against the other half. The second kind of distance makes the band. The mean over draws of the
    first kind is what is judged: all scans have part in it.

    Args:
        made: Features of synthetic scans (m, d).
        real: Features of real scans (l, d).
        patients: Whose each real scan is.
        draws: Halvings.
        k: Neighbours of precision, recall, density and coverage.
        seed: Of the draws.

    Raises:
        InputError: Fewer than 8 scans for a side; see also `balanced`.

    Source: Gretton et al. 2012; Binkowski et al. 2018; Naeem et al. 2020. Equal sizes, since every one of these figures
    but the unbiased MMD depends on them.
    """
    made, real = balanced(made, real)
    size = _size(len(made), list(patients))
    pairs = list(patient_halves(patients, size, draws, seed))
    rng = np.random.default_rng([seed, 1])
    picks = [np.sort(rng.permutation(len(made))[:size]) for _ in pairs]
    distances = {}
    for name, kernel in (("polynomial", Kernel()), ("rbf", Kernel("rbf", bandwidth=median_bandwidth(real)))):
        rr, mm, rm = kernel(real, real), kernel(made, made), kernel(real, made)
        ours = [
            mmd2_of(rr[np.ix_(a, a)], mm[np.ix_(p, p)], rm[np.ix_(a, p)])
            for (a, _), p in zip(pairs, picks, strict=True)
        ]
        theirs = [mmd2_of(rr[np.ix_(a, a)], rr[np.ix_(b, b)], rr[np.ix_(a, b)]) for a, b in pairs]
        low, high = np.quantile(theirs, [0.025, 0.975])
        band = Band(float(low), float(high), float(np.std(theirs)), size, draws)
        distances[name] = Distance(_drawn(ours), band)
    few = min(draws, _NEIGHBOUR_DRAWS)
    near = [neighbourhood(made[p], real[a], k) for (a, _), p in zip(pairs[:few], picks[:few], strict=True)]
    among = [neighbourhood(real[b], real[a], k) for a, b in pairs[:few]]
    return FeatureComparison(distances, _by_name(near), _by_name(among), size)


def compare_diversity(
    made: np.ndarray, real: np.ndarray, patients: Sequence[str], pairs: int = 100, seed: int = 0
) -> tuple[Diversity, Diversity] | None:
    """Mean MS-SSIM of pairs of synthetic scans, and of pairs of real scans of different patients.

    Args:
        made: Scans (m, x, y, z).
        real: Scans (l, x, y, z).
        patients: Whose each real scan is.
        pairs: At most so many of each.
        seed: Of which scan stands for a patient, and of the pairs.

    Returns:
        None where the scans are too small for the window of 11 voxels.
    """
    order, names = np.random.default_rng(seed).permutation(len(real)), np.asarray(patients)
    _, first = np.unique(names[order], return_index=True)
    sets = _shrunk(made), _shrunk(real[np.sort(order[first])])
    if possible_scales(sets[0].shape[1:]) == 0 or min(map(len, sets)) < 2:
        return None
    low, high = np.quantile(sets[1], [0.005, 0.995])
    found = [diversity(images, float(high - low), pairs, seed) for images in sets]
    return found[0], found[1]


def _shrunk(images: np.ndarray) -> np.ndarray:
    while max(images.shape[1:]) > _LARGEST_SIDE and min(images.shape[1:]) >= 4:
        n, x, y, z = (images.shape[0], *(side // 2 for side in images.shape[1:]))
        cut = images[:, : 2 * x, : 2 * y, : 2 * z]
        images = cut.reshape(n, x, 2, y, 2, z, 2).mean(axis=(2, 4, 6), dtype=np.float32)
    return images


def _size(made: int, patients: list[str]) -> int:
    most = max(patients.count(name) for name in set(patients)) if patients else 1
    size = min(made, len(patients) // 2 + 1 - most)
    if size < FEWEST:
        raise InputError(
            f"{made} synthetic and {len(patients)} real scans: real patients are compared half against half, so "
            f"{FEWEST} synthetic and {2 * (FEWEST + most - 1)} real scans are needed at least; hundreds say more."
        )
    return size


def _drawn(values: Sequence[float]) -> Drawn:
    low, high = np.quantile(values, [0.025, 0.975])
    return Drawn(float(np.mean(values)), float(low), float(high))


def _by_name(found: Sequence[Neighbourhood]) -> dict[str, Drawn]:
    return {name: _drawn([getattr(one, name) for one in found]) for name in Neighbourhood._fields}


__all__ = ["FEATURES", "FEWEST", "Distance", "Drawn", "FeatureComparison", "compare_diversity", "compare_features"]
