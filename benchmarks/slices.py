"""Slices that hold no measurement, filled by the prior or by interpolation: PSNR on them, on unseen patients.

`python -m benchmarks.slices` runs on val, `--split holdout` (once, for publication) writes benchmarks/results/slices.*.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

from benchmarks._cases import Case, centre, load_cases
from benchmarks._tables import unique
from benchmarks.denoise import processor_name
from medidiff import denoise
from medidiff.evaluate import paired_t, psnr
from medidiff.prior import Prior
from medidiff.tasks.gaps import Gaps
from medidiff.volume import Volume

RESULTS = Path(__file__).parent / "results" / "slices"
SETS = ("ixi", "hippocampus")
SHAPE = (48, 48, 49)
LEVELS = (0.0, 9.0)
METHODS = ("linear", "cubic", "denoised, linear", "medidiff")


class Thinned(NamedTuple):
    """A scan with slices taken away: what there was, what is left on the same grid, and which slices are gone."""

    truth: np.ndarray
    left: np.ndarray
    missing: tuple[int, ...]


def take_two_single(clean: np.ndarray, noisy: np.ndarray) -> Thinned:
    n = clean.shape[2]
    return Thinned(clean, noisy, (n // 3, 2 * n // 3))


def take_two_pairs(clean: np.ndarray, noisy: np.ndarray) -> Thinned:
    n = clean.shape[2]
    return Thinned(clean, noisy, (n // 3, n // 3 + 1, 2 * n // 3, 2 * n // 3 + 1))


def keep_every(k: int) -> Callable[[np.ndarray, np.ndarray], Thinned]:
    def thin(clean: np.ndarray, noisy: np.ndarray) -> Thinned:
        n = (clean.shape[2] - 1) // k * k + 1
        return Thinned(clean[:, :, :n], noisy[:, :, :n], tuple(i for i in range(n) if i % k))

    return thin


def average_three(clean: np.ndarray, noisy: np.ndarray) -> Thinned:
    """Thick slices as scanners make them: each the mean of three, compared with the thin ones between the centres."""
    left = noisy.copy()
    left[:, :, 1:-1] = (noisy[:, :, :-2] + noisy[:, :, 1:-1] + noisy[:, :, 2:]) / 3
    return keep_every(3)(clean[:, :, 1:-1], left[:, :, 1:-1])


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], Thinned]] = {
    "2 single slices missing": take_two_single,
    "2 pairs missing": take_two_pairs,
    "every 2nd measured": keep_every(2),
    "every 3rd measured": keep_every(3),
    "every 4th measured": keep_every(4),
    "thick: means of 3": average_three,
}


def measure(case: Case, percent: float, pattern: str, prior: Prior) -> dict[str, Any]:
    """One scan, thinned, filled by every method; medidiff estimates the noise level itself."""
    noisy = case.noisy(percent) if percent else case.clean
    blocks = (np.asarray(centre(v, SHAPE).data, dtype=np.float32) for v in (case.clean, noisy))
    thinned = PATTERNS[pattern](*blocks)
    gaps = Gaps(thinned.left.shape[2], thinned.missing)
    at, hidden = gaps.measured, list(gaps.missing)
    scan = Volume.from_array(thinned.left, case.clean.spacing_mm)
    result = denoise(scan, prior, noise="gaussian", missing=hidden)
    assert result.uncertainty is not None
    outputs = {
        "linear": gaps.expand(thinned.left[:, :, at]),
        "cubic": CubicSpline(at, thinned.left[:, :, at], axis=2, bc_type="natural")(np.arange(gaps.n_slices)),
        "denoised, linear": gaps.expand(result.output.data[:, :, at]),
        "medidiff": result.output.data,
    }
    truth = thinned.truth[:, :, hidden]
    error = np.abs(result.output.data[:, :, hidden] - truth)
    return {
        "set": case.set_name,
        "case": case.name,
        "level": percent,
        "pattern": pattern,
        "psnr": {name: psnr(truth, out[:, :, hidden], case.data_range) for name, out in outputs.items()},
        "within_90": float(np.mean(error < 1.645 * result.uncertainty.data[:, :, hidden])),
        "seconds": result.seconds,
    }


def to_markdown(report: dict[str, Any]) -> str:
    """What was done, and one table."""
    facts, rows = report["facts"], report["rows"]
    lines = [
        "# Slices that hold no measurement",
        "",
        f"`{facts['command']}`, {facts['date']}, {facts['processor']}, prior `{facts['prior']}`, split "
        f"{facts['split']}, {facts['minutes']:.1f} minutes.",
        "",
        f"Central blocks of {' x '.join(map(str, SHAPE))} voxels at most, one scan a patient. Slices along the third "
        "axis are taken away and filled; PSNR in dB on these slices alone, mean over patients, against the scan itself "
        "(which is noisy). Noise added: percent of the 99.5th minus the 0.5th percentile, which is also the range of "
        "PSNR; none: the scan's own only. Linear and cubic spline interpolate the slices as they are; `denoised, "
        "linear` interpolates the measured slices after medidiff has denoised them; medidiff fills with the prior, "
        "noise level estimated. Difference: medidiff minus linear, and minus the best of the three, with Student's "
        "paired 95% interval over patients. Within: share of voxels within 1.645 of the reported uncertainty (90% were "
        "it Gaussian and exact).",
        "",
        "| set | n | slices | noise added | " + " | ".join(METHODS) + " | minus linear | minus best other | within |",
        "|---" * (7 + len(METHODS)) + "|",
    ]
    for set_name in unique(rows, "set"):
        for pattern in unique(rows, "pattern"):
            for level in unique(rows, "level"):
                group = [r for r in rows if (r["set"], r["pattern"], r["level"]) == (set_name, pattern, level)]
                lines.append(_line(group))
    return "\n".join(lines) + "\n"


def _line(group: list[dict[str, Any]]) -> str:
    means = {name: float(np.mean([r["psnr"][name] for r in group])) for name in METHODS}
    best = max(METHODS[:-1], key=lambda name: means[name])
    own = [r["psnr"]["medidiff"] for r in group]
    differences = [paired_t(own, [r["psnr"][name] for r in group]) for name in ("linear", best)]
    first, within = group[0], float(np.mean([r["within_90"] for r in group]))
    cells = [first["set"], str(len(group)), first["pattern"], f"{first['level']:g}%" if first["level"] else "none"]
    cells += [f"{means[name]:.2f}" for name in METHODS] + [str(d) for d in differences] + [f"{within:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    """Measure, print, and write where asked or for holdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slices", description=__doc__)
    add = parser.add_argument
    add("--split", choices=("val", "holdout"), default="val", help="holdout: once, for publication")
    add("--limit", type=int, default=4, help="scans a set")
    add("--levels", type=float, nargs="+", default=list(LEVELS), help="noise added, percent of the range")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add(
        "--output",
        type=Path,
        help="path without ending; .json and .md are written (holdout: benchmarks/results/slices)",
    )
    args = parser.parse_args()
    prior, started, rows = Prior.load(args.prior), time.perf_counter(), []
    for case in (case for name in SETS for case in load_cases(name, args.split, args.limit)):
        for pattern in PATTERNS:
            for level in args.levels:
                rows.append(measure(case, level, pattern, prior))
                print({k: rows[-1][k] for k in ("case", "pattern", "level", "psnr")}, file=sys.stderr, flush=True)
    facts = {
        "command": " ".join(["python -m benchmarks.slices", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor_name(),
        "prior": args.prior,
        "split": args.split,
        "minutes": (time.perf_counter() - started) / 60,
    }
    report = {"facts": facts, "rows": rows}
    text = to_markdown(report)
    print(text)
    stem = args.output or (RESULTS if args.split == "holdout" else None)
    if stem is not None:
        stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
