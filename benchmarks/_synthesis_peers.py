"""Ours and three peers, trained on the same scans for the same time on one core: distance, Dice, time, stability."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from benchmarks._synthesis_data import Pairs, made_pairs, real_pairs
from benchmarks._synthesis_distance import RealSets, distances, fold
from benchmarks._synthesis_peer import Peer
from benchmarks._synthesis_peer_ddpm import train_ddpm
from benchmarks._synthesis_peer_gan import train_gan
from benchmarks._synthesis_peer_vae import train_vae
from benchmarks._synthesis_samples import kept_samples, our_pairs
from benchmarks._synthesis_segmentation_net import dice, patient_means, segment, trained_net
from benchmarks._synthesis_settings import Settings, key
from benchmarks._synthesis_train import Budget
from medidiff.prior import Prior
from medidiff.tasks.sample_maker import label_map

PEERS: dict[str, Peer] = {"MONAI DDPM": train_ddpm, "MONAI AutoencoderKL": train_vae, "3D GAN": train_gan}
OURS, AHEAD = "medidiff", 2.0
_CHANNELS = ("image", "mask:1", "mask:2")


def run(quick: bool = False, settings: Settings | None = None) -> dict[str, Any]:
    """Every contestant and seed in turn; what is in the cache is not done again."""
    settings = settings or Settings()
    real = RealSets(settings)
    entries = [(OURS, seed) for seed in range(len(settings.ours))]
    entries += [(name, seed) for name in PEERS for seed in range(settings.seeds)]
    rows = []
    for name, seed in entries:
        count = max(settings.peer_samples, settings.peer_pairs if seed == 0 else 0)
        found = _ours(settings, settings.ours[seed], count) if name == OURS else _peer(settings, name, seed, count)
        pairs: Pairs = found.pop("pairs")
        compared = distances(real.compare(pairs.images[: settings.peer_samples]))
        row = {"name": name, "seed": seed, **found, "distance": compared}
        if seed == 0 and pairs.masks.any():
            row["dice"] = _dice(settings, pairs.take(slice(0, settings.peer_pairs)))
        rows.append(row)
        print(f"{name}, seed {seed}: { ({k: v['rbf']['value'] for k, v in compared.items()}) }", flush=True)
    return _summary(rows, settings)


def _peer(settings: Settings, name: str, seed: int, count: int) -> dict[str, Any]:
    train = real_pairs(settings.store, "train")
    budget = Budget(settings.peer_steps, None if settings.peer_steps else settings.peer_minutes)
    slug = f"{key(name, budget.steps, budget.cpu_minutes, train.images)}-{seed}"
    sampler, spent = PEERS[name](train, budget, seed, settings.folder("peers") / f"{slug}.pt")

    def draw(index: int) -> dict[str, np.ndarray]:
        before = time.process_time()
        channels = sampler.sample(int(np.random.SeedSequence([seed, index]).generate_state(1)[0])).numpy()
        took = np.array(time.process_time() - before)
        mask = label_map(channels, _CHANNELS)
        return {"image": channels[0].astype(np.float16), "mask": np.asarray(mask), "seconds": took}

    torch.set_num_threads(1)
    made = kept_samples(settings.folder("peers", slug), count, draw)
    pairs = made_pairs(np.nan_to_num(made["image"].astype(np.float32)), made["mask"])
    cost = {"nfe": sampler.nfe, "sample_seconds": float(made["seconds"].mean()), "note": sampler.note}
    return cost | {"pairs": pairs, "train_minutes": spent.seconds / 60, "train_steps": spent.steps}


def _ours(settings: Settings, prior: str, count: int) -> dict[str, Any]:
    made = our_pairs(settings, prior, count, steps=settings.sample_steps)
    record = Prior.load(prior).card.training
    return {
        "pairs": made.pairs,
        "nfe": made.nfe,
        "sample_seconds": made.seconds,
        "train_minutes": 60 * record.hours,
        "train_steps": record.steps,
        "note": f"2M, {settings.sample_steps} steps",
    }


def _dice(settings: Settings, pairs: Pairs) -> float:
    """Mean Dice on test patients of one net trained on these pairs alone."""
    test = real_pairs(settings.store, settings.test)
    net, _ = trained_net(settings, [pairs], 0)
    return float(patient_means(dice(segment(net, test.images), test.masks), test.patients).mean())


def _summary(rows: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    kinds = list(rows[0]["distance"])
    heads = "".join(f" MMD^2, {kind} [seeds] |" for kind in kinds)
    lines = [
        f"| | trained, min | steps |{heads} Dice, {settings.peer_pairs} of its pairs | s a sample | evaluations |",
        f"|---|---|---|{'---|' * len(kinds)}---|---|---|",
    ]
    means: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        values = {kind: [row["distance"][kind]["rbf"]["value"] for row in own] for kind in kinds}
        means[name] = {kind: float(np.mean(v)) for kind, v in values.items()}
        cells = [f"{means[name][k]:.4f} [{', '.join(f'{v:.4f}' for v in values[k])}]" for k in kinds]
        score = next((f"{row['dice']:.3f}" for row in own if "dice" in row), "")
        minutes, steps, took = (np.mean([row[k] for row in own]) for k in _COSTS)
        lines.append(
            f"| {name}: {own[0]['note']} | {minutes:.1f} | {steps:.0f} | {' | '.join(cells)} | {score} | {took:.2f} | "
            f"{own[0]['nfe']:.0f} |"
        )
    band = {kind: rows[0]["distance"][kind]["rbf"]["band"]["high"] for kind in kinds}
    lines += ["", "Upper end of the 95% band between real patients: " + _listed(band) + ". Kernel: RBF."]
    folds: dict[str, float] = {}
    if OURS in means:
        for kind in kinds:
            nearest = min(values[kind] for name, values in means.items() if name != OURS)
            folds[kind] = fold(nearest, means[OURS][kind], band[kind])
        lines.append(
            "The nearest peer is farther than ours by: " + _listed(folds, "{:.1f} times") + f" (at least {AHEAD:g}; a "
            "distance inside the band counts as its upper end)."
        )
    holds = bool(folds) and all(math.isfinite(f) and f >= AHEAD for f in folds.values())
    return {"rows": rows, "means": means, "folds": folds, "holds": holds, "lines": lines}


_COSTS = ("train_minutes", "train_steps", "sample_seconds")


def _listed(values: dict[str, float], form: str = "{:.4f}") -> str:
    return ", ".join(f"{form.format(value)} ({kind})" for kind, value in values.items())
