"""The smallest share of copies that the label permutation finds on this very data, by planting them."""

from __future__ import annotations

from collections.abc import Mapping
from zlib import crc32

import numpy as np

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, Nearest, nearest_patients
from medidiff.privacy.permutation import permutation_p_many
from medidiff.privacy.thresholds import Thresholds

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
REPEATS = 100
DRAWS = 999
"""Permutations of each planted set: at 0.05 they cost 0.5% of the power of 9999."""


def sensitivity(
    sim: np.ndarray,
    gallery: Gallery,
    control_sims: Mapping[str, np.ndarray],
    thresholds: Thresholds,
    *,
    tests: int = 1,
    repeats: int = REPEATS,
    stratum: str = "",
) -> Finding:
    """Smallest copy rate found with probability `power`, under each transform.

    In each repeat a share of the synthetics gives way to planted copies drawn from the controls, and the test is made.
    What the remaining synthetics had found is moved to patients at random first: a signal of the data's own must not
    pass for sensitivity. Copies are spread over as many patients as were planted from; copies of one or two patients
    only are out of the test's reach at any rate.

    Args:
        sim: (n synthetics, g) similarity.
        gallery: Train and holdout pooled.
        control_sims: Transform -> (k, g) similarity of copies of TRAIN scans to the gallery.
        thresholds: `power`, `copy_rate`, `alpha_primary`, `must_see`, `seed`.
        tests: Primary tests that share `alpha_primary` (strata and the whole): the level is divided by it.
        repeats: Planted sets a rate.
        stratum: Condition whose synthetics `sim` holds.

    Returns:
        Finding whose statistic is the worst of `must_see`, None where it is not found even at the largest rate;
        figures: the rate and the power at `copy_rate` of each transform.

    Raises:
        InputError: There is no control, or see `by_patient`.
    """
    if not control_sims:
        raise InputError("sensitivity: no planted copies. Give those of `planted_copies` under each transform.")
    base = _in_order(nearest_patients(sim, gallery))
    level = thresholds.alpha_primary / tests
    rates = sorted({*RATES, thresholds.copy_rate})
    smallest: dict[str, float | None] = {}
    at_limit: dict[str, float] = {}
    for name, control in control_sims.items():
        planted = _in_order(nearest_patients(control, gallery))

        def power(rate: float, name: str = name, planted: Nearest = planted) -> float:
            rng = np.random.default_rng([thresholds.seed, crc32(name.encode()), round(1e6 * rate)])
            weights = _planted_weights(rng, base, planted, gallery, rate, repeats)
            return float((permutation_p_many(weights, gallery.is_train, DRAWS, thresholds.seed) <= level).mean())

        at_limit[name] = power(thresholds.copy_rate)
        enough = at_limit[name] >= thresholds.power
        smallest[name] = thresholds.copy_rate if enough else None
        for rate in [r for r in reversed(rates) if r < thresholds.copy_rate] if enough else rates:
            if not enough and rate <= thresholds.copy_rate:
                continue
            found = power(rate) >= thresholds.power
            if found:
                smallest[name] = rate
            if found != enough:
                break
    return _finding(smallest, at_limit, thresholds, stratum, repeats, tests)


def _in_order(found: Nearest) -> Nearest:
    """Rows in the order of their values, so that draws of rows do not depend on the order of files."""
    order = np.lexsort((found.second, found.first, found.gap))
    return Nearest(found.patient[order], found.first[order], found.second[order], found.gap[order])


def _planted_weights(
    rng: np.random.Generator, base: Nearest, planted: Nearest, gallery: Gallery, rate: float, repeats: int
) -> np.ndarray:
    """(p, repeats) weights of patients, with a share of the rows planted."""
    n, p, stock = len(base.gap), gallery.n_patients, len(planted.gap)
    count = max(1, round(rate * n))
    weights = np.zeros((repeats, p))
    rows = np.arange(repeats)[:, None]
    kept = rng.permuted(np.tile(np.arange(n), (repeats, 1)), axis=1)[:, count:]
    moved = rng.permuted(np.tile(_by_values(base, planted, gallery), (repeats, 1)), axis=1)
    np.maximum.at(weights, (rows, moved[rows, base.patient[kept]]), base.gap[kept] ** 2)
    rounds = [rng.permuted(np.tile(np.arange(stock), (repeats, 1)), axis=1) for _ in range(-(-count // stock))]
    chosen = np.concatenate(rounds, axis=1)[:, :count]
    np.maximum.at(weights, (rows, planted.patient[chosen]), planted.gap[chosen] ** 2)
    return weights.T


def _by_values(base: Nearest, planted: Nearest, gallery: Gallery) -> np.ndarray:
    """The patients in an order that comes from their similarities, not from their numbers."""
    p = gallery.n_patients
    sums = [np.bincount(found.patient, found.gap, minlength=p) for found in (base, planted)]
    return np.lexsort((sums[0], sums[1], gallery.is_train))


def _finding(
    smallest: dict[str, float | None],
    at_limit: dict[str, float],
    thresholds: Thresholds,
    stratum: str,
    repeats: int,
    tests: int,
) -> Finding:
    asked = [name for name in thresholds.must_see if name in smallest]
    values = [smallest[name] for name in asked]
    complete = len(asked) == len(thresholds.must_see)
    worst = max((v for v in values if v is not None), default=None) if None not in values and complete else None
    never = [name for name in asked if smallest[name] is None]
    said = (
        f"Copies of {worst:.0%} among the synthetics are found with a probability of {thresholds.power:.0%} or more"
        if worst is not None
        else f"Copies are not found reliably at any share up to {RATES[-1]:.0%} under: {', '.join(never) or 'all'}"
    )
    return Finding(
        test="sensitivity",
        role="control",
        source="simulation on the data at hand",
        statistic=worst,
        stratum=stratum,
        words=f"{said}, if they are spread over many patients.",
        figures={
            "smallest_rate": smallest,
            "power_at_copy_rate": at_limit,
            "copy_rate": thresholds.copy_rate,
            "power": thresholds.power,
            "repeats": repeats,
            "tests": tests,
            "holds": worst is not None and worst <= thresholds.copy_rate,
        },
    )


__all__ = ["RATES", "REPEATS", "sensitivity"]
