"""The gate of people: a test that only sees a prior which copies most of its patients shows little by its silence."""

from __future__ import annotations

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.plan import few_enough, fewest_patients
from medidiff.privacy.thresholds import Thresholds


def enough_people(gallery: Gallery, thresholds: Thresholds) -> Finding:
    """How many different train patients must be copied before the label permutation can reject at all.

    A share of copies among the synthetics says nothing of that: ten copies of two patients are as many as of ten.

    Args:
        gallery: Train and holdout pooled.
        thresholds: `alpha_primary`, `most_patients`.
    """
    m, h = gallery.n_train, gallery.n_holdout
    fewest = fewest_patients(m, h, thresholds.alpha_primary)
    holds = few_enough(m, h, thresholds)
    seen = "No number of copied patients" if fewest is None else f"{fewest} of {m} train patients"
    limit = (
        "" if holds else f"; at most {thresholds.most_patients:.0%} of them may have to be. More patients are needed."
    )
    return Finding(
        test="enough people",
        role="gate",
        source="hypergeometric distribution",
        statistic=None if fewest is None else float(fewest),
        words=f"{seen} must be copied before the main test can reject{limit or '.'}",
        figures={"fewest_patients": fewest, "train_patients": m, "most": thresholds.most_patients, "holds": holds},
    )


__all__ = ["enough_people"]
