"""A synthetic that IS a patient's scan: no rate, no p-value, one is too many."""

from __future__ import annotations

import numpy as np

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery, by_patient, distance, nearest, strangers

SAME_PICTURE = 0.95
"""Similarity from which two scans may be the same picture: copies turned, shifted, brightened, blurred or made noisy
had 0.985 and more on hippocampus crops, strangers 0.83 at most (benchmarks/_audit_real.py)."""
_NEARER = 0.5
"""And their distance is at most this part of the usual distance to the nearest stranger."""


def same_picture_from(gallery_sim: np.ndarray, gallery: Gallery) -> float:
    """Similarity from which two scans of this kind are taken for one picture.

    It is `SAME_PICTURE`, or more where strangers come near to it: the median over scans, of the distance to the nearest
    stranger, is what a few people under two names do not move.

    Args:
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.

    Raises:
        InputError: See `strangers`.
    """
    usual = float(np.median(distance(strangers(gallery_sim, gallery).first)))
    return max(SAME_PICTURE, 1 - (_NEARER * usual) ** 2 / 2)


def same_pairs(gallery_sim: np.ndarray, gallery: Gallery) -> list[tuple[int, int]]:
    """Scans of the gallery (i < j) that are one picture under two patients' names, the most alike first."""
    limit, sim = same_picture_from(gallery_sim, gallery), np.asarray(gallery_sim)
    alike = np.triu(np.minimum(sim, sim.T) >= limit, 1)
    alike &= gallery.patients[:, None] != gallery.patients[None, :]
    pairs = [(int(i), int(j)) for i, j in np.argwhere(alike)]
    return sorted(pairs, key=lambda pair: (-float(sim[pair]), pair))


def identical_scans(sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, stratum: str = "") -> Finding:
    """Synthetics that are the same picture as a train patient's scan, see `same_picture_from`.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.
        stratum: Condition whose synthetics `sim` holds.

    Raises:
        InputError: See `by_patient`.
    """
    found = nearest(by_patient(sim, gallery))
    limit = same_picture_from(gallery_sim, gallery)
    same = found.first >= limit
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


__all__ = ["SAME_PICTURE", "identical_scans", "same_pairs", "same_picture_from"]
