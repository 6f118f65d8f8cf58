"""What a few evaluations cost in distance, from the same noise, and what a sample takes in seconds."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from benchmarks._synthesis_distance import RealSets, distances
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_settings import Settings
from medidiff.errors import PriorError

EVALUATIONS = (6, 8, 10, 15, 20, 100)
DEFAULT, BEST, WITHIN = 10, 100, 1.1
SECONDS = {"hippocampus": 1.0, "whole head": 3.0}
HEAD_SHAPE, HEAD_SPACING_MM = (40, 48, 40), (4.0, 4.0, 4.0)
_EXTRA = 1  # evaluation of a sample beyond its steps: the first, of D(y; m)


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Sweep the evaluations, then time."""
    settings = settings or Settings()
    real = RealSets(settings)
    evaluations = EVALUATIONS[:3] if quick else EVALUATIONS
    made = {
        n: our_pairs(settings, settings.prior, len(real.test), steps=n - _EXTRA, seed=2, guided=False)
        for n in evaluations
    }
    best = made[max(evaluations)].pairs.images
    typical = float(np.sqrt(((best[:-1] - best[1:]) ** 2).mean()))
    rows = []
    for n, sample in made.items():
        compared = distances(real.compare(sample.pairs.images))
        change = float(np.sqrt(((sample.pairs.images - best) ** 2).mean())) / typical
        rows.append({"evaluations": n, "nfe": sample.nfe, "seconds": sample.seconds, "change": change} | compared)
        print({k: rows[-1][k] for k in ("evaluations", "nfe", "seconds", "change")}, flush=True)
    kinds = list(real.extractors)
    lines = [
        f"| evaluations | {' | '.join(f'MMD^2, {kind}' for kind in kinds)} | change to {max(evaluations)} | CPU s |",
        f"|---|{'---|' * len(kinds)}---|---|",
    ]
    for row in rows:
        values = " | ".join(f"{row[kind]['rbf']['value']:.4f}" for kind in kinds)
        lines.append(f"| {row['nfe']:.0f} | {values} | {row['change']:.1%} | {row['seconds']:.2f} |")
    band = {kind: rows[0][kind]["rbf"]["band"]["high"] for kind in kinds}
    lines += ["", f"{len(best)} samples from the same noise; change: root mean square, of that between two samples."]
    lines += ["Upper end of the band: " + ", ".join(f"{high:.4f} ({kind})" for kind, high in band.items()) + "."]
    timing = _timing(settings)
    lines += [
        "",
        *(
            f"{name}: {t['seconds']:.2f} s a sample on {t['threads']} threads, {t['nfe']} evaluations."
            for name, t in timing.items()
        ),
    ]
    holds = not quick and all(_close(rows, kind, band[kind]) for kind in kinds)
    holds &= all(name in timing and timing[name]["seconds"] < most for name, most in SECONDS.items())
    return {"rows": rows, "timing": timing, "holds": holds, "lines": lines}


def _close(rows: list[dict[str, Any]], kind: str, band: float) -> bool:
    """Whether 10 evaluations are within 10% of 100; the band's upper end is the smallest distance that is told."""
    value = {row["evaluations"]: row[kind]["rbf"]["value"] for row in rows}
    return value[DEFAULT] <= WITHIN * max(value[BEST], band)


def _timing(settings: Settings) -> dict[str, dict[str, Any]]:
    """Seconds of the wall clock of one sample as `medidiff synth --cond` makes it, the median of five."""
    from medidiff.prior import Prior
    from medidiff.tasks.guidance import Guidance, advised
    from medidiff.tasks.sample_maker import SampleMaker

    threads, found = os.cpu_count() or 1, {}
    asked = {
        "hippocampus": (settings.prior, {}),
        "whole head": (settings.brain, {"shape": HEAD_SHAPE, "spacing_mm": HEAD_SPACING_MM}),
    }
    for name, (prior, options) in asked.items():
        try:
            loaded = Prior.load(prior)
            guidance = Guidance(*advised(loaded.card, None, None, asked=True))
            maker = SampleMaker(loaded, device="cpu", threads=threads, guidance=guidance, **options)
        except PriorError as error:
            print(f"{name}: not timed ({error})", flush=True)
            continue
        asked_for = _middle(loaded)
        nfe = maker.make(0, conditions=asked_for).nfe
        times = []
        for index in range(1, 6):
            start = time.perf_counter()
            maker.make(index, conditions=asked_for)
            times.append(time.perf_counter() - start)
        found[name] = {"seconds": float(np.median(times)), "threads": threads, "nfe": nfe, "load": os.getloadavg()[0]}
    return found


def _middle(prior: Any) -> dict[str, float]:
    """The middle of the range of every number that can be asked for."""
    return {name: (slot.low + slot.high) / 2 for name, slot in prior.card.conditions.continuous.items()}
