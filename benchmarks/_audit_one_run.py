"""The one-run bound on Gaussian mechanisms whose epsilon is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import optimize, stats

from medidiff.privacy.one_run import guesses, one_run_bound

CANARIES, RUNS, DELTA = 1000, 500, 1e-5
REACHED = {1.0: 0.2, 2.0: 0.3, 4.0: 0.3, 8.0: 0.3}
"""True epsilon -> share of it that the mean bound must reach."""
MOST_ABOVE = 0.05


def noise_of(epsilon: float, delta: float) -> float:
    """Noise of the Gaussian mechanism of sensitivity 1 that is exactly (epsilon, delta).

    Source: Balle and Wang 2018, Theorem 8.
    """

    def excess(s: float) -> float:
        lost = np.exp(epsilon) * stats.norm.cdf(-0.5 / s - epsilon * s)
        return float(stats.norm.cdf(0.5 / s - epsilon * s) - lost - delta)

    return float(optimize.root_scalar(excess, bracket=(0.05, 50)).root)


def run(quick: bool = False) -> dict[str, Any]:
    """Bounds of many runs at each epsilon, with the delta that the mechanism was made for."""
    rows, made = [], 0
    for epsilon, share in REACHED.items():
        rng, sigma = np.random.default_rng([17, int(epsilon)]), noise_of(epsilon, DELTA)
        bounds = []
        for _ in range(20 if quick else RUNS):
            coins = rng.random(CANARIES) < 0.5
            right, made = guesses(coins + sigma * rng.normal(size=CANARIES), coins)
            bounds.append(one_run_bound(right, made, CANARIES, DELTA))
        above = float(np.mean(np.array(bounds) > epsilon))
        rows.append(
            {"epsilon": epsilon, "noise": sigma, "mean": float(np.mean(bounds)), "above": above}
            | {"reached": float(np.mean(bounds)) / epsilon, "demanded": share}
        )
    lines = [
        f"| true epsilon (delta {DELTA:g}) | mean bound | of the truth | runs above the truth |",
        "|---|---|---|---|",
        *(f"| {r['epsilon']:g} | {r['mean']:.2f} | {r['reached']:.2f} | {r['above']:.1%} |" for r in rows),
        "",
        f"{CANARIES} canaries, {RUNS} runs each, the {made} outermost guessed.",
    ]
    holds = all(r["reached"] >= r["demanded"] and r["above"] <= MOST_ABOVE for r in rows)
    return {"rows": rows, "holds": holds, "lines": lines}
