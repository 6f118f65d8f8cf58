"""How many synthetics are copies at most, by flags on single ones; and the exact tail test, which needs more than that.

A synthetic is flagged where its gap is larger than the gaps that real scans have among the OTHER patients: strangers
who cannot have been copied. Flags on holdout patients are false ones; they say how many of those on train patients are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, by_patient, nearest_patients, strangers, strongest_by_patient
from medidiff.privacy.proportions import lower_bound, upper_bound, wilson
from medidiff.privacy.thresholds import Thresholds


@dataclass(frozen=True)
class FlagRule:
    """When a single synthetic is flagged.

    Attributes:
        gap: A synthetic is flagged above this log gap.
        patients: Real patients that the limit was taken from.
        false_flag: Upper limit of the share of strangers above it, at `Thresholds.confidence`: with few patients the
            share itself cannot be known any better (0 of 50 bounds it at 5.8%; 1% needs 299).
    """

    gap: float
    patients: int
    false_flag: float


def flag_rule(gallery_sim: np.ndarray, gallery: Gallery, thresholds: Thresholds) -> FlagRule:
    """The limit, from the gaps of all gallery scans against the gallery without their own patient.

    A patient is one vote, that of his largest gap. The limit is the k-th smallest, k = ceil((p + 1)(1 - false_flag)),
    or the largest where p is too small for it: a stranger passes it with a chance of at most 1/(p + 1) or `false_flag`.

    Raises:
        InputError: See `strangers`.

    Source: the conformal quantile, Vovk et al. 2005; Clopper and Pearson 1934.
    """
    found = strangers(gallery_sim, gallery)
    gaps = np.sort(strongest_by_patient(found.gap, gallery.patients, gallery.n_patients))
    rank = min(math.ceil((len(gaps) + 1) * (1 - thresholds.false_flag)), len(gaps))
    bound = upper_bound(len(gaps) - rank, len(gaps), thresholds.confidence)
    return FlagRule(float(gaps[rank - 1]), len(gaps), bound)


def excess_limits(flagged: tuple[int, int], n: int, ratio: float, confidence: float) -> tuple[float, float]:
    """One-sided lower and upper limit of (share on train) - ratio * (share on holdout).

    Args:
        flagged: Flags on train and on holdout patients.
        n: Synthetics.
        ratio: Train patients a holdout patient: so many false flags fall on train for each on holdout.
        confidence: Of each limit.

    Source: Zou and Donner 2008 (the limits of two shares combined), with Clopper and Pearson's for each. No upper limit
    is below that of no flag at all.
    """
    train, holdout = flagged[0] / n, flagged[1] / n
    excess = train - ratio * holdout
    up = math.hypot(
        upper_bound(flagged[0], n, confidence) - train, ratio * (holdout - lower_bound(flagged[1], n, confidence))
    )
    down = math.hypot(
        train - lower_bound(flagged[0], n, confidence), ratio * (upper_bound(flagged[1], n, confidence) - holdout)
    )
    return max(0.0, excess - down), min(1.0, max(excess + up, upper_bound(0, n, confidence)))


def copy_rate(
    sim: np.ndarray,
    gallery_sim: np.ndarray,
    gallery: Gallery,
    thresholds: Thresholds,
    controls: Sequence[Finding] = (),
    stratum: str = "",
) -> Finding:
    """Flagged synthetics and the largest share of copies that is compatible with them.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.
        thresholds: `false_flag`, `confidence`, `copy_rate`, `must_see`.
        controls: Findings of `control_findings`: the bound on copies under a transform is divided by the lower limit of
            its recall. Without them the bound holds for copies that are always flagged.
        stratum: Condition whose synthetics `sim` holds.

    Returns:
        Finding whose statistic is the estimated share of copies; figures: `bound` (one-sided, the worst transform of
        `must_see`; None where one of them is blind), `bound_by_transform`, flags, and their rule.

    Raises:
        InputError: See `by_patient`.
    """
    rule = flag_rule(gallery_sim, gallery, thresholds)
    found = nearest_patients(sim, gallery)
    flagged = found.gap > rule.gap
    n, on_train = len(flagged), gallery.is_train[found.patient]
    counts = int((flagged & on_train).sum()), int((flagged & ~on_train).sum())
    ratio = gallery.n_train / gallery.n_holdout
    upper = excess_limits(counts, n, ratio, thresholds.confidence)[1]
    bounds: dict[str, float | None] = {
        str(f.figures["transform"]): _divided(upper, f, thresholds) for f in controls if "transform" in f.figures
    }
    named = [bounds.get(name) for name in thresholds.must_see] if controls else [upper]
    known = [bound for bound in named if bound is not None]
    bound = max(known) if known and len(known) == len(named) else None
    holders = np.bincount(found.patient[flagged & on_train], minlength=1).max()
    return Finding(
        test="copy rate",
        role="control",
        source="Zou and Donner 2008; Clopper and Pearson 1934",
        statistic=max(0.0, (counts[0] - ratio * counts[1]) / n),
        interval=excess_limits(counts, n, ratio, (1 + thresholds.confidence) / 2),
        stratum=stratum,
        words=_words(counts, n, bound),
        figures={
            "bound": bound,
            "bound_by_transform": bounds,
            "bound_if_always_flagged": upper,
            "flagged_train": counts[0],
            "flagged_holdout": counts[1],
            "most_flags_on_one_train_patient": int(holders),
            "synthetics": n,
            "flag_above_log_gap": rule.gap,
            "false_flag_at_most": rule.false_flag,
            "rule_from_patients": rule.patients,
            "holds": bound is not None and bound <= thresholds.copy_rate,
        },
    )


def _divided(upper: float, control: Finding, thresholds: Thresholds) -> float | None:
    """The bound on copies under one transform, of which the control finds only a share; None where it is blind."""
    found, planted = int(control.figures["found"]), int(control.figures["planted"])
    if found < thresholds.visible_recall * planted:
        return None
    return min(1.0, upper / wilson(found, planted, thresholds.confidence)[0])


def _words(counts: tuple[int, int], n: int, bound: float | None) -> str:
    flags = (
        f"{counts[0]} of {n} synthetics are closer to one train patient than strangers are, {counts[1]} to a holdout"
    )
    if bound is None:
        return f"{flags} patient; no bound, since this audit is blind to a transform that it must see."
    return f"{flags} patient: at most {bound:.1%} are copies (one-sided; the interval is of the flags, two-sided)."


def tail_count(
    sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, thresholds: Thresholds, stratum: str = ""
) -> Finding:
    """Synthetics closer to train than EVERY holdout patient is: exact, where synthetics and holdout are exchangeable.

    C of m synthetics are closer to their nearest train scan than the closest of n_H holdout patients is to his. If all
    m + n_H were drawn from one source, p = C(m, C) / C(m + n_H, C) with binomial coefficients. That is more than
    privacy asks for: synthetics that copy nothing and are merely smoother than scans set it off (in half of the
    simulated worlds and more), so it describes and decides nothing.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled; a holdout patient counts with his closest scan.
        thresholds: Not used beyond the house's way.
        stratum: Condition whose synthetics `sim` holds.

    Raises:
        InputError: See `by_patient`.

    Source: the hypergeometric distribution; `facts`: 14 copies of 200 are needed at 50 holdout patients.
    """
    del thresholds
    best, real = by_patient(sim, gallery), by_patient(gallery_sim, gallery)
    synthetic = best[:, gallery.is_train].max(axis=1)
    scans = ~gallery.is_train[gallery.patients]
    closest_holdout = float(real[scans][:, gallery.is_train].max())
    count, m = int((synthetic > closest_holdout).sum()), len(synthetic)
    p_value = math.exp(_log_comb(m, count) - _log_comb(m + gallery.n_holdout, count))
    return Finding(
        test="tail count",
        role="descriptive",
        null="synthetics and holdout scans come from one source",
        source="hypergeometric tail",
        statistic=float(count),
        p_value=p_value,
        stratum=stratum,
        words=(
            f"{count} of {m} synthetics are closer to train than every holdout patient (p = {p_value:.4f} if both "
            "were one source; merely smoother synthetics set this off)."
        ),
        figures={"closer_than_every_holdout": count, "synthetics": m, "holdout_patients": gallery.n_holdout},
    )


def _log_comb(n: int, k: int) -> float:
    return float(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))


__all__ = ["FlagRule", "copy_rate", "excess_limits", "flag_rule", "tail_count"]
