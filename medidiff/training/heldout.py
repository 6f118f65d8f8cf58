"""Whether training made a prior better: it against the one it came from, on scans of patients held out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medidiff.cohort import AnyCase, PatchDataModule, ProceduralSource
from medidiff.cohort.augment import PLAIN, random_patch
from medidiff.diffusion.losses import clean_squared_error, corrupt
from medidiff.evaluate.intervals import Interval, paired_t
from medidiff.io import atomic_write_text
from medidiff.prior import Denoiser, Prior
from medidiff.training.config import TrainingConfig
from medidiff.training.validation import FLOOR, RANGE, VALIDATION_PERCENT
from medidiff.training.watch import say

COMPARISON = "comparison.json"
MOST_CASES, PATCHES = 24, 2
"""Scans compared at most, and patches a scan."""


def compare_with_start(config: TrainingConfig, data: PatchDataModule, path: Path) -> None:
    """Say whether a finished run beats the prior that it started from, and keep the figures in comparison.json.

    Args:
        config: The run; without `start_from` nothing is done.
        data: Its val scans; those of procedural sources are left out.
        path: The new prior.
    """
    if config.start_from is None:
        return
    new, old = Prior.load(path), Prior.load(config.start_from)
    procedural = {source.name for source in data.sources if isinstance(source, ProceduralSource)}
    real = [case for _, cases in data.loaded["val"] for case in cases if case.kind not in procedural]
    comparison = compare(new, old, real, config.data.patch, config.seed)
    names = f"{new.card.name} version {new.card.version}", f"{old.card.name} version {old.card.version}"
    of = {"new": new.content_hash, "old": old.content_hash}
    atomic_write_text(config.output / COMPARISON, json.dumps({**comparison, **of}, indent=1) + "\n")
    say(told(comparison, *names))


def compare(new: Prior, old: Prior, cases: Iterable[AnyCase], shape: tuple[int, int, int], seed: int) -> dict[str, Any]:
    """Denoise held-out scans with both priors, under the same noise.

    The error is that against the clean scan, estimated without bias from the noisy ones (`clean_squared_error`): a
    prior that learned to keep the scans' own noise does not look better for it.

    Args:
        new: The prior just trained.
        old: The prior it came from.
        cases: Held-out scans of real patients.
        shape: Patch size in voxels.
        seed: Of patches and noise.

    Returns:
        `verdict` (better, no difference shown, worse, or unknown), `difference_db` with `low` and `high` (95%, by
        patient; None for fewer than two patients), `levels` with the same at each noise level, `patients`, `scans`.
    """
    chosen = _spread(cases)[:MOST_CASES]
    denoisers = (new.denoiser(), old.denoiser())
    by_patient: dict[str, dict[float, list[tuple[float, float]]]] = {}
    for index, case in enumerate(chosen):
        of_patient = by_patient.setdefault(case.patient, {p: [] for p in VALIDATION_PERCENT})
        for percent, both in _measure(denoisers, case, shape, [seed, index]):
            of_patient[percent].append(both)
    if not by_patient:
        return {"verdict": "unknown", "reason": "no held-out scans", "patients": 0, "scans": 0, "levels": []}
    levels = []
    for percent in VALIDATION_PERCENT:
        pairs = [np.mean(of_patient[percent], axis=0) for of_patient in by_patient.values()]
        difference = paired_t([float(a) for a, _ in pairs], [float(b) for _, b in pairs])
        means = np.mean(pairs, axis=0)
        levels.append({"percent": percent, "new_db": float(means[0]), "old_db": float(means[1]), **_told(difference)})
    whole = [
        np.mean([pair for part in of_patient.values() for pair in part], axis=0) for of_patient in by_patient.values()
    ]
    overall = paired_t([float(a) for a, _ in whole], [float(b) for _, b in whole])
    verdict = "better" if overall.low > 0 else "worse" if overall.high < 0 else "no difference shown"
    if len(by_patient) < 2:
        verdict = "unknown"
    counts = {"patients": len(by_patient), "scans": len(chosen)}
    return {"verdict": verdict, **_told(overall), **counts, "levels": levels}


def _spread(cases: Iterable[AnyCase]) -> list[AnyCase]:
    """One scan of every patient, then their second ones, and so on; of several sources by turns."""
    of_patient: Counter[tuple[str, str]] = Counter()
    of_turn: Counter[tuple[str, int]] = Counter()
    placed: list[tuple[int, int, AnyCase]] = []
    for case in cases:
        turn = of_patient[case.kind, case.patient]
        placed.append((turn, of_turn[case.kind, turn], case))
        of_patient[case.kind, case.patient] += 1
        of_turn[case.kind, turn] += 1
    return [case for _, _, case in sorted(placed, key=lambda one: one[:2])]


def _told(difference: Interval) -> dict[str, float | None]:
    known = math.isfinite(difference.low)
    low, high = (difference.low, difference.high) if known else (None, None)
    return {"difference_db": difference.mean, "low": low, "high": high}


@torch.inference_mode()
def _measure(
    denoisers: tuple[Denoiser, Denoiser], case: AnyCase, shape: tuple[int, int, int], seed: list[int]
) -> list[tuple[float, tuple[float, float]]]:
    """(percent, (PSNR of new, of old)) of one scan, dB."""
    rng = np.random.default_rng(seed)
    squared: dict[float, list[tuple[float, float]]] = {p: [] for p in VALIDATION_PERCENT}
    for _ in range(PATCHES):
        patch = random_patch(case, shape, PLAIN, rng)
        spacing, own = patch.spacing_mm, patch.tau
        target = torch.from_numpy(patch.data)[None, None]
        tau = torch.full((1, 1, 1, 1, 1), float(own))
        noise = torch.from_numpy(rng.standard_normal(target.shape, dtype=np.float32))
        for percent in VALIDATION_PERCENT:
            sigma = percent / 100 * RANGE
            total = torch.full((1, 1, 1, 1, 1), math.hypot(sigma, float(own)))
            pair = corrupt(target, tau, total, noise)
            errors = []
            for denoiser in denoisers:
                mean = denoiser(pair.y, pair.level, torch.tensor([spacing]), None).mean.cpu()
                errors.append(float(clean_squared_error(mean, pair, target, tau)))
            squared[percent].append((errors[0], errors[1]))
    results = []
    for percent, pairs in squared.items():
        least = FLOOR * (percent / 100 * RANGE) ** 2
        new_mse, old_mse = (max(float(m), least) for m in np.mean(pairs, axis=0))
        results.append((percent, (_psnr(new_mse), _psnr(old_mse))))
    return results


def _psnr(mse: float) -> float:
    return 10 * math.log10(RANGE**2 / mse)


def told(comparison: dict[str, Any], new_name: str, old_name: str) -> str:
    """The comparison in words, several lines."""
    if not comparison["patients"]:
        return (
            f"{new_name} against {old_name}: cannot be said, there are no held-out scans. Give some patients the split "
            "val to find out."
        )
    people = "1 held-out patient" if comparison["patients"] == 1 else f"{comparison['patients']} held-out patients"
    lines = [f"{new_name} against {old_name}, {people}, {comparison['scans']} scans:"]
    for level in comparison["levels"]:
        lines.append(
            f"  {level['percent']:g}% noise: {level['new_db']:.2f} dB, was {level['old_db']:.2f}  ({_signed(level)})"
        )
    verdict = comparison["verdict"]
    advice = {
        "better": "BETTER",
        "no difference shown": f"NO DIFFERENCE SHOWN: as good as {old_name} for all that is known",
        "worse": f"WORSE: keep using {old_name}",
        "unknown": "one patient cannot tell which is better; give more patients the split val",
    }[verdict]
    return "\n".join([*lines, f"  in all {_signed(comparison)}: {advice}"])


def _signed(part: dict[str, Any]) -> str:
    text = f"{part['difference_db']:+.2f} dB"
    return text if part["low"] is None else f"{text} [{part['low']:+.2f}, {part['high']:+.2f}]"
