"""The battery: every test in its order on what was measured, all samples first, then each rare condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from medidiff.privacy.controls import control_findings
from medidiff.privacy.copies import copy_rate, tail_count
from medidiff.privacy.descriptive import authenticity, c_t, dcr_share
from medidiff.privacy.finding import Finding
from medidiff.privacy.fld import fld
from medidiff.privacy.material import Material, Subjects
from medidiff.privacy.membership import black_box_membership
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.sensitivity import sensitivity
from medidiff.privacy.split_gate import split_classifier, split_overlap
from medidiff.privacy.strata import Stratum
from medidiff.privacy.thresholds import Thresholds


@dataclass(frozen=True, eq=False)
class Evidence:
    """Everything that the battery reads.

    Attributes:
        subjects: Who is compared.
        main: Similarities by the pose-searched correlation, with planted copies.
        others: Similarities in embeddings.
        features: (n, d) of the synthetics and (g, d) of the gallery, of the encoder; None where there is none.
        strata: Rare conditions.
        white_box: Findings on the prior itself; empty where none is given.
    """

    subjects: Subjects
    main: Material
    others: Sequence[Material] = ()
    features: tuple[np.ndarray, np.ndarray] | None = None
    strata: Sequence[Stratum] = ()
    white_box: Sequence[Finding] = field(default_factory=tuple)


def run_battery(evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    """Gate, controls, copies, copy rate, membership, white box, descriptive figures; then the strata.

    Verdicts are given by `judge` afterwards.

    Raises:
        InputError: Similarities do not fit, see `gallery.by_patient`.
    """
    gallery, main = evidence.subjects.gallery, evidence.main
    found = [split_overlap(main.real, gallery, thresholds)]
    if evidence.features is not None:
        found.append(split_classifier(evidence.features[1], gallery, thresholds))
    controls = control_findings(main.planted, main.sources, main.real, gallery, thresholds)
    found += controls
    tests = 1 + len(evidence.strata)
    found.append(sensitivity(main.synthetic, gallery, main.planted, thresholds, tests=tests))
    found.append(label_permutation(main.synthetic, gallery, thresholds))
    found.append(copy_rate(main.synthetic, main.real, gallery, thresholds, controls))
    found.append(black_box_membership(main.synthetic, gallery, thresholds))
    for other in evidence.others:
        found += _in_space(other, evidence.subjects, thresholds)
    found += list(evidence.white_box)
    found += _described(evidence, thresholds)
    for stratum in evidence.strata:
        rows = main.synthetic[stratum.members]
        found.append(sensitivity(rows, gallery, main.planted, thresholds, tests=tests, stratum=stratum.name))
        found.append(label_permutation(rows, gallery, thresholds, stratum.name))
        found.append(copy_rate(rows, main.real, gallery, thresholds, controls, stratum.name))
        found.append(black_box_membership(rows, gallery, thresholds, stratum.name))
        found += [
            label_permutation(
                other.synthetic[stratum.members], gallery, thresholds, stratum.name, role="secondary", space=other.space
            )
            for other in evidence.others
        ]
    return found


def _in_space(other: Material, subjects: Subjects, thresholds: Thresholds) -> list[Finding]:
    gallery = subjects.gallery
    return [
        label_permutation(other.synthetic, gallery, thresholds, role="secondary", space=other.space),
        black_box_membership(other.synthetic, gallery, thresholds, space=other.space),
    ]


def _described(evidence: Evidence, thresholds: Thresholds) -> list[Finding]:
    gallery, main = evidence.subjects.gallery, evidence.main
    found = [
        tail_count(main.synthetic, main.real, gallery, thresholds),
        c_t(main.synthetic, main.real, gallery, thresholds),
        authenticity(main.synthetic, main.real, gallery, thresholds),
        dcr_share(main.synthetic, gallery, thresholds),
    ]
    if evidence.features is not None:
        found.append(fld(*evidence.features, gallery, thresholds))
    return found


__all__ = ["Evidence", "run_battery"]
