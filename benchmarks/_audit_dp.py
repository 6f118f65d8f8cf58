"""Private priors of small phantoms: the epsilon on the card, a second accountant's, and what an attack shows of it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from medidiff.phantoms.procedural import procedural_volume
from medidiff.prior import Prior
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.one_run import guesses, one_run_bound
from medidiff.privacy.thresholds import Thresholds
from medidiff.privacy.white_box import white_box_findings, white_box_scores
from medidiff.privacy.white_box_probe import Probe
from medidiff.training.run import run_training

PATIENTS, SIZE, SEED = 100, 16, 20261122
DELTA, CLIP = 1e-3, 1.0
PRIVATE: dict[str, Any] = {"delta": DELTA, "clip": CLIP, "accountant": "prv"}
STEPS, PLAIN_STEPS = 150, 1000
"""Of the private runs, and of the one that shows that the attack works at all: it may take its time."""
RUNS: dict[str, dict[str, Any] | None] = {
    "not private": None,
    "epsilon 8": {"target_epsilon": 8.0, **PRIVATE},
    "epsilon 2": {"target_epsilon": 2.0, **PRIVATE},
}
ACCOUNTANTS_APART = 0.25
"""RDP's epsilon is an upper bound, above PRV's by this share at most."""


def run(quick: bool = False) -> dict[str, Any]:
    """Train each prior on the patients that a fair coin chose, and guess who they were from the loss."""
    coins = np.random.default_rng(SEED).random(PATIENTS) < 0.5
    images = np.stack([procedural_volume((SIZE, SIZE, SIZE), 7000 + k) for k in range(PATIENTS)]).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, images, coins)
        rows = [_row(name, how, root, images, coins, quick) for name, how in RUNS.items()]
    private = [row for row in rows if row["epsilon"] is not None]
    holds = all(
        row["bound"] <= row["epsilon"]
        and row["epsilon"] - 0.01 <= row["second"] <= (1 + ACCOUNTANTS_APART) * row["epsilon"]
        for row in private
    )
    if not quick:
        holds &= rows[0]["p"] < 0.05  # else the attack shows nothing of the others either
    made = rows[0]["guesses"]
    lines = [
        f"| prior | epsilon (PRV, delta {DELTA:g}) | second accountant (RDP) | one-run lower bound | right guesses | "
        "AUC | p |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
        "",
        f"{PATIENTS} phantoms of {SIZE}^3, {int(coins.sum())} trained on by a fair coin, {STEPS} steps ({PLAIN_STEPS} "
        f"where not private); the loss at fixed levels guesses the {made} outermost. All guesses right would show "
        f"{one_run_bound(made, made):.2f}.",
    ]
    return {"rows": rows, "holds": holds, "lines": lines}


def _write(root: Path, images: np.ndarray, coins: np.ndarray) -> None:
    rows = ["case\tsplit"]
    for k, (image, inside) in enumerate(zip(images, coins, strict=True)):
        nib.save(nib.Nifti1Image(image, np.eye(4)), root / f"p{k}.nii.gz")  # type: ignore[attr-defined]
        rows.append(f"p{k}\t{'train' if inside else 'holdout'}")
    (root / "p.tsv").write_text("\n".join(rows) + "\n")


def _row(
    name: str, how: dict[str, Any] | None, root: Path, images: np.ndarray, coins: np.ndarray, quick: bool
) -> dict[str, Any]:
    steps = 20 if quick else PLAIN_STEPS if how is None else STEPS
    prior = Prior.load(run_training(_config(name, how, root, steps), []))
    probe = Probe(prior, (1.0, 1.0, 1.0), device="cpu", precision="float32")
    scores = {"loss": white_box_scores(probe, images, SEED)["loss"]}
    (found,) = white_box_findings(scores, Gallery(np.arange(len(coins)), coins), Thresholds())
    right, made = guesses(scores["loss"], coins)
    told = prior.card.training.privacy
    return {
        "name": name,
        "epsilon": None if told is None else told.epsilon,
        "second": None if told is None else told.second_epsilon,
        "noise_multiplier": None if told is None else told.noise_multiplier,
        "bound": one_run_bound(right, made, len(coins), 0.0 if told is None else DELTA),
        "right": right,
        "guesses": made,
        "auc": found.statistic,
        "p": found.p_value,
    }


def _config(name: str, how: dict[str, Any] | None, root: Path, steps: int) -> Path:
    plain = {"flip": False, "axes": False, "contrast": 0, "invert": 0, "scale": 1, "offset": 0, "coarser": 0}
    tree = {
        "name": "dp",
        "output": str(root / name.replace(" ", "_")),
        "seed": 1,
        "threads": 1,
        "precision": "float32",
        "validate_every": 100_000,
        "log_every": 200,
        "watch": {"distance": False},
        "data": {
            "root": str(root),
            "cache": str(root / "cache"),
            "patch": [SIZE] * 3,
            "sources": [{"type": "folder", "name": "p", "files": "{case}.nii.gz", "table": "p.tsv", "tau": 0}],
            "augmentation": plain,
        },
        "network": {"widths": [24, 40], "blocks": [1, 1], "embedding": 16, "position": True},
        "noise": {"levels": [{"low": 0.1, "high": 10.0}], "p_constant": 1, "sigma_max": 20.0},
        "optimiser": {
            "name": "muon" if how is None else "adamw",
            "lr": 0.004,
            "batch": 8,
            "steps": steps,
            "warmup": 20,
        },
    }
    path = root / f"{name.replace(' ', '_')}.yaml"
    path.write_text(yaml.safe_dump(tree | ({} if how is None else {"privacy": how})))
    return path


def _line(row: dict[str, Any]) -> str:
    claimed = "none" if row["epsilon"] is None else f"{row['epsilon']:.2f}"
    second = "none" if row["second"] is None or math.isnan(row["second"]) else f"{row['second']:.2f}"
    return (
        f"| {row['name']} | {claimed} | {second} | {row['bound']:.2f} | {row['right']} of {row['guesses']} | "
        f"{row['auc']:.2f} | {row['p']:.3f} |"
    )
