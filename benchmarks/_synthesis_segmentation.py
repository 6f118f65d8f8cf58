"""Trained on synthetic pairs, tested on real patients: Dice of the same net trained on real, synthetic, or both."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._synthesis_data import Pairs, real_pairs
from benchmarks._synthesis_intervals import patient_bootstrap, shown
from benchmarks._synthesis_samples import our_pairs
from benchmarks._synthesis_segmentation_net import dice, patient_means, segment, trained_net
from benchmarks._synthesis_settings import Settings

SHARE = 0.95
"""Of the real-trained Dice that synthetic pairs must reach."""


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Train three nets a seed with equal steps and judge them on test patients."""
    settings = settings or Settings()
    real, test = real_pairs(settings.store, "train"), real_pairs(settings.store, settings.test)
    made = our_pairs(settings, settings.prior, settings.count).pairs
    found = {
        "real": dice_by_patient(settings, [real], test),
        "synthetic": dice_by_patient(settings, [made], test),
        "both": dice_by_patient(settings, [real, made], test),
    }
    mean = {name: scores.mean(axis=0) for name, scores in found.items()}
    ratio = patient_bootstrap(lambda a, b: a / b, mean["synthetic"], mean["real"])
    gain = patient_bootstrap(lambda a, b: a - b, mean["both"], mean["real"])
    pairs = {"real": len(real), "synthetic": len(made), "both": len(real) + len(made)}
    rows, lines = dice_table(found, pairs)
    lines += [
        "",
        f"Synthetic over real: {shown(ratio)} (at least {SHARE}). Both minus real: {shown(gain, 4, sign=True)} (not "
        f"below 0). {settings.net_steps} steps of 4 windows for every net; both: half of every batch each.",
    ]
    holds = ratio[0] >= SHARE and gain[0] >= 0
    return {"rows": rows, "ratio": ratio, "gain": gain, "steps": settings.net_steps, "holds": holds, "lines": lines}


def dice_by_patient(settings: Settings, pools: list[Pairs], test: Pairs) -> np.ndarray:
    """Dice of nets trained on the pools, (seeds, patients)."""
    scores = []
    for seed in range(settings.seeds):
        net, spent = trained_net(settings, pools, seed)
        scores.append(patient_means(dice(segment(net, test.images), test.masks), test.patients))
        print(f"{'+'.join(str(len(p)) for p in pools)} pairs, seed {seed}: {spent.seconds:.0f} s", flush=True)
    return np.stack(scores)


def dice_table(found: dict[str, np.ndarray], pairs: dict[str, int]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and lines of Dice by what a net was trained on."""
    patients = next(iter(found.values())).shape[1]
    lines = [f"| trained on | pairs | Dice, {patients} patients [95%] | by seed |", "|---|---|---|---|"]
    rows = []
    for name, scores in found.items():
        interval = patient_bootstrap(lambda a: a, scores.mean(axis=0))
        seeds = scores.mean(axis=1).tolist()
        rows.append({"trained_on": name, "pairs": pairs[name], "dice": interval, "by_seed": seeds})
        lines.append(f"| {name} | {pairs[name]} | {shown(interval)} | {', '.join(f'{s:.3f}' for s in seeds)} |")
    return rows, lines
