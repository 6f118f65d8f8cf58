"""Small lesions put in before the noise: how much of their contrast comes back, medidiff beside BM4D.

Recovery of a lesion is the slope of (denoised - reference without lesions) on the lesion's template, over the template
and two voxels around it with a free constant, divided by the contrast put in. The reference without lesions is known,
so anatomy cancels; what the noise leaves is the same for both methods and has mean zero, since half of the lesions are
dark. Denoising the scan once more without lesions under the same noise would cancel that too, at twice BM4D's cost:
with at least 200 lesions a bin the interval is narrow enough without it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks._cases import Case, load_cases
from benchmarks._methods import Answer, answer, own_methods, peer_method
from benchmarks._noise import PHANTOMS, Noisy, generator, reference
from benchmarks._pictures import draw
from benchmarks._store import fetch, keep, place
from benchmarks._workers import Worker
from benchmarks.denoise import pick_cores
from medidiff.evaluate import paired_t

SIZES = (3, 4, 5, 6)
"""Across, in voxels."""
CONTRASTS = (1.0, 2.0, 3.0)
"""Times the noise's standard deviation; bright and dark in turn."""
PERCENT = 9.0
SETS = ("head", "body", "procedural", "hippocampus", "ixi")
MOST_LOSS = 0.02
ENOUGH = 200
_APART = 10
_NEAR = 2
_INSIDE = 0.9  # of the neighbourhood must be foreground
_MOST_PASSES = 12


class Planted(NamedTuple):
    """One lesion: its bin, its sign, where it is, and its template there."""

    size: int
    contrast: float
    sign: int
    box: tuple[slice, slice, slice]
    template: np.ndarray


def main() -> int:
    args = parse_arguments()
    cores = pick_cores(args.cores)
    if args.fill and args.cache is None:
        raise SystemExit("--fill: give --cache FOLDER, where the outputs go.")
    own = own_methods(args.prior, ("known",), ("auto",))[0]
    methods = [peer_method("bm4d"), own]
    rows: list[dict[str, Any]] = []
    picture: dict[str, np.ndarray] | None = None
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for case, planted, noisy in scans(args):
            answers: dict[str, Answer] = {}
            for method in methods:
                if args.fill and method is own:
                    continue
                path = place(args.cache, method, case, noisy) if args.cache and method is not own else None
                known = fetch(path) if path else None
                if known is None and args.cached_only and path:
                    break
                if known is None and args.fill:
                    known = answer(method, noisy, None, len(cores))
                    print(f"{time.strftime('%H:%M:%S')} {case.name}", flush=True)
                elif known is None:
                    if method.name not in workers:
                        workers[method.name] = stack.enter_context(Worker(method, cores))
                    known = workers[method.name].denoise(noisy)
                if path and not path.is_file():
                    keep(path, known)
                answers[method.name] = known
            if len(answers) < len(methods):
                continue
            rows += [row(case, lesion, answers) for lesion in planted]
            if picture is None and case.set_name == args.picture_set:
                picture = {"noisy": noisy.volume.data, **{k: a.data for k, a in answers.items()}}
                picture["reference"] = with_lesions(case, planted).data
    if args.fill:
        return 0
    text = to_markdown(rows, args)
    print(text)
    if args.output:
        report = {"command": "python -m benchmarks.lesions " + " ".join(sys.argv[1:]), "bins": bins(rows), "rows": rows}
        args.output.with_suffix(".json").write_text(json.dumps(report) + "\n", encoding="utf-8")
        args.output.with_suffix(".md").write_text(text, encoding="utf-8")
        if picture:
            middle = _APART // 2
            panels = [(name, data[:, :, middle].T) for name, data in picture.items()]
            title = f"lesions of {SIZES[0]} to {SIZES[-1]} voxels, contrast 1 to 3 times the noise ({PERCENT:g}%)"
            Image.fromarray(draw(title, panels)).save(args.output.with_suffix(".png"), optimize=True)
    return 0


def scans(args: argparse.Namespace) -> Iterator[tuple[Case, list[Planted], Noisy]]:
    """Noisy scans with lesions, pass after pass over all cases, until every bin has `--each` lesions."""
    cases = [c for split in args.split for s in args.sets for c in load_cases(s, split, args.limit)]
    cases = [reference(c, "lesions") for c in cases]
    counts = dict.fromkeys(((s, c) for s in SIZES for c in CONTRASTS), 0)
    for turn in range(_MOST_PASSES):
        for case in cases:
            if min(counts.values()) >= args.each:
                return
            planted = plant(case, turn)
            for lesion in planted:
                counts[lesion.size, lesion.contrast] += 1
            named = replace(case, name=f"{case.name}_lesions{turn}")
            yield named, planted, noisy_of(named, planted)


def plant(case: Case, turn: int) -> list[Planted]:
    """Lesions on a grid of `_APART` voxels wherever the neighbourhood is foreground, the bins in turn."""
    rng = generator(case, "lesions", turn)
    kinds = [(s, c) for s in SIZES for c in CONTRASTS]
    found: list[Planted] = []
    foreground, offset = case.foreground, int(rng.integers(len(kinds)))
    starts = (range(0, n - _APART + 1, _APART) for n in case.clean.shape)
    for corner in np.array(np.meshgrid(*starts, indexing="ij")).reshape(3, -1).T:
        box = tuple(slice(int(a), int(a) + _APART) for a in corner)
        if foreground[box].mean() < _INSIDE:
            continue
        size, contrast = kinds[(offset + len(found)) % len(kinds)]
        # Anywhere between voxels, so that no lesion sits on the grid better than another.
        centre = (_APART - 1) / 2 + rng.uniform(-0.5, 0.5, 3)
        sign = 1 if rng.uniform() < 0.5 else -1
        found.append(Planted(size, contrast, sign, box, ball(size, centre)))  # type: ignore[arg-type]
    return found


def ball(size: int, centre: np.ndarray) -> np.ndarray:
    """A ball `size` voxels across with partial-volume edges, in a box of `_APART`."""
    index = np.meshgrid(*(np.arange(_APART),) * 3, indexing="ij")
    distance = np.sqrt(sum((i - c) ** 2 for i, c in zip(index, centre, strict=True)))
    return np.clip(0.5 + size / 2 - distance, 0, 1)


def with_lesions(case: Case, planted: list[Planted]) -> Any:
    """The reference with the lesions in it."""
    data = case.clean.data.copy()
    std = case.noise_std(PERCENT)
    for lesion in planted:
        data[lesion.box] += (lesion.sign * lesion.contrast * std * lesion.template).astype(data.dtype)
    return case.clean.with_data(data)


def noisy_of(case: Case, planted: list[Planted]) -> Noisy:
    """The lesions first, then white Gaussian noise."""
    std = case.noise_std(PERCENT)
    noise = generator(case, "lesion noise", PERCENT).standard_normal(case.clean.shape)
    data = (with_lesions(case, planted).data + std * noise).astype(np.float32)
    return Noisy("gaussian_lesions", PERCENT, case.clean.with_data(data), std, case.lower, case.data_range)


def row(case: Case, lesion: Planted, answers: dict[str, Answer]) -> dict[str, Any]:
    """The recovery of one lesion by every method."""
    put_in = lesion.sign * lesion.contrast * case.noise_std(PERCENT)
    found = {name: recovery(a.data[lesion.box] - case.clean.data[lesion.box], lesion) for name, a in answers.items()}
    common = {"set": case.set_name, "case": case.name, "size": lesion.size, "contrast": lesion.contrast}
    return common | {name: value / put_in for name, value in found.items()}


def recovery(change: np.ndarray, lesion: Planted) -> float:
    """Least squares: what multiple of the template, beside a constant, the change is."""
    near = lesion.template > 0
    for axis in range(3):
        for _ in range(_NEAR):
            grown = near.copy()
            lower, upper = _shifted(near, axis)
            grown |= lower | upper
            near = grown
    t = lesion.template[near] - lesion.template[near].mean()
    return float(np.dot(t, change[near]) / np.dot(t, t))


def _shifted(near: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """A voxel down and a voxel up along an axis, nothing coming in at the border."""
    lower, upper = np.roll(near, -1, axis), np.roll(near, 1, axis)
    np.moveaxis(lower, axis, 0)[-1] = False
    np.moveaxis(upper, axis, 0)[0] = False
    return lower, upper


def bins(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean recovery a bin and the difference with its interval over scans: lesions of one scan share their noise."""
    found = []
    for size in SIZES:
        for contrast in CONTRASTS:
            here = [r for r in rows if (r["size"], r["contrast"]) == (size, contrast)]
            if not here:
                continue
            ours, theirs = (np.array([r[m] for r in here]) for m in ("medidiff known", "bm4d"))
            names = sorted({r["case"] for r in here})
            means = [
                [float(np.mean([r[m] for r in here if r["case"] == n])) for n in names]
                for m in ("medidiff known", "bm4d")
            ]
            interval = paired_t(means[0], means[1])
            found.append(
                {
                    "size": size,
                    "contrast": contrast,
                    "n": len(here),
                    "medidiff": float(ours.mean()),
                    "bm4d": float(theirs.mean()),
                    "difference": float(ours.mean() - theirs.mean()),
                    "interval": [interval.low, interval.high],
                    "holds": bool(ours.mean() >= theirs.mean() - MOST_LOSS),
                }
            )
    return found


def to_markdown(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    """One row a bin, then the same apart for phantoms and real scans in the mean."""
    lines = [
        "# Small lesions",
        "",
        f"`python -m benchmarks.lesions {' '.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}, prior `{args.prior}`. "
        f"Balls put into the reference before {PERCENT:g}% white Gaussian noise of known level, {len(rows)} in "
        f"{len({r['case'] for r in rows})} noisy scans, {_APART} voxels apart, half of them darker than what they "
        "replace. Recovery: contrast found over contrast put in, by regression on the lesion's shape against the known "
        "scan without lesions; 1 is all of it. The interval of the difference is over scans.",
        "",
        "| across, voxels | contrast / noise | n | bm4d | medidiff | difference [95%] | |",
        "|---|---|---|---|---|---|---|",
    ]
    for b in bins(rows):
        verdict = ("HOLDS" if b["holds"] else "SHORT") + ("" if b["n"] >= ENOUGH else f" (fewer than {ENOUGH})")
        low, high = b["interval"]
        lines.append(
            f"| {b['size']} | {b['contrast']:g} | {b['n']} | {b['bm4d']:.3f} | {b['medidiff']:.3f} | "
            f"{b['difference']:+.3f} [{low:+.3f}, {high:+.3f}] | {verdict} |"
        )
    for name, keep_phantoms in (("noise-free scans", True), ("real scans", False)):
        here = [r for r in rows if (r["set"] in PHANTOMS) == keep_phantoms]
        if here:
            ours, theirs = (float(np.mean([r[m] for r in here])) for m in ("medidiff known", "bm4d"))
            lines += ["", f"All bins, {name}: medidiff {ours:.3f}, bm4d {theirs:.3f} ({len(here)} lesions)."]
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lesions", description=__doc__)
    add = parser.add_argument
    add("--split", nargs="+", choices=("val", "holdout"), default=["val"], help="holdout: once, for publication")
    add("--sets", nargs="+", choices=SETS, default=list(SETS), help="where lesions are put")
    add("--each", type=int, default=ENOUGH, help="lesions a bin")
    add("--limit", type=int, help="cases per set (development)")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--cores", type=int, default=2, help="every method is pinned to this many cores")
    add("--cache", type=Path, help="folder of bm4d's outputs: taken from there, or computed and kept there")
    add("--cached-only", action="store_true", help="scans without a cached bm4d are left out")
    add("--fill", action="store_true", help="only fill the cache; no figure is computed")
    add("--picture-set", choices=SETS, default="ixi", help="which set the picture is of")
    add("--output", type=Path, help="path without ending; .json, .md and .png are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
