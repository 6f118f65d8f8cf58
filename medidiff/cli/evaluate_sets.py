"""What `evaluate fidelity` and `evaluate utility` share: options, two sets on one window, files that are written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medidiff.cli.outcome import emit_json, warn
from medidiff.cli.report_folder import check_report_folder, write_report_files
from medidiff.errors import UsageError

if TYPE_CHECKING:
    from medidiff.cohort.scan_set import FoundSet, ScanSet

SyntheticArgument = Annotated[
    str, typer.Argument(metavar="SYNTH", help="A set of medidiff synth, or a folder of scans.", show_default=False)
]
RealOption = Annotated[
    str | None,
    typer.Option("--real", metavar="DIR|STORE", help="Real scans: a folder, or a store of medidiff prepare."),
]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="SPLIT", help="Of the real scans: train, val, holdout; all by default.")
]
TableOption = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE", help="Whose the scans are. DIR/participants.tsv by default."),
]
FolderOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="OUT", help="Folder for report.html and report.json.")
]
ScansOption = Annotated[
    int, typer.Option("--scans", metavar="N", help="Of each set: at most so many scans, drawn by --seed.")
]
PAGE, RECORD = "report.html", "report.json"
FORMAT = "medidiff-evaluation"


@dataclass(frozen=True, eq=False)
class TwoSets:
    """Synthetic and real scans on one window.

    Attributes:
        made: Synthetic ones.
        real: Real ones.
        about: What they are, for the page and the JSON.
        warnings: What is not as sure as it should be.
    """

    made: ScanSet
    real: ScanSet
    about: dict[str, Any]
    warnings: list[str]


def check_options(real: str | None, folder: Path | None, overwrite: bool, **numbers: int) -> str:
    """Refuse what cannot be, before anything is read; returns --real.

    Raises:
        UsageError: --real is missing, a number is negative or 0, or a report is there already.
    """
    if real is None:
        raise UsageError("--real: must be given: a folder of real scans, or a store of `medidiff prepare`.")
    for name, number in numbers.items():
        least = 0 if name == "seed" else 1
        if number < least:
            raise UsageError(f"--{name} {number}: must be {least} or more.")
    check_folder(folder, overwrite)
    return real


def check_folder(folder: Path | None, overwrite: bool) -> None:
    """Refuse a folder in which a report lies.

    Raises:
        UsageError: It is one, or a file.
    """
    if folder is None:
        return
    check_report_folder(folder, (PAGE, RECORD), overwrite)
    if (folder / RECORD).exists():
        from medidiff.errors import InputError
        from medidiff.synthesis.release_checks import read_json

        try:
            ours = read_json(folder / RECORD).get("format") == FORMAT
        except InputError:
            ours = False
        if not ours:
            raise UsageError(f"-o {folder / RECORD}: medidiff evaluate did not write it. Give another folder.")


def read_two(synthetic: str, real: str, split: str | None, table: Path | None, most: int, seed: int) -> TwoSets:
    """Find, draw and read both sets.

    Raises:
        MedidiffError: See `find_scan_set` and `read_scan_sets`.
    """
    from medidiff.cli.progress import announce, counted
    from medidiff.cohort.scan_set import find_scan_set, read_scan_sets

    found = [_drawn(find_scan_set(synthetic), most, seed), _drawn(find_scan_set(real, split, table), most, seed)]
    announce(f"reading {len(found[0])} synthetic and {len(found[1])} real scans")
    with counted("read scans") as progress:
        made, others = read_scan_sets(found, progress=progress)
    about = {
        "synthetic": synthetic,
        "synthetic_scans": len(made),
        "real": real,
        "split": split,
        "real_scans": len(others),
        "real_patients": len(set(others.patients)),
        "window_voxels": list(made.images.shape[1:]),
        "spacing_mm": list(made.spacing_mm),
        "seed": seed,
    }
    warnings = [*made.warnings[:0], *others.warnings]
    if found[1].kind == "synthetic":
        warnings.append(f"--real {real}: is a synthetic set: nothing is said about patients.")
    if split in (None, "train"):
        warnings.append(
            "The real scans may be those that the prior was trained on: what it copied looks faithful. Compare with "
            "patients nobody trained on (--split holdout)."
        )
    return TwoSets(replace(made, attributes=_measured(made)), others, about, warnings)


def _drawn(found: FoundSet, most: int, seed: int) -> FoundSet:
    """At most so many scans, whole patients where they have several, in the order they had."""
    if len(found) <= most:
        return found
    import numpy as np

    people = sorted(found.patients)
    kept: set[str] = set()
    count = 0
    sizes = (
        {person: sum(scan.patient == person for scan in found.scans) for person in people}
        if len(people) < len(found)
        else dict.fromkeys(people, 1)
    )
    for place in np.random.default_rng(seed).permutation(len(people)):
        if count + sizes[people[place]] > most:
            break
        kept.add(people[place])
        count += sizes[people[place]]
    return replace(found, scans=tuple(scan for scan in found.scans if scan.patient in kept))


def _measured(made: ScanSet) -> tuple[Mapping[str, float | str | None], ...]:
    """What was asked for, or, where nothing was, what was measured."""
    rows = []
    for row in made.attributes:
        measured = {name.removeprefix("measured_"): row[name] for name in row if name.startswith("measured_")}
        asked = {name: value for name, value in row.items() if not name.startswith("measured_") and value is not None}
        rows.append(measured | asked)
    return tuple(rows)


def tell(told: Mapping[str, Any], folder: Path | None, page: str, lines: Sequence[str], as_json: bool) -> None:
    """The ending of an evaluation: both files or neither, its warnings, and what is printed.

    Args:
        told: The JSON object; its `warnings` go to stderr.
        folder: Where the files go; None: nowhere.
        page: The report as HTML.
        lines: For the terminal.
        as_json: Print the object in place of them.

    Raises:
        OutputError: The files cannot be written.
    """
    from medidiff.result import json_safe

    if folder is not None:
        record = json.dumps(json_safe(told), indent=2, allow_nan=False) + "\n"
        write_report_files(folder, {PAGE: page, RECORD: record})
    for text in told["warnings"]:
        warn(text)
    if as_json:
        emit_json(told)
    else:
        typer.echo("\n".join(lines))


__all__ = [
    "FORMAT", "FolderOption", "RealOption", "ScansOption", "SplitOption", "SyntheticArgument", "TableOption", "TwoSets",
    "check_folder", "check_options", "read_two", "tell",
]  # fmt: skip
