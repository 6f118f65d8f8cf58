"""Power: audits of worlds in which a share of the synthetics are copies of train scans, under each transform."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from benchmarks._audit_bank import STRONG, bank
from benchmarks._audit_worlds import MIXED, SIZES, draw, judged, limits, verdict
from medidiff.privacy.thresholds import TRANSFORMS

WORLDS = 100
RATES = (0.02, 0.05, 0.1)
DEMANDS = {((100, 100), 0.05): 0.9, ((100, 50), 0.1): 0.95, ((100, 100), 0.1): 0.95}
"""(train, holdout), copies -> share of worlds that must FAIL under every transform that is visible."""


def run(quick: bool = False) -> dict[str, Any]:
    """Every transform, rate and size; then worlds without a copy."""
    held, rows = bank(), []
    worlds = 5 if quick else WORLDS
    cells = [(kind, rate, size) for kind in (*TRANSFORMS, MIXED, STRONG) for rate in RATES for size in SIZES]
    cells += [("none", 0.0, size) for size in SIZES]
    for kind, rate, size in cells:
        rng = np.random.default_rng([13, len(rows)])
        thresholds = limits("exact" if kind == "none" else kind)
        found: Counter[str] = Counter()
        visible, needed = [], []
        for i in range(worlds):
            world = draw(held, rng, size, "null", "exact" if kind == "none" else kind, rate)
            said = verdict(world, thresholds)
            if i == 0:  # the shortcut and the whole battery agree; what the controls say of this transform
                whole = judged(world, thresholds)
                assert whole.verdict == said
                visible = [bool(f.figures["visible"]) for f in whole.findings if f.figures.get("transform") == kind]
                needed = [whole.needed] if whole.needed else []
            found[said] += 1
        rows.append(
            {"kind": kind, "rate": rate, "size": size, "visible": all(visible), "worlds": worlds}
            | {name.lower(): found[name] / worlds for name in ("FAIL", "INCONCLUSIVE", "PASS")}
            | {"needed": needed[0] if needed else {}}
        )
        print(rows[-1], flush=True)
    return {"rows": rows, "holds": not quick and _holds(rows), "lines": _lines(rows)}


def _holds(rows: list[dict[str, Any]]) -> bool:
    enough = all(
        row["fail"] >= DEMANDS.get((row["size"], row["rate"]), 0.0) for row in rows if row["visible"] and row["rate"]
    )
    return enough and all(row["pass"] == 0 for row in rows if not row["visible"])


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    heads = [f"{rate:.0%}, {m}/{h}" for rate in RATES for m, h in SIZES]
    lines = [f"| copies | seen | {' | '.join(heads)} |", f"|---|---|{'---|' * len(heads)}"]
    for kind in dict.fromkeys(row["kind"] for row in rows if row["rate"]):
        own = {(row["rate"], row["size"]): row for row in rows if row["kind"] == kind}
        cells = [_cell(own[rate, size]) for rate in RATES for size in SIZES]
        seen = "yes" if all(row["visible"] for row in own.values()) else "BLIND"
        lines.append(f"| {kind} | {seen} | {' | '.join(cells)} |")
    none = " | ".join(_cell(row) for row in rows if not row["rate"])
    lines += [
        "",
        f"Percent of {rows[0]['worlds']} worlds: FAIL / INCONCLUSIVE / PASS. Heads: copies among 200 synthetics, "
        "train/holdout.",
        f"Without a copy ({', '.join(f'{m}/{h}' for m, h in SIZES)}): {none}.",
    ]
    return lines


def _cell(row: dict[str, Any]) -> str:
    return " / ".join(f"{100 * row[name]:.0f}" for name in ("fail", "inconclusive", "pass"))
