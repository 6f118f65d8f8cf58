"""The report of an audit, of a set or of a prior alone, from what was found."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from medidiff import __version__
from medidiff.cli.audit_run_folder import CHECKED

if TYPE_CHECKING:
    from medidiff.cli.audit_run import Wanted
    from medidiff.cohort.scan_set import ScanSet
    from medidiff.prior import Prior
    from medidiff.privacy.audit import Audit
    from medidiff.privacy.judge import Judgement
    from medidiff.privacy.report_record import AuditReport
    from medidiff.privacy.thresholds import Thresholds

Real = tuple["ScanSet", "ScanSet", "ScanSet | None"]
"""Train, holdout and reference."""


def report_of_set(
    wanted: Wanted,
    thresholds: Thresholds,
    prior: Prior | None,
    audit: Audit,
    real: Real,
    subgroups: dict[str, Any],
    listed: str,
) -> AuditReport:
    """Of a set, with or without its prior.

    Args:
        wanted: What was asked for.
        thresholds: Of the audit.
        prior: Given or None.
        audit: What came out.
        real: Train, holdout and reference.
        subgroups: `Subgroups.to_dict()`.
        listed: What was checked of the prior's list of train patients.
    """
    from medidiff.cli.audit_subgroups import shown_row
    from medidiff.privacy.report_record import set_hash

    train, (random, worst) = real[0], audit.notes()
    window = " x ".join(map(str, train.images.shape[1:]))
    spacing = " x ".join(f"{mm:g}" for mm in train.spacing_mm)
    return _report(
        audit.judgement,
        thresholds,
        prior,
        real,
        listed,
        gaps=subgroups.get("gaps", ()),
        synthetic_hash=set_hash(cast(Path, wanted.folder)),
        samples=len(audit.subjects.names),
        settings={"window": f"{window} voxels of {spacing} mm", "internal": wanted.internal},
        subgroups=tuple(shown_row(row) for row in subgroups.get("rows", ())),
        random_samples=random,
        worst_samples=worst,
    )


def report_of_prior(
    thresholds: Thresholds, prior: Prior, judgement: Judgement, train: ScanSet, holdout: ScanSet, listed: str
) -> AuditReport:
    """Of a prior alone; arguments as above."""
    return _report(judgement, thresholds, prior, (train, holdout, None), listed, samples=0)


def _report(
    judgement: Judgement,
    thresholds: Thresholds,
    prior: Prior | None,
    real: Real,
    listed: str,
    *,
    gaps: Sequence[Any] = (),
    settings: dict[str, Any] | None = None,
    **more: Any,
) -> AuditReport:
    from medidiff.privacy.limits import limits_of
    from medidiff.privacy.report_record import AuditReport

    return AuditReport(
        verdict=judgement.verdict,
        words=_usual_words(judgement.words, thresholds),
        needed=dict(judgement.needed),
        created=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        medidiff_version=__version__,
        thresholds=thresholds,
        prior_hash=None if prior is None else prior.content_hash,
        references=_real_counts(*real, prior),
        settings={**(settings or {}), "train_list": listed},
        findings=judgement.findings,
        limits=limits_of(judgement, prior is not None, gaps, checked=listed == CHECKED),
        **more,
    )


def _usual_words(words: str, thresholds: Thresholds) -> str:
    """The judgement, with a warning at its head where thresholds were changed."""
    changed = thresholds.changed()
    return f"By thresholds other than the usual ones ({changed}): {words}" if changed else words


def _real_counts(train: ScanSet, holdout: ScanSet, reference: ScanSet | None, prior: Prior | None) -> dict[str, Any]:
    """Who the set was held against, in numbers, and the prior's commitment to whom it was trained on."""
    counts: dict[str, Any] = {
        "train_patients": len(set(train.patients)),
        "train_scans": len(train),
        "holdout_patients": len(set(holdout.patients)),
        "holdout_scans": len(holdout),
        "reference_scans": 0 if reference is None else len(reference),
    }
    if prior is not None and prior.card.training.commitment:
        counts["commitment"] = prior.card.training.commitment
    return counts


__all__ = ["report_of_prior", "report_of_set"]
