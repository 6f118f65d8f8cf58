"""`medidiff scan --phi` as text and as JSON: where identifiers are, without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medidiff.io.identity.find import Finding, IdentityReport

_SHOWN_VALUES = 3
_LONGEST_VALUE = 40
_NAMED_FILES = 5
_NAMED_PLACES = 20


def phi_dict(report: IdentityReport, name: str, keep_ids: bool) -> dict[str, Any]:
    """For --json; the values only where they were asked for."""
    return {
        "input": name,
        "looked_at": {kind: report.looked_at.get(kind, 0) for kind in ("DICOM", "NIfTI", "JSON", "table")},
        "unreadable": list(report.unreadable),
        "identity_removed": report.removed,
        "findings": [
            {
                "meaning": found.meaning,
                "in": found.medium,
                "where": found.where,
                "files": found.files,
                "different_values": len(found.values),
                **({"values": list(found.values)} if keep_ids else {}),
            }
            for found in report.findings
        ],
    }


def phi_lines(report: IdentityReport, name: str, keep_ids: bool) -> list[str]:
    """For the terminal: a block a meaning, the most telling first."""
    kinds = [f"{count} {kind}" for kind, count in sorted(report.looked_at.items())]
    lines = [f"Where {name} may say who a patient is ({', '.join(kinds) or 'no'} files looked at)"]
    for meaning in dict.fromkeys(found.meaning for found in report.findings):
        block = [found for found in report.findings if found.meaning == meaning]
        lines += ["", meaning[0].upper() + meaning[1:], *_block(block, keep_ids)]
    if not report.findings:
        lines += ["", "Nothing was found. The pixels were not looked at."]
    lines.append("")
    if report.removed:
        lines.append(f"{_files(report.removed)} say that identity was removed (PatientIdentityRemoved): what is listed "
                     "above is what is left.")  # fmt: skip
    if report.unreadable:
        named = ", ".join(report.unreadable[:_NAMED_FILES])
        more = len(report.unreadable) - _NAMED_FILES
        lines.append(f"{_files(len(report.unreadable))} could not be looked into: {named}"
                     f"{f' and {more} more' if more > 0 else ''}.")  # fmt: skip
    lines.append("The pixels were not read: text burned into them, and faces, must be looked for by eye.")
    return lines


def _block(found: Sequence[Finding], keep_ids: bool) -> list[str]:
    shown = found[:_NAMED_PLACES]
    where = max(len(one.where) for one in shown)
    lines = []
    for one in shown:
        counted = f"  {one.where:<{where}}  {one.medium if one.medium != 'name' else '':<5}  {_files(one.files)}"
        if keep_ids and one.values:
            lines.append(f"{counted}: {_shown(one.values)}")
        elif one.values and one.medium != "name":
            kind = "elements" if one.meaning == "private" else "values" if len(one.values) > 1 else "value"
            lines.append(f"{counted}, {len(one.values)} {kind}")
        else:
            lines.append(counted)
    more = found[_NAMED_PLACES:]
    return [*lines, f"  {len(more)} more places, {_files(sum(one.files for one in more))}"] if more else lines


def _shown(values: Sequence[str]) -> str:
    texts = [v if len(v) <= _LONGEST_VALUE else f"{v[: _LONGEST_VALUE - 3]}..." for v in values[:_SHOWN_VALUES]]
    more = len(values) - _SHOWN_VALUES
    return "; ".join(" ".join(text.split()) for text in texts) + (f"; and {more} more" if more > 0 else "")


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
