"""The audit as a page of a data card: Markdown, one verdict, one table, the limits."""

from __future__ import annotations

from medidiff.privacy.finding import Finding
from medidiff.privacy.report_record import AuditReport


def audit_card(report: AuditReport) -> str:
    """Markdown for the card of a set or of a prior. Nothing in it leads back to a patient."""
    people = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in report.references.items())
    lines = [
        f"## Privacy audit: {report.verdict}",
        "",
        report.words,
        "",
        f"{report.samples} samples against {people}. medidiff {report.medidiff_version}, {report.created:%Y-%m-%d}. "
        + (f"Set SHA-256 {report.synthetic_hash}" if report.synthetic_hash else "No samples")
        + (f"; prior SHA-256 {report.prior_hash}." if report.prior_hash else "; the prior itself was not audited."),
        "",
        "| test | condition | statistic | p | by Holm | verdict |",
        "|---|---|---|---|---|---|",
        *[_row(f) for f in report.findings if f.role != "descriptive"],
        "",
        "What this audit cannot see:",
        "",
        *[f"- {text}" for text in report.limits],
        "",
    ]
    return "\n".join(lines)


def _row(finding: Finding) -> str:
    shown = finding.shown()
    statistic = f"{shown.statistic} [{shown.interval}]" if shown.interval else shown.statistic
    cells = (finding.test, finding.stratum or "all", statistic, shown.p_value, shown.adjusted, finding.verdict or "")
    return f"| {' | '.join(cells)} |"


__all__ = ["audit_card"]
