"""DATA_CARD.md of a released set: under the headings of data_cards/, with what the audit found and who signed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medidiff.privacy.finding import Finding
from medidiff.privacy.thresholds import Thresholds
from medidiff.synthesis.cards import OF_PEOPLE
from medidiff.synthesis.release_checks import Audited, Signed, WholeSet
from medidiff.synthesis.release_croissant import INTENDED_USE
from medidiff.synthesis.write import NOTE

HEADINGS = (
    "Source", "Licence", "What it holds", "Intended use", "Subgroups", "Known biases", "Privacy", "Review", "Files",
)  # fmt: skip


def data_card(whole: WholeSet, own: Mapping[str, Any], readme: str, audited: Audited, signed: Signed) -> str:
    """The card as Markdown.

    Args:
        whole: The set.
        own: Its croissant.json.
        readme: Its README.md.
        audited: Its audit.
        signed: The sign-off.
    """
    settings, prior = whole.settings, whole.settings["prior"]
    size, mm = (" x ".join(f"{v:g}" for v in settings[key]) for key in ("shape", "spacing_mm"))
    parts = {
        "Source": [
            f"Sampled by medidiff {settings['medidiff']} from the prior {prior['name']} {prior['version']} (SHA-256 "
            f"{prior['hash']}). Sources of the prior:",
            _section(readme, "Sources of the prior"),
        ],
        "Licence": [f"{own.get('license', 'not stated')}."],
        "What it holds": [
            f"{whole.scans} scans of {size} voxels of {mm} mm, in {len(whole.hashes)} files. README.md says what was "
            "asked for and measured, and which draws were thrown away."
        ],
        "Intended use": [INTENDED_USE],
        "Subgroups": _subgroups(audited),
        "Known biases": ["\n".join(f"- {text}" for text in biases(readme, audited))],
        "Privacy": _privacy(audited),
        "Review": _review(signed),
        "Files": [
            f"RELEASE.json lists every file with its SHA-256. Of the content: `{whole.content_hash}`. `runs/` and what "
            "else it does not list is not part of the release."
        ],
    }
    body = [text for heading in HEADINGS for text in (f"## {heading}", *parts[heading])]
    return "\n\n".join([f"# {own.get('name', 'synthetic set')}", f"**{NOTE}**", *body]) + "\n"


def biases(readme: str, audited: Audited) -> list[str]:
    """What is known of whom the set shows, a sentence each."""
    limits = _section(readme, "Limits").split("\n\n")[0]
    known = bool(limits) and not limits.startswith(OF_PEOPLE)
    found = [f"The prior's card: {limits}" if known else "The prior's card names no limits."]
    for row in audited.report.subgroups:
        name = f"{row.get('attribute')} {row.get('label')}"
        if row.get("status") in ("few", "empty"):
            found.append(f"{name}: {row.get('patients')} patients, {row.get('synthetic')} synthetic scans.")
        elif (row.get("p_adjusted") or 1) <= 0.05:
            found.append(f"{name}: shown less faithfully than the others.")
    if not audited.report.subgroups:
        found.append("Subgroups were not measured.")
    return found


def _subgroups(audited: Audited) -> list[str]:
    rows = audited.report.subgroups
    if not rows:
        return ["Not measured: the audit had no attributes of patients."]
    lines = ["| subgroup | patients | synthetic | MMD [95%] | |", "|---|---|---|---|---|"]
    for row in rows:
        distance = row.get("mmd") or {}
        shown = "-" if not distance else f"{distance['mean']:.3f} [{distance['low']:.3f}, {distance['high']:.3f}]"
        made = "-" if row.get("synthetic") is None else row["synthetic"]
        name = _cell(f"{row.get('attribute')} {row.get('label')}")
        lines.append(f"| {name} | {row.get('patients', '-')} | {made} | {shown} | {_cell(row.get('words', ''))} |")
    return ["\n".join(lines)]


def _privacy(audited: Audited) -> list[str]:
    report = audited.report
    against = ", ".join(f"{name} {value}" for name, value in report.references.items()) or "not recorded"
    prior = "with its prior" if report.prior_hash else "the samples alone; the prior itself was not audited"
    lines = ["| test | of | statistic [95%] | p | by Holm | verdict |", "|---|---|---|---|---|---|"]
    lines += [_finding(finding) for finding in report.findings]
    limits = "\n".join(f"- {text}" for text in report.limits) or "- The audit names none."
    return [
        f"**{report.verdict}.** {report.words}",
        f"Audit of {report.created.date().isoformat()} by medidiff {report.medidiff_version}, {prior}; SHA-256 of "
        f"audit.json `{audited.sha256}`. Against: {against}. {_thresholds(report.thresholds)}",
        "\n".join(lines),
        "What the audit cannot see:",
        limits,
    ]


def _finding(finding: Finding) -> str:
    shown = finding.shown()
    value = f"{shown.statistic} [{shown.interval}]" if shown.interval else shown.statistic
    cells = (finding.test, finding.stratum or "all", value, shown.p_value, shown.adjusted)
    return f"| {' | '.join(_cell(text) or '-' for text in cells)} | {finding.verdict or finding.role} |"


def _thresholds(used: Thresholds) -> str:
    """Thresholds that are not medidiff's, since a change of one is a change of the audit."""
    changed = used.changed()
    return f"Thresholds that are not the usual ones: {changed}." if changed else "Usual thresholds."


def _review(signed: Signed) -> list[str]:
    form = signed.form
    notes = [f"- {row.file}: {_cell(row.note)}" for row in (*form.random_samples, *form.worst_samples) if row.note]
    return [
        f"{_cell(form.reviewer)} ({_cell(form.role)}), {form.date}: {form.decision}. Looked at "
        f"{_count(form.random_samples)} random samples and the {_count(form.worst_samples)} that stand out most "
        "for one patient.",
        f"> {_cell(form.statement)}",
        *(["\n".join(notes)] if notes else []),
    ]


def _count(rows: Sequence[Any]) -> int:
    return sum(row.reviewed for row in rows)


def _section(text: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return found[1].strip() if found and found[1].strip() else "not recorded"


def _cell(text: Any) -> str:
    return " ".join(str(text).replace("|", "/").split())


__all__ = ["HEADINGS", "biases", "data_card"]
