"""Black-box membership: can it be told from the synthetics alone who was trained on?"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding, Role
from medidiff.privacy.gallery import Gallery, by_patient
from medidiff.privacy.permutation import permutation_p
from medidiff.privacy.proportions import upper_bound, wilson
from medidiff.privacy.thresholds import Thresholds
from medidiff.significance import auc

FALSE_POSITIVES = (0.01, 0.05, 0.1)


def patient_scores(sim: np.ndarray, gallery: Gallery) -> np.ndarray:
    """(p,) each patient's similarity to the synthetic nearest to any of his scans: the attacker's score."""
    if np.ndim(sim) != 2 or len(sim) == 0:
        by_patient(sim, gallery)  # says what is wrong
    best = by_patient(np.asarray(sim).max(axis=0, keepdims=True), gallery)
    return best[0]


def membership(
    scores: np.ndarray,
    is_train: np.ndarray,
    thresholds: Thresholds,
    *,
    test: str,
    source: str,
    role: Role = "secondary",
    stratum: str = "",
) -> Finding:
    """Do the scores of train patients exceed those of holdout patients? For any attack, black-box or white-box.

    Args:
        scores: (p,) one a PATIENT, high where he seems to have been trained on.
        is_train: (p,) whether he was.
        thresholds: `permutations`, `seed`, `confidence`.
        test: Name of the attack.
        source: Of its score.
        role: In the verdict.
        stratum: Condition.

    Returns:
        Finding whose statistic is the AUC over patients and whose p-value comes from permuting their labels, exact
        whatever the scores are; figures: the true positive rate at 1, 5 and 10% false positives, with interval.

    Raises:
        InputError: Sizes differ, or a score is not finite.

    Source: Carlini et al. 2022 (true positives at few false ones, not only AUC).
    """
    scores, is_train = np.asarray(scores, dtype=np.float64), np.asarray(is_train, dtype=bool)
    if scores.shape != is_train.shape or scores.ndim != 1 or not np.isfinite(scores).all():
        raise InputError(f"{test}: {scores.shape} scores for {is_train.shape} patients: one finite score each.")
    train, holdout = scores[is_train], scores[~is_train]
    area = auc(train, holdout)
    p_value = permutation_p(stats.rankdata(scores), is_train, thresholds.permutations, thresholds.seed)
    rates = {f"{rate:.0%}": _true_positives(train, holdout, rate, thresholds.confidence) for rate in FALSE_POSITIVES}
    low = rates["10%"]
    return Finding(
        test=test,
        role=role,
        null="the scores were made without knowing which patients were train",
        source=source,
        statistic=area,
        p_value=p_value,
        interval=_auc_interval(area, len(train), len(holdout), thresholds.confidence),
        stratum=stratum,
        words=(
            f"A train patient scores above a holdout patient with a probability of {area:.2f} (0.5 is chance, "
            f"p = {p_value:.4f}); where 10% of holdout patients are mistaken for train, {low['rate']:.0%} of train "
            f"patients are recognised ({low['low']:.0%} to {low['high']:.0%})."
        ),
        figures={
            "true_positive_rate": rates,
            "train_patients": len(train),
            "holdout_patients": len(holdout),
            "false_positives_no_finer_than": upper_bound(0, len(holdout), thresholds.confidence),
        },
    )


def black_box_membership(
    sim: np.ndarray,
    gallery: Gallery,
    thresholds: Thresholds,
    stratum: str = "",
    *,
    role: Role = "secondary",
    space: str = "",
) -> Finding:
    """Membership by the nearest synthetic alone.

    Args:
        sim: (n synthetics, g) similarity.
        gallery: Train and holdout pooled.
        thresholds: See `membership`.
        stratum: Condition whose synthetics `sim` holds.
        role: In the verdict.
        space: Name of the similarity where it is not the main one.

    Raises:
        InputError: See `by_patient`.

    Source: GAN-leaks, Chen et al. 2020 (full black-box).
    """
    return membership(
        patient_scores(sim, gallery),
        gallery.is_train,
        thresholds,
        test="black-box membership" + (f" ({space})" if space else ""),
        source="Chen et al. 2020, Eq. 3; Carlini et al. 2022",
        role=role,
        stratum=stratum,
    )


def _true_positives(train: np.ndarray, holdout: np.ndarray, rate: float, confidence: float) -> dict[str, float]:
    """Share of train patients above the score that at most `rate` of the holdout patients pass."""
    allowed = math.floor(rate * len(holdout))
    border = np.sort(holdout)[::-1][allowed]
    found = int((train > border).sum())
    low, high = wilson(found, len(train), confidence)
    real = float((holdout > border).mean())
    return {"rate": found / len(train), "low": low, "high": high, "false_positive_rate": real}


def _auc_interval(area: float, n: int, m: int, confidence: float) -> tuple[float, float]:
    """Normal interval of an AUC.

    Source: Hanley and McNeil 1982, Eq. 2.
    """
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    square = (area * (1 - area) + (n - 1) * (q1 - area**2) + (m - 1) * (q2 - area**2)) / (n * m)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt(max(square, 0.0))
    return max(0.0, area - half), min(1.0, area + half)


__all__ = ["black_box_membership", "membership", "patient_scores"]
