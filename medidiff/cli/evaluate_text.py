"""Scores as lines, rows of a file, and tables of a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medidiff.evaluate.intervals import Interval
from medidiff.evaluate.scores import METRICS, NOISY, Score, by_patient, compare

COMPARED = ("psnr_db", "foreground_psnr_db", "ssim")
_PLACES = {"psnr_db": 2, "foreground_psnr_db": 2, "ssim": 4, "bias_percent": 3}


class Scored(NamedTuple):
    """The scores of one pair."""

    name: str
    patient: str
    condition: str
    scores: Mapping[str, Score]


def conditions_of(scored: Sequence[Scored]) -> dict[str, list[Scored]]:
    """Pairs by the noise they have, in order."""
    groups: dict[str, list[Scored]] = {}
    for one in scored:
        groups.setdefault(one.condition, []).append(one)
    return groups


def means_of(group: Sequence[Scored]) -> list[dict[str, Any]]:
    """Mean over patients of every metric, one entry a method."""
    scores = [(one.patient, one.scores) for one in group]
    found = []
    for method in group[0].scores:
        means = {key: list(by_patient(scores, method, key).values()) for key in METRICS}
        found.append({"method": method, **{key: math.fsum(v) / len(v) for key, v in means.items()}})
    return found


def differences_of(group: Sequence[Scored]) -> list[dict[str, Any]]:
    """The first result against every other result, then every result against the noisy scan."""
    methods = [method for method in group[0].scores if method != NOISY]
    if not methods:
        return []
    first, *others = methods
    pairs = [(first, other) for other in others] + [(method, NOISY) for method in methods]
    scores = [(one.patient, one.scores) for one in group]
    found = []
    for method, against in pairs:
        intervals = {key: compare(scores, method, against, key) for key in COMPARED}
        found.append({"method": method, "against": against, **{k: _told(v) for k, v in intervals.items()}})
    return found


def _told(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval._asdict()


def number(key: str, value: float) -> str:
    """A metric's value."""
    if math.isnan(value):
        return "-"
    signed = "+" if key in ("bias_percent", "residual_structure", "residual_correlation") else ""
    return f"{value:{signed}.{_PLACES.get(key, 2)}f}"


def difference(key: str, told: Mapping[str, float] | None) -> str:
    """A difference with its interval; of one patient there is none."""
    if told is None:
        return "-"
    places = _PLACES[key]
    if math.isnan(told["low"]):
        return f"{told['mean']:+.{places}f}"
    return f"{told['mean']:+.{places}f} [{told['low']:+.{places}f}, {told['high']:+.{places}f}]"


def mean_table(group: Sequence[Scored]) -> list[list[str]]:
    """Header and a row a method."""
    rows = [[one["method"], *(number(key, one[key]) for key in METRICS)] for one in means_of(group)]
    return [["method", *METRICS.values()], *rows]


def difference_table(group: Sequence[Scored]) -> list[list[str]]:
    """Header and a row a comparison."""
    rows = [
        [f"{one['method']} minus {one['against']}", *(difference(key, one[key]) for key in COMPARED)]
        for one in differences_of(group)
    ]
    return [["difference", *(METRICS[key] for key in COMPARED)], *rows]


def lines_of(scored: Sequence[Scored]) -> list[str]:
    """Everything as text."""
    lines: list[str] = []
    for condition, group in conditions_of(scored).items():
        lines += ["", heading(condition, group), "", *aligned(mean_table(group))]
        if len(table := difference_table(group)) > 1:
            lines += ["", *aligned(table)]
    return lines[1:]


def heading(condition: str, group: Sequence[Scored]) -> str:
    """What noise, how many scans of how many patients."""
    scans, patients = len(group), len({one.patient for one in group})
    said = f"{scans} scan{'s' * (scans > 1)} of {patients} patient{'s' * (patients > 1)}"
    return f"{condition}: {said}" if condition else said


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows with their columns under each other: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(text.rjust(w) for text, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]


def csv_of(scored: Sequence[Scored]) -> str:
    """One row a scan and method; a figure that there is none of is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = list(Score.__dataclass_fields__)
    writer.writerow(["scan", "patient", "noise", "method", *columns])
    for one in scored:
        for method, score in one.scores.items():
            values = ["" if math.isnan(v) else f"{v:.6g}" for v in score.to_dict().values()]
            writer.writerow([one.name, one.patient, one.condition, method, *values])
    return buffer.getvalue()


__all__ = [
    "Scored", "aligned", "conditions_of", "csv_of", "difference_table", "differences_of", "heading", "lines_of",
    "mean_table", "means_of",
]  # fmt: skip
