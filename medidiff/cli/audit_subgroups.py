"""Subgroups of an audit: who is shown how faithfully, and whom the cohort lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from medidiff.cohort.scan_set import ScanSet


def subgroup_figures(synthetic: ScanSet, train: ScanSet, holdout: ScanSet) -> dict[str, Any]:
    """`evaluate.subgroups` of all real scans and the synthetics; {} where nothing is known of anybody."""
    from medidiff.evaluate.features import intensity_texture_features
    from medidiff.evaluate.subgroups import subgroups

    rows = [*train.attributes, *holdout.attributes]
    if not any(row for row in rows):
        return {}
    real = np.concatenate([train.images, holdout.images])
    patients = [f"train {p}" for p in train.patients] + [f"holdout {p}" for p in holdout.patients]
    return subgroups(
        intensity_texture_features(real),
        intensity_texture_features(synthetic.images),
        rows,
        synthetic.attributes,
        patients,
    ).to_dict()


def shown_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it may leave the site: what is a handful of people is told as that."""
    from medidiff.privacy.limits import few

    keys = ("attribute", "label", "synthetic", "status", "p_adjusted", "words")
    return {**{key: row.get(key) for key in keys}, "patients": few(int(row["patients"]))}


__all__ = ["shown_row", "subgroup_figures"]
