"""The battery: every test in its order on what was measured, all samples first, then each rare condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from medidiff.privacy.controls import control_findings
from medidiff.privacy.copies import copy_rate, tail_count
from medidiff.privacy.descriptive import authenticity, c_t, dcr_share
from medidiff.privacy.finding import Finding
from medidiff.privacy.fld import fld
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.identity import identical_scans
from medidiff.privacy.material import Material, Subjects
from medidiff.privacy.membership import black_box_membership
from medidiff.privacy.people import enough_people
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.roles import split_roles
from medidiff.privacy.sensitivity import sensitivity
from medidiff.privacy.split_gate import split_classifier, split_overlap
from medidiff.privacy.strata import Stratum
from medidiff.privacy.thresholds import Thresholds

OF_PRIOR = "neither the synthetics nor the prior know which patients were train"
CAVEAT = (
    "These features were learned from the train patients: this speaks of the prior, whose weights tell, even where "
    "no sample does."
)


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
    found = [enough_people(gallery, thresholds), split_overlap(main.real, gallery)]
    if evidence.features is not None:
        found.append(split_classifier(evidence.features[1], gallery, thresholds))
    found.append(split_roles(main.synthetic, main.real, gallery, thresholds))
    controls = control_findings(main.planted, main.sources, main.real, gallery, thresholds)
    found += controls
    tests = 1 + len(evidence.strata)
    found.append(sensitivity(main.synthetic, gallery, main.planted, thresholds, tests=tests))
    found.append(identical_scans(main.synthetic, main.real, gallery))
    found.append(label_permutation(main.synthetic, gallery, thresholds))
    found.append(copy_rate(main.synthetic, main.real, gallery, thresholds, controls))
    found.append(black_box_membership(main.synthetic, gallery, thresholds))
    for other in evidence.others:
        found.append(_in_space(other, label_permutation, gallery, thresholds))
        found.append(_in_space(other, black_box_membership, gallery, thresholds))
    found += list(evidence.white_box)
    found += _described(evidence, thresholds)
    for stratum in evidence.strata:
        rows = main.synthetic[stratum.members]
        found.append(sensitivity(rows, gallery, main.planted, thresholds, tests=tests, stratum=stratum.name))
        found.append(label_permutation(rows, gallery, thresholds, stratum.name))
        found.append(copy_rate(rows, main.real, gallery, thresholds, controls, stratum.name))
        found.append(black_box_membership(rows, gallery, thresholds, stratum.name))
        for other in evidence.others:
            found.append(_in_space(other, label_permutation, gallery, thresholds, stratum))
    return found


def _in_space(
    other: Material,
    test: Callable[..., Finding],
    gallery: Gallery,
    thresholds: Thresholds,
    stratum: Stratum | None = None,
) -> Finding:
    """A test in an embedding; one of the prior's own is said to speak of the prior too."""
    sim = other.synthetic if stratum is None else other.synthetic[stratum.members]
    name = "" if stratum is None else stratum.name
    found = test(sim, gallery, thresholds, name, role="secondary", space=other.space)
    if not other.of_prior:
        return replace(found, words=f"By the {other.space}: {found.words}")
    return replace(found, null=OF_PRIOR, words=f"In the prior's own features: {found.words} {CAVEAT}")


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
