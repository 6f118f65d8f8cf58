"""A lower bound on epsilon from one training run: patients entered it by the toss of a coin, who was in is guessed."""

from __future__ import annotations

import math

import numpy as np
from scipy import special, stats

from medidiff.errors import InputError
from medidiff.privacy.finding import Finding, Role
from medidiff.privacy.thresholds import Thresholds

GUESSED = 0.2
"""Share of canaries that are guessed, the highest scores in, the lowest out. Fixed for good, not on data: on Gaussian
mechanisms with 1000 canaries it gives 0.22, 0.32, 0.35 and 0.36 of a true epsilon of 1, 2, 4 and 8, a share of 0.1
gives 0.19 of 1 and 1.0 about half of all of these."""
SOURCE = "Steinke, Nasr and Jagielski 2023, Theorem 5.2"


def one_run_p(right: int, guesses: int, canaries: int, epsilon: float, delta: float = 0.0) -> float:
    """p-value of `right` of `guesses` under (epsilon, delta)-differential privacy.

    q = 1 / (1 + e^-epsilon);  p = P[Bin(r, q) >= v] + 2 m delta alpha, alpha = max over i of P[v > Bin(r, q) >= v - i]
    / i.

    Raises:
        InputError: Not 0 <= right <= guesses <= canaries, a negative epsilon, or delta outside [0, 1).

    Source: Steinke et al. 2023, Theorem 5.2 and Appendix D.
    """
    if not 0 <= right <= guesses <= canaries or guesses < 1 or epsilon < 0 or not 0 <= delta < 1:
        raise InputError(
            f"{right} right of {guesses} guesses on {canaries} canaries, epsilon {epsilon}, delta {delta}: must be "
            "0 <= right <= guesses <= canaries, epsilon >= 0, 0 <= delta < 1."
        )
    q = float(special.expit(epsilon))
    beta = float(stats.binom.sf(right - 1, guesses, q))
    if delta == 0 or right == 0:
        return beta
    between = np.cumsum(stats.binom.pmf(np.arange(right - 1, -1, -1), guesses, q))  # i = 1 .. v
    alpha = float((between / np.arange(1, right + 1)).max())
    return min(1.0, beta + 2 * canaries * delta * alpha)


def one_run_bound(
    right: int, guesses: int, canaries: int | None = None, delta: float = 0.0, confidence: float = 0.95
) -> float:
    """Largest epsilon that is rejected, 0 where none is: all right of 20 gives 1.82, of 50 2.78, of 100 3.49.

    Args:
        right: Right guesses v.
        guesses: Guesses r that were made; abstaining is free.
        canaries: Canaries m, at least r; needed where delta is above 0.
        delta: Of the guarantee.
        confidence: Of the bound.

    Raises:
        InputError: See `one_run_p`.
    """
    canaries = guesses if canaries is None else canaries
    low, high = 0.0, 50.0

    def rejected(epsilon: float) -> bool:
        return one_run_p(right, guesses, canaries, epsilon, delta) < 1 - confidence

    if not rejected(low):
        return 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low


def guesses(scores: np.ndarray, inside: np.ndarray, share: float = GUESSED) -> tuple[int, int]:
    """Right guesses and guesses: the highest scores are guessed in, as many of the lowest out.

    Args:
        scores: (m,) one a canary, high where it was trained on.
        inside: (m,) what the coins said.
        share: Of canaries that are guessed, fixed before the scores are seen.

    Returns:
        (right, made). Where scores are equal at the border the coin is not looked at: such canaries count by their
        share.

    Raises:
        InputError: Sizes differ, fewer than two canaries, or a score that is not finite.
    """
    scores, inside = np.asarray(scores, dtype=np.float64), np.asarray(inside, dtype=bool)
    if scores.shape != inside.shape or scores.ndim != 1 or len(scores) < 2 or not np.isfinite(scores).all():
        raise InputError(f"one-run: {scores.shape} scores for {inside.shape} coins: two or more finite ones each.")
    each = max(1, round(share * len(scores) / 2))
    right = _right(scores, inside, each) + _right(-scores, ~inside, each)
    return math.floor(right + 1e-9), 2 * each


def _right(scores: np.ndarray, inside: np.ndarray, count: int) -> float:
    border = np.sort(scores)[-count]
    above, level = scores > border, scores == border
    return float(inside[above].sum() + inside[level].mean() * (count - above.sum()))


def one_run_finding(
    scores: np.ndarray,
    inside: np.ndarray,
    thresholds: Thresholds,
    *,
    fair_coin: bool,
    delta: float = 0.0,
    role: Role = "descriptive",
    space: str = "",
) -> Finding:
    """Lower bound on the epsilon of the run, from every patient's score and the coin that sent him to train or holdout.

    Args:
        scores: (m,) one a PATIENT, high where he seems to have been trained on.
        inside: (m,) whether he was.
        thresholds: `confidence`.
        fair_coin: Whether each patient was assigned by a coin of his own with probability 1/2, as `--holdout coin`
            does; without that the bound is not valid and none is given.
        delta: Of the guarantee that is held against it.
        role: "secondary" to let P[Bin(r, 1/2) >= v] count among the tests.
        space: Where the scores come from, such as "white box".

    Raises:
        InputError: See `guesses` and `one_run_p`.
    """
    right, made = guesses(scores, inside)
    figures = {"right": right, "guesses": made, "canaries": len(scores), "delta": delta, "fair_coin": fair_coin}
    test = "one-run epsilon" + (f" ({space})" if space else "")
    if not fair_coin:
        words = "No bound on epsilon: the patients were not assigned by a fair coin each."
        return Finding(test=test, role="descriptive", source=SOURCE, words=words, figures=figures)
    bound = one_run_bound(right, made, len(scores), delta, thresholds.confidence)
    most = one_run_bound(made, made, len(scores), delta, thresholds.confidence)
    return Finding(
        test=test,
        role=role,
        null="epsilon = 0: training did not depend on any patient",
        source=SOURCE,
        statistic=bound,
        p_value=one_run_p(right, made, len(scores), 0.0, delta),
        words=(
            f"{right} of {made} guesses on who was trained on are right: epsilon is at least {bound:.2f} "
            f"({thresholds.confidence:.0%}; this many guesses can show no more than {most:.2f})."
        ),
        figures={**figures, "largest_possible": most},
    )


__all__ = ["GUESSED", "guesses", "one_run_bound", "one_run_finding", "one_run_p"]
