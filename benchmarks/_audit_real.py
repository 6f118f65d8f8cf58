"""False alarms and power on real scans: people of the hippocampus store as patients, others of them as synthetics.

A synthetic that is the scan of a stranger copies nobody, and is as sharp and as odd as scans are; one drawn towards the
mean of all by `SPREAD` stands for a prior that is too smooth. Only the encoder is trained, on procedural volumes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._audit_bank import CACHE, SPREAD, pose_rows
from benchmarks._audit_worlds import World, deciding, fails, judged, limits
from medidiff.cohort.scan_set import find_scan_set, read_scan_sets
from medidiff.errors import InputError
from medidiff.privacy.audit import PHANTOMS
from medidiff.privacy.encoder import phantom_references, train_encoder
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.judge import judge
from medidiff.privacy.plan import plan
from medidiff.privacy.proportions import wilson
from medidiff.privacy.similarity import PoseSearch
from medidiff.privacy.thresholds import TRANSFORMS
from medidiff.privacy.transforms import planted_copies

STORE = Path("runs/stores/hippocampus")
SIZES = ((40, 40), (60, 20))
"""Train and holdout patients of a world; the scans of the other 51 people are its synthetics."""
WORLDS, MOST, POWER_WORLDS, WHOLE = 200, 15, 50, 10
RATES = (0.1, 0.2)


@dataclass(frozen=True)
class People:
    """Similarities of everything to the one scan of each patient that stands in galleries, by space.

    Attributes:
        patients: (n,) whose each scan is.
        rows: Space -> "null", "smooth" (n, p) or a transform (p, p), a copy of each patient in their order.
    """

    patients: np.ndarray
    rows: dict[str, dict[str, np.ndarray]]


def run(quick: bool = False) -> dict[str, Any]:
    """False alarms of both kinds of synthetics; power under each transform."""
    people, worlds = measured(), 10 if quick else WORLDS
    alarms = [_alarms(people, base, size, worlds) for base in ("null", "smooth") for size in SIZES]
    powers = [
        _power(people, kind, rate, size, 4 if quick else POWER_WORLDS)
        for kind in TRANSFORMS
        for rate in RATES
        for size in SIZES
    ]
    holds = all(row["fails"] <= MOST for row in alarms) and not quick
    return {"holds": holds, "alarms": alarms, "power": powers, "lines": _lines(alarms, powers)}


def measured() -> People:
    """Every scan, and copies of one scan of each patient, held against those."""
    if not (STORE / "store.json").is_file():
        raise InputError(f"{STORE}: is not here. The comment in configs/hippocampus.yaml says how it is prepared.")
    scans = read_scan_sets([find_scan_set(STORE)])[0]
    names, first, whose = np.unique(np.array(scans.patients), return_index=True, return_inverse=True)
    gallery, numbers = scans.images[first], np.arange(len(names))
    mean = gallery.mean(axis=0)
    queries = {"null": scans.images, "smooth": (mean + SPREAD * (scans.images - mean)).astype(np.float32)}
    for name in TRANSFORMS:
        planted = planted_copies(gallery, numbers, name, len(names), seed=3)
        queries[name] = planted.images[np.argsort(planted.sources)]
    key = hashlib.sha256(b"".join(np.ascontiguousarray(q).tobytes() for q in queries.values())).hexdigest()[:12]
    phantoms = phantom_references(gallery.shape[1:], PHANTOMS, 0)  # type: ignore[arg-type]
    encoder = train_encoder(phantoms, np.arange(PHANTOMS), seed=0, steps=limits().encoder_steps)
    known = encoder.embed(gallery)
    rows = {
        "pose": pose_rows(CACHE / f"real_{key}", queries, gallery, PoseSearch()),
        "projection": {name: np.clip(encoder.embed(q) @ known.T, -1, 1) for name, q in queries.items()},
    }
    return People(whose, rows)


def drawn(people: People, rng: np.random.Generator, size: tuple[int, int], base: str, kind: str, rate: float) -> World:
    """A world: who is in it and who of them is train by chance; a share of the synthetics are copies of train scans."""
    m, h = size
    number = len(people.rows["pose"]["exact"])
    order = rng.permutation(number)
    inside, train = order[: m + h], order[:m]
    mixed = rng.permutation(m + h)
    inside, is_train = inside[mixed], (np.arange(m + h) < m)[mixed]
    strangers = np.flatnonzero(~np.isin(people.patients, inside))
    copies = rng.permutation(train)[: round(rate * len(strangers))]
    kept = rng.permutation(strangers)[len(copies) :]
    planted = rng.permutation(train)[:30]
    place = {int(one): i for i, one in enumerate(inside)}
    first = [int(np.flatnonzero(people.patients == one)[0]) for one in inside]
    sim, real = {}, {}
    for space, rows in people.rows.items():
        sim[space] = np.concatenate([rows[kind][copies], rows[base][kept]])[:, inside]
        real[space] = rows["null"][first][:, inside]
    controls = {str(name): people.rows["pose"][name][planted][:, inside] for name in TRANSFORMS}
    planted_from = np.array([place[int(one)] for one in planted])
    sources = {str(name): planted_from for name in TRANSFORMS}
    return World(Gallery(np.arange(m + h), is_train), sim, real, controls, sources)


def _alarms(people: People, base: str, size: tuple[int, int], worlds: int) -> dict[str, Any]:
    thresholds, failed, by_test = limits(), 0, Counter()
    rng = np.random.default_rng([17, len(base), *size])
    for _ in range(worlds):
        found = judge(deciding(drawn(people, rng, size, base, "exact", 0.0), thresholds), thresholds)
        failed += found.verdict == "FAIL"
        by_test.update(f.test for f in found.findings if f.verdict == "FAIL")
    return {
        "base": base, "size": size, "fails": failed, "worlds": worlds, "interval": wilson(failed, worlds),
        "by_test": dict(by_test),
    }  # fmt: skip


def _power(people: People, kind: str, rate: float, size: tuple[int, int], worlds: int) -> dict[str, Any]:
    thresholds, failed, by_p, seen, whole = limits(), 0, 0, [], Counter()
    rng = np.random.default_rng([19, [str(name) for name in TRANSFORMS].index(kind), round(100 * rate), *size])
    for i in range(worlds):
        world = drawn(people, rng, size, "null", kind, rate)
        fail, fail_by_p = fails(world, thresholds)
        failed += fail
        by_p += fail_by_p
        if i < WHOLE:
            told = judged(world, thresholds)
            whole[told.verdict] += 1
            seen += [f.figures["found"] / f.figures["planted"] for f in told.findings if f.test == f"control: {kind}"]
    return {
        "kind": kind, "rate": rate, "size": size, "fail": failed / worlds, "fail_by_p_value": by_p / worlds,
        "recall": float(np.mean(seen)), "whole": dict(whole), "worlds": worlds,
    }  # fmt: skip


def _lines(alarms: list[dict[str, Any]], powers: list[dict[str, Any]]) -> list[str]:
    names = {"null": "scans of other people", "smooth": f"the same, {SPREAD} of the spread"}
    lines = [
        f"| synthetics | train/holdout | FAIL of {alarms[0]['worlds']} (at most {MOST}) | rate |",
        "|---|---|---|---|",
    ]
    for row in alarms:
        low, high = row["interval"]
        rate = f"{row['fails'] / row['worlds']:.1%} ({low:.1%} to {high:.1%})"
        lines.append(f"| {names[row['base']]} | {row['size'][0]}/{row['size'][1]} | {row['fails']} | {rate} |")
    heads = [(rate, size) for rate in RATES for size in SIZES]
    lines += ["", f"| copies | controls found | {' | '.join(f'{r:.0%}, {m}/{h}' for r, (m, h) in heads)} |"]
    lines.append(f"|---|---|{'---|' * len(heads)}")
    for kind in TRANSFORMS:
        own = {(row["rate"], row["size"]): row for row in powers if row["kind"] == kind}
        cells = [f"{100 * own[head]['fail']:.0f} ({100 * own[head]['fail_by_p_value']:.0f})" for head in heads]
        lines.append(f"| {kind} | {np.mean([row['recall'] for row in own.values()]):.2f} | {' | '.join(cells)} |")
    usual = limits()
    found = [plan(m, h, 78, usual).found_copy_rate for m, h in SIZES]
    planned = ", ".join("none" if one is None else f"{one:.0%}" for one in found)
    return [
        *lines,
        "",
        f"Percent of {powers[0]['worlds']} worlds that FAIL; in brackets by the tests that have a p-value. About 78 "
        f"synthetics; the plan for such numbers says that {planned} are found with a probability of 90%.",
    ]
