"""The price of the noise map: the shipped recipe against one that only ever sees constant levels.

Same network, seeds, patches, steps and levels; only `noise.p_constant` differs (configs/general.yaml's, and 1). Both
are then judged where the constant recipe is at home: constant white noise on procedural volumes that neither saw.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from medidiff.intensity import Normalisation
from medidiff.phantoms.procedural import procedural_volume
from medidiff.prior import Prior
from medidiff.training.run import run_training

CONFIG = Path(__file__).parents[1] / "configs" / "general.yaml"
PERCENT = (3.0, 9.0, 15.0)
TARGET_DB = 0.1
TEST_SEED = 900_000
T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}  # Student, two-sided 95%, by degrees of freedom


def run(quick: bool = False, seeds: int = 3, steps: int = 4000, volumes: int = 24) -> dict[str, Any]:
    """Train pairs and compare; `quick` only shows that it works (its figure means nothing)."""
    if quick:
        seeds, steps, volumes = 2, 12, 3
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            priors, hours = {}, {}
            for name in ("map", "constant"):
                priors[name], hours[name] = _train(Path(folder), name, seed, steps)
            for percent in PERCENT:
                psnr = {name: _psnr(prior, percent, volumes) for name, prior in priors.items()}
                rows.append(
                    {
                        "seed": seed,
                        "percent": percent,
                        "psnr_map": float(psnr["map"].mean()),
                        "psnr_constant": float(psnr["constant"].mean()),
                        "price_db": float((psnr["constant"] - psnr["map"]).mean()),
                        "volumes": volumes,
                        "steps": steps,
                        "time_ratio": hours["map"] / hours["constant"],
                    }
                )
                print(rows[-1], flush=True)
    return _summary(rows)


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    lines = ["| noise | constant recipe, dB | noise-map recipe, dB | price, dB [95% over seeds] |", "|---|---|---|---|"]
    prices = {}
    for percent in PERCENT:
        own = [row for row in rows if row["percent"] == percent]
        price, half = _interval([row["price_db"] for row in own])
        prices[percent] = price
        constant, mapped = (np.mean([row[k] for row in own]) for k in ("psnr_constant", "psnr_map"))
        interval = f"[{price - half:.3f}, {price + half:.3f}]"
        lines.append(f"| {percent:g}% | {constant:.2f} | {mapped:.2f} | {price:+.3f} {interval} |")
    seeds = sorted({row["seed"] for row in rows})
    mean, half = _interval([float(np.mean([r["price_db"] for r in rows if r["seed"] == s])) for s in seeds])
    ratio = float(np.mean([row["time_ratio"] for row in rows]))
    lines.append(
        f"\nAll levels: {mean:+.3f} dB [{mean - half:.3f}, {mean + half:.3f}], {len(seeds)} pairs of seeds, "
        f"{rows[0]['steps']} steps each; a step of the noise-map recipe takes {ratio:.2f} times as long."
    )
    holds = max(prices.values()) <= TARGET_DB
    return {"rows": rows, "price_db": mean, "price_db_half_width": half, "holds": holds, "lines": lines}


def _interval(values: list[float]) -> tuple[float, float]:
    """Mean and the half-width of its 95% interval; infinite for one value."""
    n = len(values)
    half = T_975.get(n - 1, 2.0) * float(np.std(values, ddof=1)) / np.sqrt(n) if n > 1 else float("inf")
    return float(np.mean(values)), half


def _train(folder: Path, name: str, seed: int, steps: int) -> tuple[Prior, float]:
    shipped = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["noise"]
    config = {
        "name": "price",
        "output": str(folder / f"{name}-{seed}"),
        "seed": seed,
        "validate_every": max(steps, 2),
        "checkpoint_minutes": 60,
        "log_every": 500,
        "data": {
            "patch": [32, 32, 32],
            "sources": [{"type": "procedural", "volumes": 200, "size": 96, "seed": 1000}],
        },
        "network": {"widths": [32, 64, 96], "blocks": [2, 2, 2]},
        "noise": {**shipped, "p_coloured": 0.0, "p_constant": 1.0 if name == "constant" else shipped["p_constant"]},
        "optimiser": {"batch": 4, "steps": steps},
    }
    path = folder / f"{name}-{seed}.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    started = time.process_time()  # what other programs do on the machine does not count
    prior = Prior.load(run_training(path, []))
    return prior, (time.process_time() - started) / 3600


@torch.inference_mode()
def _psnr(prior: Prior, percent: float, volumes: int) -> np.ndarray:
    """PSNR in dB of each test volume (its middle 64^3), the range of normalised scans being 2."""
    denoiser = prior.denoiser(device="cpu", precision="float32")
    sigma, out = percent / 100 * 2, []
    for i in range(volumes):
        raw = procedural_volume((64, 64, 64), TEST_SEED + i)
        clean = torch.from_numpy(Normalisation.fit(raw).forward(raw)).float()[None, None]
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(i))
        mean = denoiser(clean + sigma * noise, torch.tensor(sigma), None, None).mean
        out.append(10 * np.log10(4 / float(((mean - clean) ** 2).mean())))
    return np.array(out)
