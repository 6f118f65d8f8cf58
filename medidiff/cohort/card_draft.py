"""The draft of a data card: what a person would have to count by hand is filled in, what only they know is asked."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import yaml

from medidiff.cohort.card_plots import (
    FEW,
    draw_attributes,
    draw_grids,
    draw_intensities,
    draw_splits,
    pooled,
    values_of,
)
from medidiff.cohort.manifest import SPLITS
from medidiff.cohort.prepare import Prepared
from medidiff.cohort.store_files import open_files

CARD = "card.md"
_ENOUGH = 10


def write_card(done: Prepared, day: datetime.date | None = None) -> list[str]:
    """Write card.md and its pictures into the store.

    Counts, quantiles and shares only: no file name, no patient's name or number, no value of an attribute that fewer
    than three patients share.

    Args:
        done: A finished preparation.
        day: Today, for tests.

    Returns:
        Names of the files.

    Raises:
        OutputError: They cannot be written.
    """
    files = open_files(done.store.url)
    kinds = {name: about["kind"] for name, about in done.store.attributes.items()}
    pictures: dict[str, bytes | None] = {
        "card_splits.png": draw_splits(done.rows),
        "card_grids.png": draw_grids(done.rows),
        "card_intensities.png": draw_intensities(done.measured),
        "card_attributes.png": draw_attributes(done.rows, kinds),
    }
    drawn = {name: content for name, content in pictures.items() if content is not None}
    for name, content in drawn.items():
        files.write(name, content)
    files.write(CARD, _text(done, kinds, set(drawn), day or datetime.date.today()).encode())
    return [CARD, *drawn]


def _text(done: Prepared, kinds: dict[str, str], drawn: set[str], day: datetime.date) -> str:
    parts = [
        "# DRAFT: name of this cohort",
        f"Drafted by `medidiff prepare` on {day.isoformat()}. Lines that begin with **TODO** are yours to fill in.",
        "## Source",
        "**TODO** Where the scans come from, when and on what scanners they were made, who was included and who not, "
        "and on what approval or consent their use rests.",
        "## Licence",
        f"{done.licence}." if done.licence != "not stated" else "**TODO** not stated (`--licence` fills this line in).",
        "## What we use",
        *_what(done),
        "![Voxel spacing and size](card_grids.png)",
        "![Normalised values and own noise](card_intensities.png)",
        *_attributes(done, kinds, drawn),
        "The recipe:",
        f"```yaml\n{yaml.safe_dump(done.store.meta['recipe'], sort_keys=True)}```",
        "## Intended use",
        "**TODO** What the scans are good for, and what they must not be used for.",
        "## Split",
        *_split(done),
        "## Subgroups",
        _subgroups(kinds),
        "## Known biases",
        "**TODO** Who is in the cohort more or less often than in the clinic; what goes together that need not.",
        "## Privacy",
        "**TODO** What could give a person away (faces, rare diseases, dates); what an audit of the priors trained on "
        "it found, or that none was made.",
        "## Traps",
        *_traps(done),
    ]
    return "\n\n".join(parts) + "\n"


def _what(done: Prepared) -> list[str]:
    rows = done.rows
    modalities = Counter(row.modality or "not known" for row in rows)
    spacing, shape = np.array([r.spacing_mm for r in rows]), np.array([r.shape for r in rows])
    tau = np.array([row.tau for row in rows])
    foreground = np.array([row.foreground for row in rows])
    masks = sum(bool(values["mask"]) for values in done.measured.values())
    lines = [
        ("scans", str(len(rows))),
        ("patients", str(len({row.patient for row in rows}))),
        ("modality", ", ".join(f"{name} {count}" for name, count in sorted(modalities.items()))),
        ("voxels along x, y, z", _ranges(shape, "{:.0f}")),
        ("spacing along x, y, z, mm", _ranges(spacing, "{:.2f}")),
        ("own noise level tau, normalised (5%, median, 95%)", _quantiles(tau, "{:.4f}")),
        ("foreground, share of the voxels (5%, median, 95%)", _quantiles(foreground, "{:.2f}")),
        ("with a label map", str(masks)),
        ("size", f"{sum(row.bytes for row in rows) / 1e6:.1f} MB"),
        ("content hash", f"`{done.store.content_hash}`"),
    ]
    return ["\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in lines)])]


def _attributes(done: Prepared, kinds: dict[str, str], drawn: set[str]) -> list[str]:
    if not kinds:
        return ["No attributes: the table has no further columns."]
    lines = ["| attribute | kind | known of patients | values |", "|---|---|---|---|"]
    patients = len({row.patient for row in done.rows})
    for name in sorted(kinds):
        values = values_of(done.rows, name)
        known = len({row.patient for row in done.rows if row.attributes.get(name) is not None})
        told = _numbers if kinds[name] == "continuous" else _words
        lines.append(f"| {_cell(name)} | {kinds[name]} | {known} of {patients} | {told(values)} |")
    picture = ["![Attributes](card_attributes.png)"] if "card_attributes.png" in drawn else []
    return ["\n".join(lines), *picture]


def _subgroups(kinds: dict[str, str]) -> str:
    if not kinds:
        return (
            "Not recorded: the table has no columns of sex, age or site, so nobody can tell whether a prior serves "
            "everybody alike. **TODO** Add them, or say why not."
        )
    return (
        f"Recorded: {', '.join(_cell(name) for name in sorted(kinds))}, counted above. **TODO** Who is lacking: "
        "`medidiff evaluate fidelity` lists the cells with fewer than 5 patients."
    )


def _numbers(values: Sequence[tuple[str, Any]]) -> str:
    numbers = np.array([value for _, value in values], dtype=float)
    if len(numbers) < _ENOUGH:
        return f"median {np.median(numbers):.4g}" if len(numbers) >= FEW else "too few to show"
    return "5% {:.4g}, median {:.4g}, 95% {:.4g}".format(*np.percentile(numbers, [5, 50, 95]))


def _words(values: Sequence[tuple[str, Any]]) -> str:
    counts = Counter(value for _, value in pooled(values))
    return ", ".join(f"{_cell(value)} {count}" for value, count in counts.most_common())


def _split(done: Prepared) -> list[str]:
    split_of = {row.patient: row.split for row in done.rows}
    scans, patients = Counter(row.split for row in done.rows), Counter(split_of.values())
    record = done.assignment.record
    if record["seed"] is None:
        how = "By patient, as the participants table says."
    else:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in record["shares"].items())
        table = f" {record['by_table']} patients were assigned by the table." if record["by_table"] else ""
        how = (
            f"By patient: a recorded coin ({record['method']}; seed {record['seed']}) with the shares {shares} "
            f"assigned {record['by_coin']} patients.{table}"
        )
    lines = [
        "| | train | val | holdout |",
        "|---|---|---|---|",
        _line("patients", patients),
        _line("scans", scans),
    ]
    return [how, "\n".join(lines), "![Splits](card_splits.png)"]


def _line(name: str, counts: Counter[str]) -> str:
    return f"| {name} | " + " | ".join(str(counts[split]) for split in SPLITS) + " |"


def _traps(done: Prepared) -> list[str]:
    parts = []
    warnings = [*done.assignment.warnings, *done.cautions]
    if warnings:
        parts.append("\n".join(f"- {text}" for text in warnings))
    if done.rejections:
        counts = Counter((one.kind, one.failed) for one in done.rejections)
        lines = ["| not in the store, because | scans | |", "|---|---|---|"]
        lines += [
            f"| {kind} | {count} | {'refused' if failed else 'left out'} |"
            for (kind, failed), count in sorted(counts.items())
        ]
        parts.append("\n".join(lines))
        parts.append("`rejected.tsv` in the store names each file and its reason.")
    parts.append(
        "**TODO** What else a user should know: scanners or sites that go with a diagnosis, defacing, artefacts."
    )
    return parts


def _ranges(values: np.ndarray, form: str) -> str:
    told: list[Callable[..., str]] = [form.format] * 3
    ends = zip(told, values.min(axis=0), np.median(values, axis=0), values.max(axis=0), strict=True)
    return "; ".join(f(a) if a == c else f"{f(a)} to {f(c)} (median {f(b)})" for f, a, b, c in ends)


def _quantiles(values: np.ndarray, form: str) -> str:
    return ", ".join(form.format(value) for value in np.percentile(values, [5, 50, 95]))


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
