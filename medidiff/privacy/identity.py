"""A synthetic that IS a patient's scan: no rate, no p-value, one is too many."""

from __future__ import annotations

import numpy as np

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, by_patient, nearest, strangers

IDENTICAL = 0.95
"""Similarity from which two scans are the same picture: copies turned, shifted, brightened, blurred or made noisy had
0.985 and more on hippocampus crops, strangers 0.83 at most (benchmarks/_audit_priors.py's sets)."""


def identical_scans(sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, stratum: str = "") -> Finding:
    """Synthetics that are the same picture as a train patient's scan.

    The limit is `IDENTICAL`, or where strangers of this kind of scan come nearer than that, the nearest of them.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.
        stratum: Condition whose synthetics `sim` holds.

    Raises:
        InputError: See `by_patient`.
    """
    found = nearest(by_patient(sim, gallery))
    limit = max(IDENTICAL, float(strangers(gallery_sim, gallery).first.max()))
    same = found.first > limit
    train = int((same & gallery.is_train[found.patient]).sum())
    holdout = int(same.sum()) - train
    return Finding(
        test="identical scans",
        role="primary",
        source="medidiff docs/privacy.md",
        statistic=float(train),
        stratum=stratum,
        words=(
            f"{train} of {len(same)} synthetics ARE scans of train patients (similarity above {limit:.2f})."
            if train
            else f"No synthetic is the scan of a train patient (similarity above {limit:.2f})."
        ),
        figures={"found": train, "of_holdout": holdout, "limit": limit, "synthetics": len(same)},
    )


__all__ = ["IDENTICAL", "identical_scans"]
