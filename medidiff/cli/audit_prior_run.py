"""`medidiff audit --prior P` without a set: the prior alone is asked."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from medidiff import __version__
from medidiff.cli.outcome import say, warn

if TYPE_CHECKING:
    from medidiff.cli.audit_run import Wanted
    from medidiff.prior import Prior
    from medidiff.privacy.report_record import AuditReport
    from medidiff.privacy.thresholds import Thresholds


def report_of_prior(wanted: Wanted, prior: Prior, thresholds: Thresholds) -> AuditReport:
    """Read train and holdout, ask the prior, put the report together."""
    from medidiff.cli.audit_read import real_sets
    from medidiff.cli.audit_run import asked, real_counts, usual_words
    from medidiff.cli.audit_run_folder import CHECKED, check_list
    from medidiff.cohort.scan_set import read_scan_sets
    from medidiff.privacy.audit_prior import audit_prior
    from medidiff.privacy.limits import limits_of
    from medidiff.privacy.report_record import AuditReport

    found = real_sets(wanted)
    listed = check_list(wanted.run, prior, found[0])
    say(f"reading {sum(map(len, found))} scans")
    train, holdout = read_scan_sets(found)
    for text in dict.fromkeys((*train.warnings, *holdout.warnings)):
        warn(text)
    _, white_box = asked(wanted, prior, found, train.spacing_mm, thresholds)
    judgement, _ = audit_prior(train, holdout, thresholds, white_box)
    return AuditReport(
        verdict=judgement.verdict,
        words=usual_words(judgement.words, thresholds),
        created=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        medidiff_version=__version__,
        thresholds=thresholds,
        prior_hash=prior.content_hash,
        samples=0,
        references=real_counts(train, holdout, None, prior),
        settings={"train_list": listed},
        findings=judgement.findings,
        limits=limits_of(judgement, with_prior=True, checked=listed == CHECKED),
    )


__all__ = ["report_of_prior"]
