"""Distances of synthetic scans to real test scans with features that no contestant trained, at equal sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._synthesis_data import Pairs, fidelity_window, joined, real_pairs
from benchmarks._synthesis_settings import Settings
from medidiff.evaluate.distribution import Comparison, compare_sets
from medidiff.evaluate.features import intensity_texture_features, random_features

Extractor = Callable[[np.ndarray], np.ndarray]
UNTRAINED: dict[str, Extractor] = {"intensity, texture": intensity_texture_features, "random net": random_features}


class RealSets:
    """Features of real scans, made once: test scans to compare with, and the others.

    Args:
        settings: Store, test split and halvings.
        extractors: Features by name, each of scans (n, x, y, z) in the window for fidelity.
    """

    def __init__(self, settings: Settings, extractors: dict[str, Extractor] = UNTRAINED) -> None:
        self.test = real_pairs(settings.store, settings.test)
        train = real_pairs(settings.store, "train")
        # While trying (test: val) holdout patients are not looked at.
        self.others: Pairs = train if settings.test == "val" else joined(train, real_pairs(settings.store, "val"))
        self.extractors, self.draws = extractors, settings.draws
        self._features = {
            name: (extract(fidelity_window(self.test.images)), extract(fidelity_window(self.others.images)))
            for name, extract in extractors.items()
        }

    def compare(self, made: np.ndarray) -> dict[str, Comparison]:
        """Scans (n, x, y, z) against the real test scans, by features."""
        inner, found = fidelity_window(made), {}
        for name, (test, others) in self._features.items():
            own = self.extractors[name](inner)
            k = min(5, len(test) - 1)
            found[name] = compare_sets(
                own, test, others, self.test.patients, self.others.patients, k=k, draws=self.draws
            )
        return found


def fold(distance: float, against: float, least: float) -> float:
    """How many times one distance is another; one below `least` (what real scans differ by) counts as that.

    An unbiased distance has 0 as its floor, so a plain quotient means nothing there.
    """
    return max(distance, least) / max(against, least)


def distances(found: dict[str, Comparison]) -> dict[str, Any]:
    """Values and upper ends of the bands by features and kernel, as JSON types."""
    return {name: comparison.to_dict() for name, comparison in found.items()}
