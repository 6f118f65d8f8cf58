"""One set of made scans against real ones: distances with what is normal among real patients, and diversity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medidiff.errors import InputError
from medidiff.evaluate.band import Band, real_band
from medidiff.evaluate.features import balanced
from medidiff.evaluate.mmd import Kernel, checked_features, median_bandwidth, mmd2
from medidiff.evaluate.neighbours import NEIGHBOURS, Neighbourhood, neighbourhood


@dataclass(frozen=True)
class Distance:
    """One distance and the band that it is read against.

    Attributes:
        value: Unbiased squared MMD, mean over equal parts of the made set.
        spread: Standard deviation over those parts; nan for one.
        band: Of halves of real patients, at the same size.
    """

    value: float
    spread: float
    band: Band

    @property
    def inside(self) -> bool:
        """Whether it is no larger than between real patients."""
        return self.band.inside(self.value)


@dataclass(frozen=True)
class Comparison:
    """Made scans against real ones in one set of features.

    Attributes:
        polynomial: Distance with the kernel of KID.
        rbf: Distance with the Gaussian kernel, its bandwidth the median distance among real scans.
        neighbourhood: Precision, recall, density, coverage, mean over the parts.
        real: The same four of other real patients in place of the made scans: what can be expected.
        size: Scans on each side.
        parts: Parts of the made set.
    """

    polynomial: Distance
    rbf: Distance
    neighbourhood: Neighbourhood
    real: Neighbourhood
    size: int
    parts: int

    def to_dict(self) -> dict[str, Any]:
        """JSON types, with the verdicts."""
        distances = {"polynomial": self.polynomial, "rbf": self.rbf}
        return {
            **{name: asdict(d) | {"verdict": d.band.verdict(d.value)} for name, d in distances.items()},
            "neighbourhood": self.neighbourhood._asdict(),
            "real_neighbourhood": self.real._asdict(),
            "size": self.size,
            "parts": self.parts,
        }


def compare_sets(
    made: np.ndarray,
    real: np.ndarray,
    others: np.ndarray,
    real_patients: Sequence[str],
    other_patients: Sequence[str],
    *,
    k: int = NEIGHBOURS,
    draws: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare made scans with real ones, at equal sizes.

    The made set is cut into as many parts of the real set's size as it holds; what is left over is not used. The unit
    of every feature is that of an equal mixture of made and real scans (`features.balanced` says why). Bands come from
    halves of all real patients, so a value outside is beyond what two groups of real patients differ by.

    Args:
        made: Features of made scans (m, d), m of at least n.
        real: Features of the real scans to compare with (n, d), best of patients that nobody trained on.
        others: Features of other real scans (l, d), l of at least n: they widen the band's pool.
        real_patients: Whose each real scan is.
        other_patients: Whose each other scan is.
        k: Neighbours of precision, recall, density and coverage.
        draws: Halvings of the band.
        seed: Of the halvings and of which other scans stand in for the made ones.

    Raises:
        InputError: Too few scans on a side, or a patient on both sides; see also `real_band`.
    """
    made, real, others = checked_features(made, real, others)
    n = len(real)
    if len(made) < n or len(others) < n:
        raise InputError(f"{len(made)} made and {len(others)} other scans against {n} real: at least {n} of each.")
    if set(real_patients) & set(other_patients):
        raise InputError("a patient stands among the real and the other scans: split by patient.")
    pool, patients = np.concatenate([real, others]), [*real_patients, *other_patients]
    made, pool = balanced(made, pool)
    real, others = pool[:n], pool[n:]
    groups = [made[i : i + n] for i in range(0, len(made) - n + 1, n)]
    found = {}
    for name, kernel in (("polynomial", Kernel()), ("rbf", Kernel("rbf", bandwidth=median_bandwidth(pool)))):
        values = [mmd2(group, real, kernel) for group in groups]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        found[name] = Distance(float(np.mean(values)), spread, real_band(pool, patients, n, kernel, draws, seed))
    near = np.mean([neighbourhood(group, real, k) for group in groups], axis=0)
    chosen = np.random.default_rng(seed).permutation(len(others))[:n]
    return Comparison(
        **found,
        neighbourhood=Neighbourhood(*near.tolist()),
        real=neighbourhood(others[chosen], real, k),
        size=n,
        parts=len(groups),
    )


__all__ = ["Comparison", "Distance", "compare_sets"]
