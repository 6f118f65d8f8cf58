"""A prior that was made to copy (benchmarks/hippocampus_overfit.yaml): eight patients, learned by heart. It must FAIL.

Members are the eight; the others are train patients of the set that this prior has not seen, so that no holdout patient
is touched. The prior is made by `medidiff train benchmarks/hippocampus_overfit.yaml` (10 minutes of a core).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks._audit_priors import ROOT, medidiff, row, summary
from medidiff.errors import InputError
from medidiff.prior import Prior
from medidiff.privacy.report_record import read_audit

CONFIG = Path("benchmarks/hippocampus_overfit.yaml")
DATA = Path("../shared/data/hippocampus")
SAMPLES, STRANGERS, SEED = 200, 43, 20261122


def run(quick: bool = False) -> dict[str, Any]:
    """Sample, audit by the commands that a user types, demand FAIL."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    weights = Path(config["output"]) / f"{config['name']}.safetensors"
    if not weights.is_file() or not DATA.is_dir():
        raise InputError(f"{weights} or {DATA} is absent: run `medidiff train {CONFIG}` where the real scans are.")
    members = set(config["data"]["sources"][0]["where"]["patient"])
    root = ROOT / f"overfit8-{Prior.load(weights).content_hash[:12]}{'-quick' if quick else ''}"
    root.mkdir(parents=True, exist_ok=True)
    table = root / "participants.tsv"
    table.write_text(_table(members), encoding="utf-8")
    count = 20 if quick else SAMPLES
    medidiff("synth", "-p", str(weights), "-n", str(count), "-o", str(root / "set"), "--threads", "1")
    if not (root / "audit" / "audit.json").is_file():
        images = str(DATA / "images")
        sides = ["--train", images, "--holdout", images, "--table", str(table), "--prior", str(weights)]
        medidiff("audit", str(root / "set"), *sides, "-o", str(root / "audit"), "--threads", "1", accepted=(0, 10, 11))
    report = read_audit(root / "audit" / "audit.json")
    lines = [
        "| prior | samples | train / holdout patients | main test p | copies at most | AUC of the loss | verdict |",
        "|---|---|---|---|---|---|---|",
        row("overfit8", report),
        "",
        report.words,
    ]
    return {"holds": report.verdict == "FAIL", "lines": lines, "figures": summary(report)}


def _table(members: set[str]) -> str:
    """Members as train, strangers from the set's own train as holdout; nobody else is named."""
    with (DATA / "participants.tsv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "train"]
    others = sorted({row["patient"] for row in rows} - members)
    chosen = set(np.random.default_rng(SEED).choice(others, STRANGERS, replace=False).tolist())
    lines = ["case\tpatient\tsplit"]
    for one in rows:
        if one["patient"] in members | chosen:
            lines.append(f"{one['case']}\t{one['patient']}\t{'train' if one['patient'] in members else 'holdout'}")
    return "\n".join(lines) + "\n"
