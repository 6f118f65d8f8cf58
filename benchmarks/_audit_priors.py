"""Every shipped prior audited with its real split, by the commands that a user types; published whatever it says.

Needs the stores that configs/ name, made by `medidiff prepare` from real scans; a prior whose store is absent is left
out, and said to be. Samples and audits stay in .work/audit/priors, which a run goes on with.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medidiff.prior import Prior
from medidiff.privacy.report_record import AuditReport, read_audit

ROOT = Path(".work/audit/priors")


@dataclass(frozen=True)
class Case:
    """One prior, the store with its train and holdout patients, and what is sampled."""

    prior: str
    store: str
    samples: int
    conditions: tuple[str, ...] = ()


CASES = (
    Case("hippocampus", "runs/stores/hippocampus", 1300, ("volume_ml=p0:p100",)),
    Case("brain", "runs/stores/ixi_4mm", 2000, ("age_years=p0:p100",)),
    Case("general", "runs/stores/hippocampus", 0),
)
"""`general` denoises: it is asked whom it has seen, of one of the sets it was trained on, and samples nothing."""


def run(quick: bool = False) -> dict[str, Any]:
    """Sample, audit, tell."""
    found: dict[str, AuditReport] = {}
    absent = []
    for case in CASES:
        if not (Path(case.store) / "store.json").is_file():
            absent.append(case)
            continue
        found[case.prior] = audited(case, quick)
    lines = [
        "| prior | samples | train / holdout patients | main test p | copies at most | AUC of the loss | verdict |",
        "|---|---|---|---|---|---|---|",
        *(row(name, report) for name, report in found.items()),
        "",
        *(f"- {name}: {report.words}" for name, report in found.items()),
        *(f"- {case.prior}: not audited here, there is no {case.store}." for case in absent),
    ]
    figures = {name: summary(report) for name, report in found.items()}
    return {"holds": not absent, "lines": lines, "figures": figures}


def audited(case: Case, quick: bool = False) -> AuditReport:
    """The audit of one prior, made now or before."""
    prior = Prior.load(case.prior)
    root = ROOT / f"{prior.card.name}-{prior.content_hash[:12]}{'-quick' if quick else ''}"
    folder = root / "set"
    if case.samples:
        wanted = [option for text in case.conditions for option in ("--cond", text)]
        count = 20 if quick else case.samples
        medidiff("synth", "-p", case.prior, "-n", str(count), "-o", str(folder), "--threads", "1", *wanted)
    if not (root / "audit" / "audit.json").is_file():
        sets = [str(folder)] if case.samples else []
        sides = ["--train", case.store, "--holdout", case.store, "--prior", case.prior]
        medidiff("audit", *sets, *sides, "-o", str(root / "audit"), "--threads", "1", accepted=(0, 10, 11))
    return read_audit(root / "audit" / "audit.json")


def medidiff(*arguments: str, accepted: tuple[int, ...] = (0, 4)) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medidiff", *arguments], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode not in accepted:
        raise SystemExit(f"medidiff {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}")


def row(name: str, report: AuditReport) -> str:
    """A line of the table."""
    told = summary(report)
    shown = [name, str(report.samples), f"{told['train_patients']} / {told['holdout_patients']}"]
    shown += ["" if told["main_p"] is None else f"{told['main_p']:.4f}"]
    shown += ["" if told["copies_at_most"] is None else f"{told['copies_at_most']:.1%}"]
    shown += ["" if told["white_box_auc"] is None else f"{told['white_box_auc']:.2f} (p {told['white_box_p']:.4f})"]
    return f"| {' | '.join([*shown, report.verdict])} |"


def summary(report: AuditReport) -> dict[str, Any]:
    """What a card says of an audit, JSON types."""
    main = next((f for f in report.findings if f.test == "label permutation" and not f.stratum), None)
    rate = next((f for f in report.findings if f.test == "copy rate" and not f.stratum), None)
    loss = next((f for f in report.findings if f.test == "white-box loss"), None)
    return {
        "verdict": report.verdict,
        "words": report.words,
        "needed": dict(report.needed),
        "samples": report.samples,
        "train_patients": report.references["train_patients"],
        "holdout_patients": report.references["holdout_patients"],
        "main_p": None if main is None else main.p_value,
        "copies_at_most": None if rate is None else rate.figures.get("bound"),
        "white_box_auc": None if loss is None else loss.statistic,
        "white_box_p": None if loss is None else loss.p_value,
        "prior_hash": report.prior_hash,
        "date": f"{report.created:%Y-%m-%d}",
        "command": "python -m benchmarks.audit priors",
    }
