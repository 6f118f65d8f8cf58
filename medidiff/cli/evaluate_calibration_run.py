"""`medidiff evaluate calibration` from what was asked for to what is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medidiff import __version__
from medidiff.cli.evaluate_sets import FORMAT
from medidiff.cli.progress import Progress
from medidiff.cohort.scan_set_find import FoundScan, FoundSet, find_scan_set
from medidiff.errors import InputError, UsageError
from medidiff.evaluate.calibration import conformal_factor, coverage, scores
from medidiff.evaluate.intervals import paired_t
from medidiff.evaluate.made_pairs import Made, add_known_noise, check_wish, own_noise
from medidiff.prior import Prior, resolve_prior
from medidiff.prior.calibration import interval_factor
from medidiff.tasks.denoise import denoise
from medidiff.tasks.known_noise import WHITE, KnownNoise
from medidiff.volume import Volume

LEVEL = 0.9
_GAUSSIAN = 1.6449
"""Of a Gaussian error: what is taken where the card has no factor."""
_VOXELS = 20_000
_MOST_OWN = 0.6
"""Scans with more noise of their own than this share of the level say nothing about the error."""


@dataclass(frozen=True)
class Wish:
    """What is to be measured."""

    prior: str
    kinds: tuple[str, ...]
    percents: tuple[float, ...]
    most: int
    seed: int
    modality: str
    device: str

    @classmethod
    def parse(cls, prior: str, noise: str, percent: str, most: int, seed: int, modality: str, device: str) -> Wish:
        """From the options' texts.

        Raises:
            UsageError: A kind, level or modality that is none, or one twice.
        """
        from medidiff.cli.input_choice import InputChoice

        kinds = tuple(noise.replace(",", " ").split())
        try:
            percents = tuple(float(text) for text in percent.replace(",", " ").split())
        except ValueError:
            raise UsageError(f"--percent {percent}: must be numbers, such as 4,8,15.") from None
        for option, values in (("--noise", kinds), ("--percent", percents)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{option} {','.join(map(str, values))}: must be one or more, each once.")
        for kind in kinds:
            for level in percents:
                check_wish(kind, level)
        InputChoice(modality=modality)  # refuses what is none
        return cls(prior, kinds, percents, most, seed, modality, device)


@dataclass(frozen=True, eq=False)
class _Scored:
    kind: str
    percent: float
    patient: str
    scores: np.ndarray


def measure(where: str, split: str | None, table: Path | None, wish: Wish) -> dict[str, Any]:
    """The JSON object of the evaluation.

    Raises:
        MedidiffError: The prior or the scans cannot be used; no scan could be judged.
    """
    prior = Prior.load(resolve_prior(wish.prior))
    found = find_scan_set(where, split, table)
    chosen = _drawn(found, wish)
    warnings = list(found.warnings)
    if split in (None, "train"):
        warnings.append("The patients may be those that the prior was trained on: --split holdout takes others.")
    scored: list[_Scored] = []
    with Progress(len(chosen), "calibration") as progress:
        for scan in chosen:
            progress.start(scan.name)
            before = len(scored)
            scored += _of_scan(scan, prior, wish, warnings)
            progress.finish(f"{scan.name}: {len(scored) - before} levels")
    if not scored:
        raise InputError(f"{where}: no scan could be judged: {warnings[-1] if warnings else 'none is there'}")
    kinds = [told for kind in wish.kinds if (told := _of_kind(kind, scored, prior)) is not None]
    patients = len({one.patient for one in scored})
    words = "; ".join(f"{one['noise']} {one['verdict']}" for one in kinds)
    return {
        "status": "measured",
        "exit_code": 0,
        "format": FORMAT,
        "kind": "calibration",
        "medidiff": __version__,
        "words": f"90% intervals of {prior.card.name} on {patients} patients: {words}.",
        "about": {
            "prior": f"{prior.card.name} {prior.card.version}", "prior_hash": prior.content_hash, "scans": where,
            "split": split, "scans_judged": len(chosen), "patients": patients, "seed": wish.seed,
        },
        "kinds": kinds,
        "warnings": warnings,
    }  # fmt: skip


def _drawn(found: FoundSet, wish: Wish) -> list[FoundScan]:
    """All scans of at most so many patients."""
    people = sorted(found.patients)
    kept = {people[i] for i in np.random.default_rng(wish.seed).permutation(len(people))[: wish.most]}
    return [scan for scan in found.scans if scan.patient in kept]


def _of_scan(scan: FoundScan, prior: Prior, wish: Wish, warnings: list[str]) -> Iterator[_Scored]:
    data, _ = scan.read()
    clean = Volume(data.astype(np.float32), np.diag([*scan.grid()[1], 1.0]), name=scan.name, modality=wish.modality)
    own = own_noise(clean)["level"]
    if own is None:
        warnings.append(f"{scan.name}: its own noise cannot be estimated: left out.")
        return
    for kind in wish.kinds:
        for percent in wish.percents:
            try:
                made = add_known_noise(clean, kind, percent, wish.seed)
            except InputError as error:
                warnings.append(f"{scan.name}: {kind}: {error}")
                break
            total = float(np.hypot(made.level, own))
            if own > _MOST_OWN * total:
                warnings.append(
                    f"{scan.name}: {kind} {percent:g}%: its own noise is {own / total:.0%} of it: left out."
                )
                continue
            result = denoise(made.noisy, prior, noise=_known(made, own), device=wish.device)
            if result.uncertainty is None or result.noise_map is None:
                raise InputError(f"{scan.name}: the prior {prior.card.name} gives no uncertainty.")
            pick = np.random.default_rng(wish.seed).permutation(data.size)[:_VOXELS]
            error = result.output.data.ravel()[pick] - clean.data.ravel()[pick]
            spread, level = (v.data.ravel()[pick] for v in (result.uncertainty, result.noise_map))
            yield _Scored(kind, percent, scan.patient, scores(error, spread, own, level))


def _known(made: Made, own: float) -> KnownNoise:
    """Added and own noise together, as the denoiser is told it."""
    added = made.level if made.level_map is None else made.level_map.data
    level = np.sqrt(np.square(added) + own**2).astype(np.float32)
    share = float(np.mean(np.square(added) / np.square(level)))  # the scan's own noise is taken as white
    steps = made.facts.get("correlation", WHITE)
    correlation = tuple(share * float(r) for r in steps)
    kind = "rician" if made.kind == "rician" else "gaussian"
    told = level if made.level_map is not None else float(level)
    return KnownNoise(kind, told, correlation, source="given" if made.level_map is None else "map")  # pyright: ignore


def _of_kind(kind: str, scored: list[_Scored], prior: Prior) -> dict[str, Any] | None:
    own = [one for one in scored if one.kind == kind]
    if not own:
        return None
    factor = interval_factor(prior.card, kind)
    used = _GAUSSIAN if factor is None else factor
    by_patient = _together(own)
    found = _interval(by_patient, used)
    levels = []
    for percent in sorted({one.percent for one in own}):
        of_level = _together([one for one in own if one.percent == percent])
        levels.append({"percent": percent, "patients": len(of_level), "coverage": _interval(of_level, used)})
    return {
        "noise": kind,
        "patients": len(by_patient),
        "scans": len(own),
        "factor": used,
        "calibrated": factor is not None,
        "coverage": found,
        "needed_factor": conformal_factor(by_patient, LEVEL),
        "levels": levels,
        "verdict": _verdict(found),
    }


def _together(scored: list[_Scored]) -> list[np.ndarray]:
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for one in scored:
        parts[one.patient].append(one.scores)
    return [np.concatenate(values) for values in parts.values()]


def _interval(patients: list[np.ndarray], factor: float) -> dict[str, float]:
    covered = [coverage(values, factor) for values in patients]
    return paired_t(covered, [0.0] * len(covered))._asdict()


def _verdict(found: dict[str, float]) -> str:
    mean = f"{found['mean']:.1%}"
    if np.isnan(found["low"]):
        return f"{mean} of one patient: no interval"
    if found["low"] <= LEVEL <= found["high"]:
        return f"{mean}: as promised, as far as {found['low']:.1%} to {found['high']:.1%} can tell"
    return f"{mean}: {'too narrow' if found['high'] < LEVEL else 'wider than needed'}"


def lines(told: dict[str, Any]) -> list[str]:
    """For the terminal."""
    found = [told["words"]]
    for one in told["kinds"]:
        levels = ", ".join(f"{level['percent']:g}%: {level['coverage']['mean']:.1%}" for level in one["levels"])
        note = "" if one["calibrated"] else " (the card has no factor; a Gaussian's was taken)"
        found.append(
            f"{one['noise']}: {one['patients']} patients, factor {one['factor']:.3f}{note}, by level {levels}; the "
            f"factor {one['needed_factor']:.3f} would fit"
        )
    return found


__all__ = ["Wish", "lines", "measure"]
