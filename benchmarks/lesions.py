"""Small lesions put in before the noise: how much of their contrast comes back, medidiff beside BM4D.

Recovery of a lesion is the slope of (denoised - reference without lesions) on the lesion's template, over the template
and two voxels around it with a free constant, divided by the contrast put in. The reference without lesions is known.
Every scan is denoised twice under the same noise, the second time with every lesion's sign turned: in the mean of the
two, what noise and anatomy leave in the slope cancels as far as the method is linear, at no cost, since dark lesions
count as bright ones do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks._cases import Case, load_cases
from benchmarks._lesion_report import ENOUGH, Pictures, bins, to_markdown
from benchmarks._lesions import BINS, Planted, noisy_of, opposite, plant, recovery
from benchmarks._methods import Answer, Method, answer, own_methods, peer_method
from benchmarks._noise import Noisy, reference
from benchmarks._store import fetch, keep, place
from benchmarks._workers import Worker
from benchmarks.denoise import pick_cores

PERCENT = 9.0
SETS = ("head", "body", "procedural", "hippocampus", "ixi")
_MOST_PASSES = 24


class Scan(NamedTuple):
    """One noisy scan with its lesions. `turn` and `twin` (0, 1: signs turned) make its name its own."""

    case: Case
    turn: int
    twin: int
    planted: list[Planted]
    noisy: Noisy


def main() -> int:
    args = parse_arguments()
    cores = pick_cores(args.cores)
    if args.fill:
        return fill(args, len(cores))
    methods = [peer_method("bm4d"), *own_methods(args.prior, ("known", *(["blind"] if args.blind else [])), ("auto",))]
    rows: list[dict[str, Any]] = []
    pictures = Pictures(args.picture_set, args.percent)
    missing = 0
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for scan in scans(args):
            if args.cached_only and args.cache and not _place(args.cache, methods[0], scan).is_file():
                missing += 1
                continue
            answers: dict[str, Answer] = {}
            for method in methods:
                path = _place(args.cache, method, scan) if args.cache and method.kind != "medidiff" else None
                known = fetch(path) if path else None
                if known is None:
                    if method.name not in workers:
                        workers[method.name] = stack.enter_context(Worker(method, cores))
                    known = workers[method.name].denoise(scan.noisy)
                    if path:
                        keep(path, known)
                answers[method.name] = known
            rows += [row(scan, lesion, answers) for lesion in scan.planted]
            pictures.take(scan.case, scan.planted, scan.noisy, {name: a.data for name, a in answers.items()})
    if not rows:
        raise SystemExit("no scan is in the cache: leave --cached-only out, or fill the cache with --fill first.")
    text = to_markdown(rows, " ".join(sys.argv[1:]), args.prior, args.percent, missing)
    print(text)
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        report = {"command": "python -m benchmarks.lesions " + " ".join(sys.argv[1:]), "bins": bins(rows), "rows": rows}
        args.output.with_suffix(".json").write_text(json.dumps(report) + "\n", encoding="utf-8")
        args.output.with_suffix(".md").write_text(text, encoding="utf-8")
        pictures.write(args.output)
    return 0


def scans(args: argparse.Namespace) -> Iterator[Scan]:
    """Noisy scans with lesions, pass after pass over all cases, until every bin has `--each` lesions."""
    cases = [c for split in args.split for s in args.sets for c in load_cases(s, split, args.limit)]
    cases = [reference(c, "lesions") for c in cases]
    counts = dict.fromkeys(BINS, 0)
    for turn in range(_MOST_PASSES):
        if min(counts.values()) >= args.each:
            return
        for case in cases:
            planted = plant(case, turn)
            for lesion in planted:
                counts[lesion.size, lesion.contrast] += 2  # it and its opposite
            for twin, here in enumerate((planted, opposite(planted))):
                yield Scan(case, turn, twin, here, noisy_of(case, here, args.percent, turn))


def fill(args: argparse.Namespace, threads: int) -> int:
    """Compute what the cache lacks of BM4D, in this process, and look at no figure."""
    if args.cache is None:
        raise SystemExit("--fill: give --cache FOLDER, where the outputs go.")
    kept = made = 0
    for scan in scans(args):
        path = _place(args.cache, peer_method("bm4d"), scan)
        if path.is_file():
            kept += 1
            continue
        keep(path, answer(peer_method("bm4d"), scan.noisy, None, threads))
        made += 1
        print(f"{time.strftime('%H:%M:%S')} {path.name}", flush=True)
    print(f"{made} computed, {kept} were there", flush=True)
    return 0


def row(scan: Scan, lesion: Planted, answers: dict[str, Answer]) -> dict[str, Any]:
    """The recovery of one lesion by every method, and by none (`noisy`)."""
    put_in = lesion.sign * lesion.contrast * scan.noisy.std
    clean = scan.case.clean.data[lesion.box]
    outputs = {"noisy": scan.noisy.volume.data} | {name: a.data for name, a in answers.items()}
    found = {name: recovery(data[lesion.box] - clean, lesion) / put_in for name, data in outputs.items()}
    common = {"set": scan.case.set_name, "case": scan.case.name, "turn": scan.turn, "twin": scan.twin}
    return common | {"size": lesion.size, "contrast": lesion.contrast, "sign": lesion.sign} | found


def _place(folder: Path, method: Method, scan: Scan) -> Path:
    return place(folder, method, scan.case, scan.noisy)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lesions", description=__doc__)
    add = parser.add_argument
    add("--split", nargs="+", choices=("val", "holdout"), default=["val"], help="holdout: once, for publication")
    add("--sets", nargs="+", choices=SETS, default=list(SETS), help="where lesions are put")
    add("--each", type=int, default=ENOUGH, help="lesions a bin, half of them the other half's opposites")
    add("--percent", type=float, default=PERCENT, help="noise level in percent of the reference's range")
    add("--limit", type=int, help="cases per set (development)")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--blind", action="store_true", help="also medidiff that is not told the level")
    add("--cores", type=int, default=2, help="every method is pinned to this many cores")
    add("--cache", type=Path, help="folder of bm4d's outputs: taken from there, or computed and kept there")
    add("--cached-only", action="store_true", help="scans without a cached bm4d are left out")
    add("--fill", action="store_true", help="only fill the cache; no figure is computed")
    add("--picture-set", choices=SETS, default="ixi", help="which set the picture is of")
    add("--output", type=Path, help="path without ending; .json, .md, .png and _mean.png are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
