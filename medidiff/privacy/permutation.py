"""The patient-label permutation test: do synthetics single out train patients more than holdout patients?

If the prior copied nobody, then who was train and who was holdout is a label that the synthetics know nothing of, and
any other assignment of the labels would have been as likely. That holds whatever the synthetics look like: smoother,
shifted or collapsed ones do not set the test off. It needs a split by chance, and patients, not scans, as the unit.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from medidiff.privacy.finding import Finding, Role
from medidiff.privacy.gallery import Gallery, nearest_patients, strongest_by_patient
from medidiff.privacy.thresholds import Thresholds

SOURCE = "medidiff docs/privacy.md; permutation tests: Fisher 1935, Phipson and Smyth 2010"
NULL = "the synthetics were made without knowing which patients were train"
_TIE = 1e-9  # of the sum of values: sums of the same numbers in another order are equal
_WORDS_LEVEL = 0.05  # of the sentence alone; verdicts are given by `judge`
_CACHED = 4_000_000  # entries of a table of labels that is kept
_BLOCK = 1_000_000  # entries that are drawn at once


def patient_weights(sim: np.ndarray, gallery: Gallery) -> np.ndarray:
    """Each patient's strongest squared log gap over all synthetics that are nearest to him, (p,); 0 for none."""
    found = nearest_patients(sim, gallery)
    return strongest_by_patient(found.gap**2, found.patient, gallery.n_patients)


def permutation_p(values: np.ndarray, is_train: np.ndarray, draws: int, seed: int) -> float:
    """One-sided p-value: the train patients' mean is as large as this if the labels were drawn by chance.

    Args:
        values: (p,) one a patient.
        is_train: (p,) the labels.
        draws: Permutations; where there are no more assignments than that, every one is counted.
        seed: Of the permutations.

    Returns:
        (1 + count) / (1 + draws), or count / assignments where all were counted. It does not depend on the order of
        patients: the values are sorted first.

    Source: Phipson and Smyth 2010, Eq. 2 (never zero).
    """
    return float(permutation_p_many(np.asarray(values)[:, None], is_train, draws, seed)[0])


def permutation_p_many(values: np.ndarray, is_train: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """`permutation_p` of every column of `values` (p, c), against the same permutations; (c,).

    With the number of train patients fixed, the difference of means grows with the sum over train patients alone.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=0)
    observed = (values * np.asarray(is_train)[:, None]).sum(axis=0) - _TIE * np.abs(ordered).sum(axis=0)
    p, m = len(ordered), int(np.sum(is_train))
    if comb(p, m) <= draws:
        sums = all_labels(p, m) @ ordered
        return (sums >= observed).mean(axis=0)
    if p * draws <= _CACHED:
        count = (_kept_labels(p, m, draws, seed) @ ordered >= observed).sum(axis=0)
        return (1 + count) / (1 + draws)
    rng, count, done = np.random.default_rng([seed, p, m]), np.zeros(ordered.shape[1]), 0
    while done < draws:
        block = min(draws - done, max(1, _BLOCK // p))
        count += (_draw_labels(rng, block, p, m) @ ordered >= observed).sum(axis=0)
        done += block
    return (1 + count) / (1 + draws)


def all_labels(p: int, m: int) -> np.ndarray:
    """Every way to choose m of p, (C(p, m), p) of 0 and 1."""
    chosen = np.array(list(combinations(range(p), m)), dtype=np.intp).reshape(-1, m)
    labels = np.zeros((len(chosen), p))
    np.put_along_axis(labels, chosen, 1.0, axis=1)
    return labels


@lru_cache(maxsize=4)
def _kept_labels(p: int, m: int, draws: int, seed: int) -> np.ndarray:
    labels = _draw_labels(np.random.default_rng([seed, p, m]), draws, p, m)
    labels.flags.writeable = False
    return labels


def _draw_labels(rng: np.random.Generator, draws: int, p: int, m: int) -> np.ndarray:
    """(draws, p) rows with m ones each at random places."""
    chosen = np.argpartition(rng.random((draws, p), dtype=np.float32), m, axis=1)[:, :m]
    labels = np.zeros((draws, p))
    np.put_along_axis(labels, chosen, 1.0, axis=1)
    return labels


def label_permutation(
    sim: np.ndarray,
    gallery: Gallery,
    thresholds: Thresholds,
    stratum: str = "",
    *,
    role: Role = "primary",
    space: str = "",
) -> Finding:
    """The test of copying.

    A patient's weight is his strongest squared log gap ln(d2/d1)^2 over all synthetics that are nearest to him, with d1
    the distance to him and d2 the distance to the nearest other patient; 0 where no synthetic is. The statistic is the
    mean weight of train patients minus that of holdout patients.

    Args:
        sim: (n synthetics, g gallery scans) similarity.
        gallery: Train and holdout pooled.
        thresholds: `permutations` and `seed`.
        stratum: Condition whose synthetics `sim` holds.
        role: "secondary" for similarities beside the main one.
        space: Name of the similarity where it is not the main one, such as "encoder".

    Returns:
        Finding with p-value; figures: the mean weights, patients singled out on each side, synthetics nearest to each.

    Raises:
        InputError: See `by_patient`.
    """
    found = nearest_patients(sim, gallery)
    weights = strongest_by_patient(found.gap**2, found.patient, gallery.n_patients)
    train, holdout = weights[gallery.is_train], weights[~gallery.is_train]
    p_value = permutation_p(weights, gallery.is_train, thresholds.permutations, thresholds.seed)
    nearest_train = int(gallery.is_train[found.patient].sum())
    statistic = float(train.mean() - holdout.mean())
    return Finding(
        test="label permutation" + (f" ({space})" if space else ""),
        role=role,
        null=NULL,
        source=SOURCE,
        statistic=statistic,
        p_value=p_value,
        stratum=stratum,
        words=(
            f"Synthetics single out train patients {'more than' if p_value <= _WORDS_LEVEL else 'as'} chance does "
            f"(p = {p_value:.4f}: so much or more happens by chance with this probability)."
        ),
        figures={
            "mean_weight_train": float(train.mean()),
            "mean_weight_holdout": float(holdout.mean()),
            "train_patients": gallery.n_train,
            "holdout_patients": gallery.n_holdout,
            "synthetics": len(found.gap),
            "nearest_to_train": nearest_train,
            "nearest_to_holdout": len(found.gap) - nearest_train,
            "permutations": thresholds.permutations,
        },
    )


__all__ = ["all_labels", "label_permutation", "patient_weights", "permutation_p", "permutation_p_many"]
