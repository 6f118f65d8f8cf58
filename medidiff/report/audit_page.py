"""The audit as a page: verdict, what it could have seen, every test, rare conditions, limits, samples to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medidiff import __version__
from medidiff.privacy.finding import Finding
from medidiff.privacy.report_record import AuditReport, CaseNote
from medidiff.report.page import Picture, Section, Table, render_page

_HEADER = ("test", "statistic", "95% interval", "p", "by Holm", "verdict", "in words")
_NO_REAL = (
    "Synthetic scans only. The real scan that a sample is nearest to is not shown: this page may leave the building."
)
_INTERNAL = "INTERNAL: this page shows real patients beside synthetic scans. It must not leave the site."


def audit_page(
    report: AuditReport,
    pictures: Mapping[str, Picture] | None = None,
    matches: Mapping[str, Picture] | None = None,
    name: str = "",
) -> str:
    """One self-contained HTML page.

    Args:
        report: The audit.
        pictures: Of random and worst samples, by their file.
        matches: Real scans that the worst samples are nearest to, by the sample's file; only for a page that stays at
            the site, which then says so at its head.
        name: What was audited.
    """
    title = f"Privacy audit of {name}" if name else "Privacy audit"
    sections = [
        _verdict(report, internal=bool(matches)),
        _sets(report),
        _seen(report.findings),
        _tests(report.findings),
        *_strata(report.findings),
        *_described(report.findings),
        *_subgroups(report.subgroups),
        *([_samples(report, pictures or {}, matches or {})] if report.samples else []),
        _limits(report),
    ]
    lead = (
        "Does this set copy or betray the patients whom its prior was trained on? What was tested, what was found, and "
        "what cannot be seen."
    )
    return render_page(title, sections, lead=lead, footer=f"medidiff {__version__}, audit of {report.created:%Y-%m-%d}")


def _verdict(report: AuditReport, internal: bool) -> Section:
    rows = [(key.replace("_", " "), _text(value)) for key, value in report.needed.items()]
    return Section(
        "Verdict",
        report.words,
        status=report.verdict,
        caution=report.verdict != "PASS",
        rows=rows,
        warnings=[_INTERNAL] if internal else [],
    )


def _sets(report: AuditReport) -> Section:
    rows = [("samples", f"{report.samples}"), ("set, SHA-256", report.synthetic_hash or "none: the prior alone")]
    rows += [("prior, SHA-256", report.prior_hash or "not given: the samples alone were audited")]
    rows += [(key.replace("_", " "), _text(value)) for key, value in report.references.items()]
    folded = [(key.replace("_", " "), _text(value)) for key, value in report.settings.items()]
    thresholds = [(key.replace("_", " "), _text(value)) for key, value in report.thresholds.model_dump().items()]
    details = [("Thresholds, fixed before the audit saw data", thresholds)]
    if folded:
        details.append(("Settings", folded))
    return Section("What was audited, against what", rows=rows, details=details)


def _seen(findings: Sequence[Finding]) -> Section:
    chosen = [f for f in findings if f.role in ("gate", "control") and not f.stratum]
    lead = (
        "Copies of train scans were planted under each transform and looked for with the same rule. What is blind here "
        "could be in the set without this audit knowing."
    )
    blind = [f.words for f in chosen if f.role == "control" and f.figures.get("visible") is False]
    return Section("What this audit could have seen", lead, tables=[_table(chosen)], warnings=blind)


def _tests(findings: Sequence[Finding]) -> Section:
    chosen = [f for f in findings if f.role in ("primary", "secondary") and not f.stratum]
    lead = (
        "The label permutation decides at its own level (over rare conditions by Holm), the others together by Holm. "
        "A p-value is the probability of a result as strong if nobody had been copied; what counts is that by Holm, "
        "held against alpha primary or alpha secondary above."
    )
    return Section("Tests on all samples", lead, tables=[_table(chosen)])


def _strata(findings: Sequence[Finding]) -> list[Section]:
    chosen = [f for f in findings if f.stratum]
    if not chosen:
        return []
    lead = "A prior memorises most where it has seen least. Every test again on each rare condition; the worst governs."
    names = list(dict.fromkeys(f.stratum for f in chosen))
    tables = [_table([f for f in chosen if f.stratum == name], caption=name) for name in names]
    return [Section("Rare conditions apart", lead, tables=tables)]


def _described(findings: Sequence[Finding]) -> list[Section]:
    chosen = [f for f in findings if f.role == "descriptive" and not f.stratum]
    if not chosen:
        return []
    lead = (
        "Published figures, each as its paper defines it. They decide nothing here: each is misled by something "
        "(docs/privacy.md)."
    )
    return [Section("For comparison with the literature", lead, tables=[_table(chosen)])]


def _subgroups(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    if not rows:
        return []
    header = list(dict.fromkeys(key for row in rows for key in row))
    table = Table([key.replace("_", " ") for key in header], [[_text(row.get(key)) for key in header] for row in rows])
    lead = "How faithfully each group of people is shown, and which groups the cohort lacks."
    return [Section("Subgroups", lead, tables=[table])]


def _samples(report: AuditReport, pictures: Mapping[str, Picture], matches: Mapping[str, Picture]) -> Section:
    shown: list[Picture] = []
    for note in (*report.worst_samples, *report.random_samples):
        if note.file in pictures:
            shown.append(Picture(note.file, _caption(note), pictures[note.file].uri))
        if note.file in matches:
            shown.append(Picture(f"nearest real scan to {note.file}", "INTERNAL", matches[note.file].uri))
    signed = (
        f"A person looks at each of these and signs {report.sign_off}; `medidiff release DIR --template` writes it."
        if report.verdict == "PASS"
        else "What stands out most, and some at random. There is nothing to sign: only a set with a PASS is released."
    )
    lead = signed if matches else f"{signed} {_NO_REAL}"
    rows = [(note.file, _caption(note)) for note in (*report.worst_samples, *report.random_samples)]
    return Section("Samples for a person to look at", lead, pictures=shown, details=[("List", rows)])


def _limits(report: AuditReport) -> Section:
    return Section("What this audit cannot see", warnings=list(report.limits))


def _caption(note: CaseNote) -> str:
    similarity = "" if note.similarity is None else f"similarity to the nearest patient {note.similarity:.3f}; "
    return f"{similarity}{note.why}"


def _table(findings: Sequence[Finding], caption: str = "") -> Table:
    return Table(_HEADER, [_row(finding) for finding in findings], caption)


def _row(finding: Finding) -> list[str]:
    return [finding.test, *finding.shown(), finding.verdict or "", finding.words]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(inner) for inner in value)
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


__all__ = ["audit_page"]
