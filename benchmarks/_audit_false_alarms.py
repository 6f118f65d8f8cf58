"""False alarms: audits of worlds in which nobody is copied."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._audit_bank import bank
from benchmarks._audit_worlds import SIZES, deciding, draw, limits
from medidiff.privacy.copies import tail_count
from medidiff.privacy.judge import judge
from medidiff.privacy.proportions import wilson

WORLDS, MORE, MOST = 200, 2000, 15
"""The demand's worlds; worlds whose rate is reported beside it, the first of which are the demand's."""
BASES = {"null": "new draws", "smooth": "0.85 of the spread"}


def run(quick: bool = False) -> dict[str, Any]:
    """Every kind of world and size."""
    held, rows, thresholds = bank(kinds=()), [], limits()
    number = 20 if quick else MORE
    for base in BASES:
        for size in SIZES:
            rng = np.random.default_rng([11, list(BASES).index(base), *size])
            failed, primary, tail = [], [], []
            for i in range(number):
                world = draw(held, rng, size, base)
                found = judge(deciding(world, thresholds), thresholds)
                failed.append(found.verdict == "FAIL")
                p_values = [f.p_value for f in found.findings if f.role == "primary" and f.p_value is not None]
                primary.append(p_values[0] <= thresholds.alpha_primary)
                if i < WORLDS:
                    count = tail_count(world.sim["pose"], world.real["pose"], world.gallery, thresholds)
                    tail.append((count.p_value or 0) <= thresholds.alpha_primary)
            rows.append(
                {
                    "base": base,
                    "size": size,
                    "fails": int(sum(failed[:WORLDS])),
                    "worlds": min(WORLDS, number),
                    "rate": float(np.mean(failed)),
                    "interval": wilson(int(sum(failed)), number),
                    "of": number,
                    "primary_rate": float(np.mean(primary)),
                    "tail_count_rate": float(np.mean(tail)),
                }
            )
            print(rows[-1], flush=True)
    lines = [
        f"| synthetics | train/holdout | FAIL of {WORLDS} (at most {MOST}) | rate in {MORE} | "
        "label permutation alone | tail count, which decides nothing |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["interval"]
        lines.append(
            f"| {row['base']}: {BASES[row['base']]} | {row['size'][0]}/{row['size'][1]} | {row['fails']} | "
            f"{row['rate']:.1%} ({low:.1%} to {high:.1%}) | {row['primary_rate']:.1%} | {row['tail_count_rate']:.0%} |"
        )
    return {"rows": rows, "holds": not quick and all(row["fails"] <= MOST for row in rows), "lines": lines}
