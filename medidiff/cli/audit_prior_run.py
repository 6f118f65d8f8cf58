"""`medidiff audit --prior P` without a set: the prior alone is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medidiff.cli.outcome import say, warn

if TYPE_CHECKING:
    from medidiff.cli.audit_run import Wanted
    from medidiff.prior import Prior
    from medidiff.privacy.report_record import AuditReport
    from medidiff.privacy.thresholds import Thresholds


def audit_of_prior(wanted: Wanted, prior: Prior, thresholds: Thresholds) -> AuditReport:
    """Read train and holdout, ask the prior, put the report together."""
    from medidiff.cli.audit_read import real_sets
    from medidiff.cli.audit_report import report_of_prior
    from medidiff.cli.audit_run import asked
    from medidiff.cli.audit_run_folder import check_list
    from medidiff.cohort.scan_set import read_scan_sets
    from medidiff.privacy.audit_prior import audit_prior

    found = real_sets(wanted)
    listed = check_list(wanted.run, prior, found[0])
    say(f"reading {sum(map(len, found))} scans")
    train, holdout = read_scan_sets(found)
    for text in dict.fromkeys((*train.warnings, *holdout.warnings)):
        warn(text)
    _, white_box = asked(wanted, prior, found, train.spacing_mm, thresholds)
    judgement, _ = audit_prior(train, holdout, thresholds, white_box)
    return report_of_prior(thresholds, prior, judgement, train, holdout, listed)


__all__ = ["audit_of_prior"]
