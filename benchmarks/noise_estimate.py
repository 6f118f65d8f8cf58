"""How well the noise of one scan is estimated: level, kind, correlation, map and interval, against what was added.

    python -m benchmarks.noise_estimate [--sets head body procedural] [--split val] [--limit N]

Phantoms are free of noise, so the truth is what was added. Real scans (hippocampus, ixi) have noise of their own: there
the truth is sqrt(added^2 + own^2), with `own` the estimate of the scan as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from benchmarks._cases import Case, load_cases
from medidiff.errors import NoiseError
from medidiff.noise import NoiseEstimate, estimate_noise
from medidiff.noise.chi import add_noncentral_chi
from medidiff.noise.correlated import GaussianKernel, add_correlated, kernel_correlations
from medidiff.noise.gaussian import add_gaussian
from medidiff.noise.rician import add_rician
from medidiff.noise.varying import smooth_level_map

PHANTOMS, REAL = ("head", "body", "procedural"), ("hippocampus", "ixi")
LEVELS = (1.0, 3.0, 5.0, 9.0, 15.0)
KINDS = ("gaussian", "rician", "chi", "correlated", "varying")
COILS = 4
HEADER = (
    "| kind | noise | cases | estimated / true | within 10% | within 20% | in the interval | trusted | kind right "
    "| correlation error | map error |"
)


class Truth(NamedTuple):
    """What was added: typical level, its map where it varies, and how neighbours correlate."""

    level: float
    level_map: np.ndarray | None = None
    correlation: tuple[float, ...] = (0.0,) * 6
    kind: str = "gaussian"


class Row(NamedTuple):
    """One estimate against the truth; the map's error is rms, nan where there is no map in the truth."""

    ratio: float
    covered: bool
    trusted: bool
    kind_right: bool
    correlation_error: float
    map_error: float
    false_map: bool


def corrupt(case: Case, kind: str, percent: float) -> tuple[np.ndarray, Truth] | None:
    """The scan with noise of one kind, and the truth; None where the kind makes no sense for it (magnitudes of HU)."""
    clean = np.asarray(case.clean.data, dtype=np.float32)
    key = int.from_bytes(hashlib.sha256(f"{case.name} {kind} {percent:g}".encode()).digest()[:8], "little")
    rng = np.random.default_rng(key)
    level = case.noise_std(percent)
    if kind == "gaussian":
        return add_gaussian(clean, level, rng), Truth(level)
    if kind == "correlated":
        width = float(rng.uniform(0.6, 1.0))
        kernel = GaussianKernel((width, width, 0.0))
        near = kernel_correlations(kernel)
        return add_correlated(clean, level, rng, kernel), Truth(level, correlation=near)
    if kind == "varying":  # 1x to 3x, the middle at the stated level
        x, y, z = case.clean.shape
        level_map = (level / np.sqrt(3)) * smooth_level_map((x, y, z), rng, peak=3.0)
        level_map = level_map.astype(np.float32)
        return add_gaussian(clean, level_map, rng), Truth(float(np.median(level_map)), level_map)
    if clean.min() < 0:
        return None
    if kind == "rician":
        return add_rician(clean, level, rng), Truth(level, kind="rician")
    return add_noncentral_chi(clean, level, COILS, rng), Truth(level, kind="chi")


def judge(estimate: NoiseEstimate, truth: Truth) -> Row:
    """One row of the table."""
    low, high = estimate.interval
    wrong = np.abs(np.array(estimate.correlation) - np.array(truth.correlation)).max()
    error = float("nan")
    if truth.level_map is not None:
        guess = estimate.level if estimate.level_map is None else estimate.level_map
        error = float(np.sqrt(np.mean(np.square(guess / truth.level_map - 1))))
    false_map = truth.level_map is None and estimate.level_map is not None
    return Row(
        estimate.level / truth.level, low <= truth.level <= high, estimate.trusted, estimate.kind == truth.kind,
        float(wrong), error, false_map,
    )  # fmt: skip


def rows_of(cases: list[Case], own: bool, levels: tuple[float, ...]) -> Iterator[tuple[str, float, str, Row, float]]:
    """(kind, percent, name, row, seconds) of every case that could be estimated."""
    for case in cases:
        before = estimate_noise(np.asarray(case.clean.data, dtype=np.float32), "gaussian").level if own else 0.0
        for kind in ("gaussian",) if own else KINDS:
            for percent in levels:
                made = corrupt(case, kind, percent)
                if made is None:
                    continue
                noisy, truth = made
                start = time.process_time()
                try:
                    estimate = estimate_noise(noisy, "gaussian" if own else "auto")
                except NoiseError as error:
                    print(f"{case.name}, {kind}, {percent:g}%: {error}", flush=True)
                    continue
                seconds = time.process_time() - start
                truth = truth._replace(level=float(np.hypot(truth.level, before)))
                yield kind, percent, case.name, judge(estimate, truth), seconds


def line(kind: str, percent: str, rows: list[Row]) -> str:
    """A line of the table."""
    r = np.array([row.ratio for row in rows])
    maps = np.array([row.map_error for row in rows])
    false = sum(row.false_map for row in rows)
    told = f"{np.median(maps):.2f}" if np.isfinite(maps).all() else f"{false} false" if false else ""
    shares = [np.abs(r - 1) <= 0.1, np.abs(r - 1) <= 0.2, [x.covered for x in rows], [x.trusted for x in rows],
              [x.kind_right for x in rows]]  # fmt: skip
    cells = [f"{np.median(r):.3f} ({r.min():.2f} to {r.max():.2f})", *(f"{100 * np.mean(s):.0f}%" for s in shares)]
    return (
        f"| {kind} | {percent} | {len(rows)} | "
        + " | ".join(cells)
        + (f" | {np.median([x.correlation_error for x in rows]):.2f} | {told} |")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sets", nargs="+", default=[*PHANTOMS, *REAL], choices=[*PHANTOMS, *REAL])
    parser.add_argument("--split", default="val", choices=["val", "holdout"])
    parser.add_argument("--levels", nargs="+", type=float, default=list(LEVELS), help="percent of the range")
    parser.add_argument("--limit", type=int, help="cases of each set")
    parser.add_argument("--each", action="store_true", help="print every estimate too")
    arguments = parser.parse_args()
    for own in (False, True):
        sets = [s for s in arguments.sets if (s in REAL) == own]
        table: dict[tuple[str, str], list[Row]] = defaultdict(list)
        seconds = []
        for name in sets:
            cases = load_cases(name, arguments.split, arguments.limit)
            for kind, percent, case, row, took in rows_of(cases, own, tuple(arguments.levels)):
                table[kind, f"{percent:g}%"].append(row)
                table[kind, "all"].append(row)
                seconds.append(took)
                if arguments.each:
                    print(f"{case} {kind} {percent:g}%: {row.ratio:.3f} {row}", flush=True)
        if not table:
            continue
        print("\n" + ("Real scans, against sqrt(added^2 + own^2)" if own else "Phantoms") + f", {arguments.split}\n")
        print(HEADER + "\n" + "|---" * (HEADER.count("|") - 1) + "|")
        for kind in KINDS:
            keys = [k for k in table if k[0] == kind and k[1] != "all"] + [(kind, "all")]
            for key in keys:
                if table[key]:
                    print(line(*key, table[key]))
        print(f"\nprocessor seconds an estimate: median {np.median(seconds):.2f}, most {max(seconds):.2f}")


if __name__ == "__main__":
    main()
