"""Conformal calibration of a prior's uncertainty, per patient and kind of noise; --write puts it on the card."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._calibration_cases import KINDS, LEVELS, Patient, noisy, patients
from medidiff.evaluate.calibration import Calibration, calibrate, coverage, scores
from medidiff.prior import Prior
from medidiff.tasks.denoise import denoise

COVERAGE = 0.9
VOXELS = 20_000
"""Voxels drawn of each scan: their coverage is within 0.2% of the whole scan's."""
LARGEST_OWN_NOISE = 0.6
"""Scans whose reference has more than this share of the total noise say nothing about the error."""
FEWEST_PATIENTS = 20


@dataclass(frozen=True, eq=False)
class Measured:
    """One scan of one patient, denoised knowing its noise.

    Args:
        patient: Whose.
        set_name: Of which set.
        kind: Of noise.
        percent: Its level.
        scores: |error| / uncertainty of the drawn voxels.
        inside: Which of them are foreground.
    """

    patient: str
    set_name: str
    kind: str
    percent: float
    scores: np.ndarray
    inside: np.ndarray


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    prior = Prior.load(args.prior)
    found = [m for split in args.split for m in measure(prior, split, args)]
    kinds = [kind for kind in KINDS if any(m.kind == kind for m in found)]
    results = {kind: calibrate(by_patient(found, kind, args.where), COVERAGE) for kind in kinds}
    print("\n" + table(found, results))
    if prior.card.calibration is not None:
        print("\n" + check(found, prior.card.calibration, args.where))
    if args.write:
        few = [kind for kind in KINDS if kind not in results or results[kind].patients < FEWEST_PATIENTS]
        if few:
            raise SystemExit(
                f"--write: fewer than {FEWEST_PATIENTS} patients for {', '.join(few)}: give more --minutes."
            )
        write(prior, args.prior, results, args.where)
    return 0


def measure(prior: Prior, split: str, args: argparse.Namespace) -> list[Measured]:
    """Patients in a fixed random order, so that a run that ends early has seen all sets; one line each on stderr."""
    cohort = list(patients(split, args.limit))
    random.Random(0).shuffle(cohort)
    found: list[Measured] = []
    end = time.monotonic() + 60 * args.minutes / len(args.split)
    for number, patient in enumerate(cohort):
        if time.monotonic() > end:
            print(f"{split}: time is up after {number} of {len(cohort)} patients", file=sys.stderr)
            break
        inside = patient.foreground.ravel()
        for place, kind in enumerate(patient.kinds()):
            for step in range(args.scans):
                percent = LEVELS[(number + 2 * place + 2 * step) % len(LEVELS)]
                found += measure_one(prior, patient, kind, percent, inside, args)
        print(f"{split} {number + 1}/{len(cohort)} {patient.name}", file=sys.stderr)
    return found


def measure_one(
    prior: Prior, patient: Patient, kind: str, percent: float, inside: np.ndarray, args: argparse.Namespace
) -> list[Measured]:
    """One scan; none where the reference's own noise is too large a part of the level."""
    if patient.tau > LARGEST_OWN_NOISE * percent / 100 * patient.data_range:
        return []
    scan, known = noisy(patient, kind, percent)
    result = denoise(scan, prior, noise="auto" if args.blind else known, precision=args.precision)
    if result.uncertainty is None or result.noise_map is None or result.output is None:
        raise RuntimeError(f"{patient.name}: the result lacks a map")
    pick = np.random.default_rng(0).choice(inside.size, min(inside.size, VOXELS), replace=False)
    error = result.output.data.ravel()[pick] - patient.clean.data.ravel()[pick]
    spread, level = result.uncertainty.data.ravel()[pick], result.noise_map.data.ravel()[pick]
    values = scores(error, spread, patient.tau, level)
    return [Measured(patient.name, patient.set_name, kind, percent, values, inside[pick])]


def by_patient(found: list[Measured], kind: str, where: str) -> list[np.ndarray]:
    """The scores of each patient, all his scans of that kind together: of all voxels, or of the foreground."""
    together: dict[str, list[np.ndarray]] = defaultdict(list)
    for m in found:
        if m.kind == kind:
            together[m.patient].append(m.scores if where == "all" else m.scores[m.inside])
    return [np.concatenate(parts) for parts in together.values() if sum(part.size for part in parts)]


def table(found: list[Measured], results: dict[str, Calibration]) -> str:
    """Factors and coverages; by set, level and foreground with the kind's own factor."""
    lines = [
        "| noise | patients | factor | coverage, other patients' factor | foreground | "
        + " | ".join(f"{p:g}%" for p in LEVELS)
        + " |",
        "|---|---|---|---|---|" + "---|" * len(LEVELS),
    ]
    for kind, result in results.items():
        rows = [m for m in found if m.kind == kind]
        low, high = 100 * result.coverage.low, 100 * result.coverage.high
        cells = [
            kind,
            str(result.patients),
            f"{result.factor:.3f}",
            f"{100 * result.coverage.mean:.1f} [{low:.1f}, {high:.1f}]",
            percent_covered([m.scores[m.inside] for m in rows], result.factor),
            *(percent_covered([m.scores for m in rows if m.percent == p], result.factor) for p in LEVELS),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    sets = list(dict.fromkeys(m.set_name for m in found))
    lines += ["", "| noise | " + " | ".join(sets) + " |", "|---|" + "---|" * len(sets)]
    for kind, result in results.items():
        parts = [[m.scores for m in found if m.kind == kind and m.set_name == s] for s in sets]
        lines.append(f"| {kind} | " + " | ".join(percent_covered(part, result.factor) for part in parts) + " |")
    return "\n".join(lines)


def check(found: list[Measured], calibration: dict[str, Any], where: str) -> str:
    """Coverage with the factors that the card has: on a split it was not calibrated on, the published test."""
    lines = ["| noise | patients | the card's factor | coverage |", "|---|---|---|---|"]
    for kind, factor in calibration["factor"].items():
        covered = [coverage(p, factor) for p in by_patient(found, kind, where)]
        if covered:
            spread = np.std(covered, ddof=1) / len(covered) ** 0.5 if len(covered) > 1 else float("nan")
            lines.append(
                f"| {kind} | {len(covered)} | {factor:.3f} | {100 * np.mean(covered):.1f} +- {196 * spread:.1f} |"
            )
    return "\n".join(lines)


def percent_covered(parts: list[np.ndarray], factor: float) -> str:
    parts = [part for part in parts if part.size]
    return f"{100 * np.mean([coverage(part, factor) for part in parts]):.1f}" if parts else ""


def write(prior: Prior, path: Path, results: dict[str, Calibration], where: str) -> None:
    """The prior file again, its card with the calibration; weights and their type stay."""
    found = {
        "level": COVERAGE,
        "unit": "patient",
        "factor": {kind: round(r.factor, 4) for kind, r in results.items()},
        "patients": min(r.patients for r in results.values()),
        "coverage": {kind: [round(v, 4) for v in r.coverage] for kind, r in results.items()},
        "voxels": where,
        "command": "python -m benchmarks.calibrate",
    }
    stored = next(iter(prior.weights.values())).dtype
    card = prior.card.model_copy(update={"calibration": found})
    saved = Prior(card, prior.weights).save(path, "float16" if str(stored) == "torch.float16" else "float32")
    print(f"written: {path}, hash {saved.content_hash[:12]}", file=sys.stderr)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrate", description=__doc__)
    add = parser.add_argument
    add("--prior", type=Path, required=True, help="a .safetensors file")
    add("--write", action="store_true", help="put the calibration on the prior's card, in the same file")
    add(
        "--split", nargs="+", choices=("val", "holdout"), default=["val"], help="holdout: once, to check a written card"
    )
    add("--scans", type=int, default=1, help="levels per patient and kind of noise")
    add("--minutes", type=float, default=7.0, help="time after which no new patient is begun")
    add("--limit", type=int, help="patients per set (development)")
    add("--where", choices=("all", "foreground"), default="all", help="voxels that count")
    add("--blind", action="store_true", help="let the noise be estimated: a check, never written")
    add("--precision", default="auto", help="auto, bf16 or float32")
    args = parser.parse_args(arguments)
    if args.write and (args.split != ["val"] or args.blind):
        parser.error("--write: calibrate on val with known noise only, and check on holdout or blind afterwards.")
    return args


if __name__ == "__main__":
    sys.exit(main())
