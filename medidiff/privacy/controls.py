"""Positive controls: planted copies of train scans, and whether this audit on this data sees them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medidiff.errors import InputError
from medidiff.privacy.copies import flag_rule
from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, nearest_patients
from medidiff.privacy.proportions import wilson
from medidiff.privacy.thresholds import Thresholds


def control_findings(
    control_sims: Mapping[str, np.ndarray],
    sources: Mapping[str, np.ndarray],
    gallery_sim: np.ndarray,
    gallery: Gallery,
    thresholds: Thresholds,
) -> list[Finding]:
    """Recall of planted copies under each transform.

    A copy is found where its nearest patient is the one it was made from AND its gap would be flagged among synthetics.
    A transform is visible where at least `visible_recall` of its copies are found, and blind otherwise.

    Args:
        control_sims: Transform -> (k, g) similarity of its copies to the gallery.
        sources: Transform -> (k,) number of the patient each copy was made from.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.
        thresholds: `visible_recall`, `false_flag`, `confidence`, `must_see`.

    Returns:
        One finding a transform; its statistic is the recall, its interval Wilson's.

    Raises:
        InputError: A transform of one mapping is missing in the other, or see `by_patient`.
    """
    if set(control_sims) != set(sources):
        raise InputError("controls: similarities and sources must name the same transforms.")
    rule = flag_rule(gallery_sim, gallery, thresholds)
    findings = []
    for name, sim in control_sims.items():
        copies = nearest_patients(sim, gallery)
        right = copies.patient == np.asarray(sources[name])
        found, planted = int((right & (copies.gap > rule.gap)).sum()), len(right)
        low, high = wilson(found, planted, thresholds.confidence)
        visible = found >= thresholds.visible_recall * planted
        findings.append(
            Finding(
                test=f"control: {name}",
                role="control",
                source="Wilson 1927",
                statistic=found / planted,
                interval=(low, high),
                words=(
                    f"Copies under '{name}': {found} of {planted} found ({low:.0%} to {high:.0%}): "
                    f"{'visible' if visible else 'BLIND: this audit cannot see such copies'}."
                ),
                figures={
                    "transform": name,
                    "found": found,
                    "planted": planted,
                    "nearest_is_source": int(right.sum()),
                    "median_log_gap": float(np.median(copies.gap)),
                    "flag_above_log_gap": rule.gap,
                    "visible": visible,
                    "holds": visible or name not in thresholds.must_see,
                },
            )
        )
    return findings


__all__ = ["control_findings"]
