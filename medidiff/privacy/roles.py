"""The gate of the roles: synthetics that single out HOLDOUT patients say that the sides are swapped, or not clean."""

from __future__ import annotations

import numpy as np

from medidiff.privacy.finding import Finding
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.identity import identical_scans
from medidiff.privacy.permutation import NULL, patient_weights, permutation_p
from medidiff.privacy.thresholds import Thresholds


def split_roles(sim: np.ndarray, gallery_sim: np.ndarray, gallery: Gallery, thresholds: Thresholds) -> Finding:
    """The label permutation test the other way round, and synthetics that are a holdout patient's scan.

    All tests of copying are one-sided: with --train and --holdout swapped, or with holdout patients among those that
    the prior was trained on, they would be silent.

    Args:
        sim: (n synthetics, g) similarity.
        gallery_sim: (g, g) similarity of the gallery's scans to each other.
        gallery: Train and holdout pooled.
        thresholds: `alpha_secondary`, `permutations`, `seed`.

    Raises:
        InputError: See `by_patient`.
    """
    weights = patient_weights(sim, gallery)
    p_value = permutation_p(weights, ~gallery.is_train, thresholds.permutations, thresholds.seed)
    same = int(identical_scans(sim, gallery_sim, gallery).figures["of_holdout"])
    clean = p_value > thresholds.alpha_secondary and same == 0
    why = f"{same} synthetics ARE scans of holdout patients" if same else "Synthetics single out HOLDOUT patients"
    return Finding(
        test="split roles",
        role="gate",
        null=NULL,
        source="medidiff docs/privacy.md",
        statistic=float(same),
        p_value=p_value,
        words=(
            f"Synthetics do not single out holdout patients (p = {p_value:.4f})."
            if clean
            else f"{why} (p = {p_value:.4f}). Nothing was trained on them: look whether --train and --holdout are "
            "swapped, or whether the prior has seen the holdout; then audit again."
        ),
        figures={"identical_to_holdout": same, "holds": clean},
    )


__all__ = ["split_roles"]
