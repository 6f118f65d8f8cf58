"""Power: audits of worlds in which a share of the synthetics are copies of train scans, under each transform."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from benchmarks._audit_bank import STRONG, Bank, bank
from benchmarks._audit_worlds import MIXED, SIZES, draw, fails, judged, limits
from medidiff.privacy.thresholds import TRANSFORMS

WORLDS, WHOLE = 100, 20
"""Worlds of a cell; those that do not FAIL and are put through the whole battery, controls, sensitivity and bound."""
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
        rows.append({"kind": kind, "rate": rate, "size": size, **_cell_of(held, rng, kind, rate, size, worlds)})
        print(rows[-1], flush=True)
    return {"rows": rows, "holds": not quick and _holds(rows), "lines": _lines(rows)}


def _cell_of(
    held: Bank, rng: np.random.Generator, kind: str, rate: float, size: tuple[int, int], worlds: int
) -> dict[str, Any]:
    """Shares of the verdicts. A FAIL is known from the deciding tests; the first world is judged both ways."""
    planted = "exact" if kind == "none" else kind
    thresholds, found, failed, by_p, visible = limits(planted), Counter(), 0, 0, True
    for i in range(worlds):
        world = draw(held, rng, size, "null", planted, rate)
        fail, fail_by_p = fails(world, thresholds)
        failed += fail
        by_p += fail_by_p
        if i > 0 and (fail or sum(found.values()) >= WHOLE):
            continue
        whole = judged(world, thresholds)
        assert (whole.verdict == "FAIL") == fail
        if not fail:
            found[whole.verdict] += 1
        visible &= all(f.figures["visible"] for f in whole.findings if f.figures.get("transform") == kind)
    share, judged_whole = failed / worlds, max(1, sum(found.values()))
    quiet = {name: (1 - share) * found[name.upper()] / judged_whole for name in ("inconclusive", "pass")}
    return {
        "fail": share,
        "fail_by_p_value": by_p / worlds,
        **quiet,
        "visible": visible,
        "worlds": worlds,
        "whole": dict(found),
    }


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
        f"Percent of {rows[0]['worlds']} worlds: FAIL / INCONCLUSIVE / PASS (the last two from {WHOLE} whole audits). "
        "Heads: copies among 200 synthetics, train/holdout. In brackets: FAIL by the tests that have a p-value, as if "
        "no synthetic had been recognised as a patient's very scan.",
        f"Without a copy ({', '.join(f'{m}/{h}' for m, h in SIZES)}): {none}.",
    ]
    return lines


def _cell(row: dict[str, Any]) -> str:
    shown = " / ".join(f"{100 * row[name]:.0f}" for name in ("fail", "inconclusive", "pass"))
    return shown if row["fail"] == row["fail_by_p_value"] else f"{shown} ({100 * row['fail_by_p_value']:.0f})"
