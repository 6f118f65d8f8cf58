"""Denoising against the peers: five kinds of noise, PSNR, SSIM, seconds and memory, on phantoms and unseen patients."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks._cases import Case, load_cases
from benchmarks._methods import PEER_NAMES, Answer, Method, answer, own_methods, peer_method
from benchmarks._noise import KINDS, LEVELS, SETS, Noisy, corrupt, reference
from benchmarks._pictures import Gallery
from benchmarks._rows import peers_of
from benchmarks._scores import score
from benchmarks._store import fetch, keep, place
from benchmarks._tables import to_markdown
from benchmarks._workers import Worker

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    args = parse_arguments()
    cores = pick_cores(args.cores)
    if args.timing:
        from benchmarks._timing import run_timing

        return run_timing(args.prior, cores, args.split[0], describe(args, cores), args.output)
    methods = [peer_method(name) for name in args.peers]
    if args.fill:
        return fill(args, methods, len(cores))
    methods += own_methods(args.prior, args.told, args.precision) if args.told else []
    facts = describe(args, cores)
    print(f"cores used by every method: {len(cores)} ({', '.join(map(str, cores))}); {facts['processor']}")
    started, rows, memory, missing = time.perf_counter(), [], {}, {}
    gallery = Gallery()
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}

        def found(method: Method, case: Case, noisy: Noisy) -> Answer | None:
            path = place(args.cache, method, case, noisy) if args.cache and method.kind != "medidiff" else None
            known = fetch(path) if path else None
            if known is not None or (path and args.cached_only):
                if known is None:
                    missing[method.name] = missing.get(method.name, 0) + 1
                return known
            if method.name not in workers:
                workers[method.name] = stack.enter_context(Worker(method, cores))
            known = workers[method.name].denoise(noisy)
            if path:
                keep(path, known)
            return known

        for split, case, noisy in scans(args):
            common = {"split": split, "set": case.set_name, "case": case.name, "kind": noisy.kind}
            common |= {"level": noisy.level, "voxels": noisy.volume.data.size}
            here = [("noisy", Answer(noisy.volume.data, 0.0, 0.0))]
            for method in methods:
                if method.applies(noisy) and (a := found(method, case, noisy)) is not None:
                    here.append((method.name, a))
            scores = [common | score(case, noisy, a) | {"method": name} for name, a in here]
            rows += scores
            gallery.offer(case, noisy, dict(here))
            if not args.quiet:
                figures = ", ".join(f"{r['method']} {r['psnr']:.2f}" for r in scores)
                print(f"{split} {case.name} {noisy.kind} {noisy.level:g}: {figures}", file=sys.stderr)
        for name, worker in workers.items():
            resting_mib, _ = worker.memory_mib()
            memory[name] = {"resting_mib": resting_mib, "start_seconds": worker.start_seconds}
    if args.peers_from:
        rows += peers_of(args.peers_from, rows)
        facts["peers_from"] = str(args.peers_from)
    facts |= {"total_seconds": time.perf_counter() - started, "missing_in_cache": missing}
    report = {"facts": facts, "memory": memory, "rows": rows}
    text = to_markdown(report)
    print("\n" + text)
    write(report, text, gallery, args)
    return 0


def scans(args: argparse.Namespace) -> Iterator[tuple[str, Case, Noisy]]:
    """Every noisy scan of the run, one kind and level after the other."""
    for split in args.split:
        kept: dict[str, list[Case]] = {}
        for kind in args.kinds:
            for level in [x for x in LEVELS[kind] if args.levels is None or x in args.levels]:
                for set_name in [s for s in SETS[kind] if args.sets is None or s in args.sets]:
                    if set_name not in kept:
                        kept[set_name] = load_cases(set_name, split, args.limit)
                    for case in kept[set_name]:
                        case_here = reference(case, kind, args.whole_blocks)
                        yield split, case_here, corrupt(case_here, kind, level)


def fill(args: argparse.Namespace, methods: list[Method], threads: int) -> int:
    """Compute what the cache lacks, in this process, and look at no figure."""
    if args.cache is None:
        raise SystemExit("--fill: give --cache FOLDER, where the outputs go.")
    kept = made = 0
    for _, case, noisy in scans(args):
        for method in methods:
            if not method.applies(noisy):
                continue
            path = place(args.cache, method, case, noisy)
            if path.is_file():
                kept += 1
                continue
            keep(path, answer(method, noisy, None, threads))
            made += 1
            print(f"{time.strftime('%H:%M:%S')} {path.relative_to(args.cache)}", flush=True)
    print(f"{made} computed, {kept} were there", flush=True)
    return 0


def pick_cores(count: int) -> list[int]:
    """The first `count` cores this process may use; all methods are pinned to them."""
    available = (
        sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    )
    if not 1 <= count <= len(available):
        raise SystemExit(f"--cores {count}: must be from 1 to {len(available)}, the cores of this machine.")
    return available[:count]


def describe(args: argparse.Namespace, cores: list[int]) -> dict[str, Any]:
    """Everything needed to read the figures later."""
    packages = {}
    for name in ("medidiff", "torch", "numpy", "bm4d", "dipy", "antspyx", "scikit-image", "simpleitk"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "absent"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor_name(),
        "system": platform.platform(),
        "cores": cores,
        "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": packages,
        "command": "python -m benchmarks.denoise " + " ".join(sys.argv[1:]),
        "prior": args.prior,
        "cached": args.cache is not None,
        "limit": args.limit,
        "whole_blocks": args.whole_blocks,
    }


def processor_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(report: dict[str, Any], text: str, gallery: Gallery, args: argparse.Namespace) -> None:
    """Results go to the repository only where `--output` says so."""
    if args.output is None:
        print("nothing written; give --output STEM to keep it (benchmarks/results/denoise is quoted)", file=sys.stderr)
        return
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.with_suffix(".json").write_text(compact(report), encoding="utf-8")
    args.output.with_suffix(".md").write_text(text, encoding="utf-8")
    pictures = gallery.write(args.output)
    print(f"written: {args.output}.json, .md and {len(pictures)} pictures", file=sys.stderr)


def compact(report: dict[str, Any]) -> str:
    """JSON with a row a line, six digits, nothing empty."""
    rows = [json.dumps(rounded({k: v for k, v in row.items() if v != {}})) for row in report["rows"]]
    head = json.dumps({k: v for k, v in report.items() if k != "rows"}, indent=1)
    return head[:-2] + ',\n "rows": [\n' + ",\n".join(rows) + "\n]\n}\n"


def rounded(value: Any) -> Any:
    """The same with floats of six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denoise", description=__doc__)
    add = parser.add_argument
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of noise")
    add("--levels", type=float, nargs="+", help="only these of each kind's levels")
    add("--sets", nargs="+", choices=sorted({s for v in SETS.values() for s in v}), help="only these of a kind's sets")
    add("--split", nargs="+", choices=("val", "holdout"), default=["val"], help="holdout: once, for publication")
    add("--peers", nargs="*", choices=PEER_NAMES, default=list(PEER_NAMES), help="what to compare with")
    add("--told", nargs="*", choices=("known", "blind"), default=["known", "blind"], help="what medidiff is told")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--precision", nargs="+", default=["auto"], help="medidiff runs, each a column")
    add("--cores", type=int, default=2, help="every method is pinned to this many cores")
    add("--limit", type=int, help="cases per set (development)")
    add("--cache", type=Path, help="folder of the peers' outputs: taken from there, or computed and kept there")
    add("--peers-from", type=Path, help="JSON of an earlier run: the peers' rows that this one lacks, same noisy scans")
    add("--whole-blocks", action="store_true", help="every kind on the blocks of gaussian: for medidiff alone")
    add("--cached-only", action="store_true", help="what the cache lacks is left out instead of computed")
    add("--fill", action="store_true", help="only fill the cache; no figure is computed")
    add("--timing", action="store_true", help="only how many times faster than bm4d, nothing cached, four val scans")
    add("--quiet", action="store_true", help="no line for each scan")
    add("--output", type=Path, help="path without ending; .json, .md and pictures are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
