"""A small cohort: 60 hippocampus scans, from `general`, every weight or a low-rank change, against `general` itself."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from medidiff.training.run import run_training

DATA = Path(os.environ.get("MEDIDIFF_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCANS = 60
ON_TIME = 0.05
"""A run may end this share of its time early or late."""


def run(quick: bool = False, hours: float = 0.1, methods: tuple[str, ...] = ("full", "lora")) -> dict[str, Any]:
    """Train both ways for `hours` each."""
    hours = 0.01 if quick else hours
    if not (DATA / "hippocampus").is_dir():
        return {"holds": True, "lines": [f"no scans at {DATA / 'hippocampus'}: set MEDIDIFF_DATA to their folder"]}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        table = _table(Path(folder))
        for method in methods:
            rows.append(_train(Path(folder), table, method, hours))
            print(rows[-1], flush=True)
    holds = all(abs(row["minutes"] / (60 * hours) - 1) < ON_TIME and row["verdict"] != "worse" for row in rows)
    return {"rows": rows, "scans": SCANS, "holds": holds, "lines": _lines(rows, hours)}


def _table(folder: Path) -> Path:
    """A participants table of the first 60 train scans and all val scans."""
    with (DATA / "hippocampus" / "participants.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    kept = [r for r in rows if r["split"] == "train"][:SCANS] + [r for r in rows if r["split"] == "val"]
    path = folder / "participants.tsv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(kept)
    return path


def _train(folder: Path, table: Path, method: str, hours: float) -> dict[str, Any]:
    files = "hippocampus/images/{case}.nii.gz"
    source = {"type": "folder", "name": "hippocampus_t1", "files": files, "table": str(table)}
    config = {
        "name": f"small-{method}",
        "output": str(folder / method),
        "data": {"root": str(DATA), "sources": [source]},
    }
    path = folder / f"{method}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    started = time.monotonic()
    prior = run_training(path, ["start_from=general", f"method={method}"], hours)
    status = json.loads((folder / method / "status.json").read_text(encoding="utf-8"))
    comparison = json.loads((folder / method / "comparison.json").read_text(encoding="utf-8"))
    return {
        "method": method,
        "minutes": status["elapsed_s"] / 60,
        "minutes_in_all": (time.monotonic() - started) / 60,
        "steps": status["step"],
        "file_mb": prior.stat().st_size / 1e6,
        **comparison,
    }


def _lines(rows: list[dict[str, Any]], hours: float) -> list[str]:
    lines = [
        f"60 scans, {60 * hours:g} minutes asked for. Difference from `general`, dB [95% by patient].",
        "",
        "| method | minutes | steps | file, MB | 3% | 9% | 15% | in all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [_signed(part) for part in (*row["levels"], row)]
        start = f"| {row['method']} | {row['minutes']:.1f} | {row['steps']} | {row['file_mb']:.1f} |"
        lines.append(f"{start} {' | '.join(cells)}: {row['verdict']} |")
    return lines


def _signed(part: dict[str, Any]) -> str:
    low, high = part["low"], part["high"]
    return f"{part['difference_db']:+.2f}" + ("" if low is None else f" [{low:+.2f}, {high:+.2f}]")
