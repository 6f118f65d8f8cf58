"""What `medidiff audit` does: read the sets, run the audit, write audit.json and the page, tell the verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from medidiff.cli.audit_read import canary_of, check_prior, found_sets, read_sets
from medidiff.cli.audit_report import report_of_set
from medidiff.cli.audit_run_folder import check_list
from medidiff.cli.outcome import emit_json, say, warn
from medidiff.cli.report_folder import check_report_folder, write_report_files
from medidiff.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from medidiff.cohort.scan_set import FoundSet, ScanSet
    from medidiff.prior import Prior
    from medidiff.privacy.audit import Audit
    from medidiff.privacy.report_record import AuditReport
    from medidiff.privacy.thresholds import Thresholds

JSON, PAGE = "audit.json", "audit.html"
_EXIT = {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11}
_LEAST = 10
_MOST_PAIRS = 10


@dataclass(frozen=True)
class Wanted:
    """What was asked for, see `medidiff audit --help`."""

    folder: Path | None
    train: str
    holdout: str
    prior: str | None
    output: Path
    reference: str | None
    table: Path | None
    thresholds: Path | None
    run: Path | None
    internal: bool
    machine: Mapping[str, Any]


def plan_words(patients: int, samples: int, thresholds: Path | None, as_json: bool) -> str:
    """What an audit with so many patients could show, for several ways to split them.

    Raises:
        UsageError: Too few patients, or no sample.
    """
    import json

    from medidiff.privacy.plan import plan

    if patients < _LEAST:
        raise UsageError(f"--plan {patients}: must be {_LEAST} or more patients, 5 on each side.")
    if samples < 1:
        raise UsageError(f"--samples {samples}: must be 1 or more.")
    limits = read_thresholds(thresholds)
    shares = (0.25, 1 / 3, 0.5)
    sizes = dict.fromkeys(max(5, round(patients * share)) for share in shares)
    plans = [plan(patients - held, held, samples, limits) for held in sizes]
    if as_json:
        return json.dumps({"status": "planned", "exit_code": 0, "plans": [one.to_dict() for one in plans]}, indent=2)
    return "\n\n".join(one.words for one in plans)


def read_thresholds(path: Path | None) -> Thresholds:
    """Of a YAML file, or the defaults.

    Raises:
        ConfigError: The file cannot be read or has an unknown key or value.
    """
    from medidiff.privacy.thresholds import Thresholds

    if path is None:
        return Thresholds()
    import yaml
    from pydantic import ValidationError

    try:
        return Thresholds.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--thresholds {path}: cannot be read ({error}). See configs/audit.yaml.") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        known = f" Known: {', '.join(Thresholds.model_fields)}." if first["type"] == "extra_forbidden" else ""
        raise ConfigError(f"--thresholds {path}: {place}: {first['msg']}.{known} See configs/audit.yaml.") from error


def run(wanted: Wanted, *, overwrite: bool, as_json: bool) -> None:
    """Audit, write, tell, and end with the verdict's exit code."""
    thresholds = read_thresholds(wanted.thresholds)
    check_report_folder(wanted.output, (JSON, PAGE), overwrite)
    prior = _prior(wanted.prior)
    if wanted.folder is None:
        from medidiff.cli.audit_prior_run import audit_of_prior

        report = audit_of_prior(wanted, cast("Prior", prior), thresholds)
        _write(wanted, report, None, (1.0, 1.0, 1.0))
        return _tell(wanted, report, as_json)
    sets = found_sets(wanted, wanted.folder)
    check_prior(wanted.folder, prior)
    listed = check_list(wanted.run, prior, sets[1])
    synthetic, train, holdout, reference = read_sets(sets)
    for text in dict.fromkeys((*train.warnings, *holdout.warnings, *(reference.warnings if reference else ()))):
        warn(text)
    audit, subgroups = _audit(wanted, thresholds, prior, sets[1:3], (synthetic, train, holdout, reference))
    _name_pairs(audit, train, holdout)
    report = report_of_set(wanted, thresholds, prior, audit, (train, holdout, reference), subgroups, listed)
    _write(wanted, report, audit, synthetic.spacing_mm)
    return _tell(wanted, report, as_json)


def _prior(name: str | None) -> Prior | None:
    if name is None:
        return None
    from medidiff.prior import Prior

    return Prior.load(name)


def _audit(
    wanted: Wanted,
    thresholds: Thresholds,
    prior: Prior | None,
    found: Sequence[FoundSet],
    sets: tuple[ScanSet, ScanSet, ScanSet, ScanSet | None],
) -> tuple[Audit, dict[str, Any]]:
    import torch

    from medidiff.cli.audit_subgroups import subgroup_figures
    from medidiff.privacy.audit import run_audit

    if wanted.machine["threads"] is not None:
        torch.set_num_threads(wanted.machine["threads"])
    synthetic, train, holdout, reference = sets
    spaces, white_box = ([], None) if prior is None else asked(wanted, prior, found, train.spacing_mm, thresholds)
    audit = run_audit(
        synthetic,
        train,
        holdout,
        thresholds,
        reference=reference,
        more_spaces=spaces,
        white_box=white_box,
        progress=_Told(),
    )
    return audit, subgroup_figures(synthetic, train, holdout)


def asked(
    wanted: Wanted,
    prior: Prior,
    found: Sequence[FoundSet],
    spacing_mm: tuple[float, float, float],
    thresholds: Thresholds,
) -> tuple[list[tuple[str, Any]], Callable[[Any], Any]]:
    """What the prior itself adds, asked about the scans of train and holdout; see `privacy.of_prior`."""
    from medidiff.privacy.of_prior import asked_of_prior

    told = _Told()
    return asked_of_prior(
        prior,
        found,
        spacing_mm,
        thresholds,
        canary=canary_of(wanted),
        device=wanted.machine["device"],
        precision=wanted.machine["precision"],
        progress=lambda done, of: told("white box", done, of),
    )


def _name_pairs(audit: Audit, train: ScanSet, holdout: ScanSet) -> None:
    """Who looks like one person under two names: on the terminal, where files may be named, and in no report."""
    from medidiff.privacy.identity import same_pairs

    names = [*(f"{name} (train)" for name in train.names), *(f"{name} (holdout)" for name in holdout.names)]
    order = audit.subjects.order
    if order is None:
        return
    for i, j in same_pairs(audit.main.real, audit.subjects.gallery)[:_MOST_PAIRS]:
        warn(f"{names[order[i]]} and {names[order[j]]} look like one person under two names (in no report)")


class _Told:
    """Progress in quarters: an audit takes minutes."""

    def __init__(self) -> None:
        self.last = ("", -1)

    def __call__(self, what: str, done: int, of: int) -> None:
        quarter = 4 * done // max(of, 1)
        if (what, quarter) != self.last and (quarter in (2, 4) or of >= 100):
            say(f"{what}: {done} of {of} compared")
        self.last = (what, quarter)


def _write(wanted: Wanted, report: AuditReport, audit: Audit | None, spacing_mm: tuple[float, float, float]) -> None:
    from medidiff.cli.audit_pictures import pictures_of
    from medidiff.report.audit_card import audit_card
    from medidiff.report.audit_page import audit_page

    pictures, matches = ({}, {}) if audit is None else pictures_of(report, audit, spacing_mm, internal=wanted.internal)
    name = wanted.folder.name if wanted.folder is not None else f"the prior {wanted.prior}"
    page = audit_page(report, pictures, matches, name)
    write_report_files(wanted.output, {PAGE: page, "audit_card.md": audit_card(report), JSON: report.to_json()})


def _tell(wanted: Wanted, report: AuditReport, as_json: bool) -> None:
    code = _EXIT[report.verdict]
    look = [note.file for note in report.worst_samples if note.why.startswith("FLAGGED")]
    where = {"json": str(wanted.output / JSON), "page": str(wanted.output / PAGE)}
    if as_json:
        told = {"verdict": report.verdict, "words": report.words, "needed": report.needed, "look_first_at": look}
        emit_json({"status": "audited", "exit_code": code, **told, **where})
    else:
        typer.echo(f"{report.verdict}: {report.words}")
        if look:
            typer.echo(f"Look first at: {', '.join(look)}.")
        say(f"page: {wanted.output / PAGE}")
    if code:
        raise typer.Exit(code)


__all__ = ["Wanted", "plan_words", "read_thresholds", "run"]
