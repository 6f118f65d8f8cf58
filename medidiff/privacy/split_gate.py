"""The gate: are train and holdout split by chance, nobody on both sides? No other test means anything without."""

from __future__ import annotations

import numpy as np
from scipy import stats

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.identity import same_pairs, same_picture_from
from medidiff.privacy.thresholds import Thresholds
from medidiff.significance import auc

COMPONENTS = 10
FOLDS = 5
DRAWS = 999
_RIDGE = 1.0
_NEWTON = 6


def split_overlap(gallery_sim: np.ndarray, gallery: Gallery) -> Finding:
    """One picture under two patients' names, on both sides of the split or on one: see `same_pairs`.

    Across the split a copy of train is one of holdout too. On one side the nearest other patient is the same person, so
    that nobody is singled out: the audit is blind there.

    Args:
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.

    Raises:
        InputError: See `by_patient`.
    """
    pairs = same_pairs(gallery_sim, gallery)
    side = gallery.is_train[gallery.patients]
    across = sum(bool(side[i] != side[j]) for i, j in pairs)
    limit = same_picture_from(gallery_sim, gallery)
    places = [f"{across} with one on each side"] * (across > 0)
    places += [f"{len(pairs) - across} on one side"] * (len(pairs) > across)
    return Finding(
        test="split overlap",
        role="gate",
        null="nobody stands in the comparison under two names",
        source="counted",
        statistic=float(len(pairs)),
        words=(
            f"{len(pairs)} pairs of scans look like one person under two names ({', '.join(places)}; similarity "
            f"{limit:.3f} or more). Look at them: give both scans one patient, keep him on one side, and train again."
            if pairs
            else "No two patients look like one person under two names."
        ),
        figures={
            "pairs": len(pairs),
            "pairs_across": across,
            "same_picture_from": limit,
            "largest_similarity_across": float(np.asarray(gallery_sim)[np.ix_(side, ~side)].max()),
            "holds": not pairs,
        },
    )


def split_classifier(features: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = "") -> Finding:
    """Can a classifier that sees no synthetic tell train from holdout patients? It must not.

    Logistic regression on the leading principal components of each patient's mean features, cross-validated by patient;
    the p-value comes from permuting the patients' labels and doing all of it again. A split by scanner, site or date
    shows.

    Args:
        features: (g, d) of the gallery's scans, of an encoder that was not trained on this split.
        gallery: Train and holdout pooled.
        thresholds: `alpha_secondary`, `seed`.
        stratum: Condition whose scans these are.

    Returns:
        Finding whose statistic is the cross-validated AUC.

    Raises:
        InputError: Sizes do not fit, or a feature is not finite.

    Source: blind baselines, Das et al. 2024; Lopez-Paz and Oquab 2017.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.ndim != 2 or len(features) != len(gallery.patients) or not np.isfinite(features).all():
        raise InputError(f"features of shape {features.shape}: must be ({len(gallery.patients)}, d) and finite.")
    people, labels = _in_order(_leading(features, gallery), gallery.is_train)
    rng = np.random.default_rng(thresholds.seed)
    drawn = np.concatenate([labels[None], rng.permuted(np.tile(labels, (DRAWS, 1)), axis=1)])
    scores = _cross_validated(people, drawn.astype(np.float64), rng.permutation(len(people)) % FOLDS)
    areas = (stats.rankdata(scores, axis=1) * drawn).sum(axis=1)  # the AUC but for constants: labels keep their number
    p_value, area = float((areas >= areas[0]).mean()), auc(scores[0, labels], scores[0, ~labels])
    fair = p_value > thresholds.alpha_secondary
    return Finding(
        test="split classifier",
        role="gate",
        null="patients were split by chance",
        source="Lopez-Paz and Oquab 2017; Das et al. 2024",
        statistic=area,
        p_value=p_value,
        stratum=stratum,
        words=(
            f"Train and holdout patients {'cannot' if fair else 'CAN'} be told apart without any synthetic "
            f"(AUC {area:.2f}, p = {p_value:.3f})."
            + ("" if fair else " They were not split by chance: what synthetics show may come from that.")
        ),
        figures={"components": people.shape[1], "folds": FOLDS, "permutations": DRAWS, "holds": fair},
    )


def _leading(features: np.ndarray, gallery: Gallery) -> np.ndarray:
    """(p, k) whitened leading components of the patients' mean features."""
    counts = np.bincount(gallery.patients)
    people = np.stack([np.bincount(gallery.patients, column) for column in features.T], axis=1) / counts[:, None]
    centred = people - people.mean(axis=0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    most = max(1, min(COMPONENTS, len(people) // 10))
    kept = max(1, min(most, int((spread > 1e-9 * max(spread[0], 1e-300)).sum())))
    return left[:, :kept] * np.sqrt(len(people))


def _in_order(people: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Patients in an order that comes from their features: signs of components are arbitrary, their squares are not."""
    order = np.lexsort(np.round(people**2, 6).T)
    return people[order], labels[order]


def _cross_validated(x: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(b, p) scores of each patient by the classifier that has not seen him, for b sets of labels at once."""
    x = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    ridge = _RIDGE * np.diag([1e-6] + [1.0] * (x.shape[1] - 1))
    scores = np.empty(labels.shape)
    for k in range(FOLDS):
        inner, outer = x[fold != k], fold == k
        products = (inner[:, :, None] * inner[:, None, :]).reshape(len(inner), -1)
        weights = np.zeros((len(labels), x.shape[1]))
        for _ in range(_NEWTON):
            chance = 1 / (1 + np.exp(-np.clip(weights @ inner.T, -30, 30)))
            slope = (labels[:, fold != k] - chance) @ inner - weights @ ridge
            curve = (chance * (1 - chance) @ products).reshape(len(labels), x.shape[1], x.shape[1]) + ridge
            weights += np.linalg.solve(curve, slope[:, :, None])[:, :, 0]
        scores[:, outer] = weights @ x[outer].T
    return scores


__all__ = ["split_classifier", "split_overlap"]
