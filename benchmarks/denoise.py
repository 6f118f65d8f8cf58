"""Denoising at a known Gaussian level against BM4D: PSNR, SSIM, seconds and memory, on phantoms and unseen patients."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks._cases import DEFAULT_SETS, REAL_SETS, Case, load_cases
from benchmarks._methods import Answer, Method, Worker, cached_bm4d
from benchmarks._tables import to_markdown
from medidiff.evaluate import psnr, ssim3d
from medidiff.volume import Volume

RESULTS = Path(__file__).parent / "results"
LEVELS = (3.0, 9.0, 15.0)


def main() -> int:
    args = parse_arguments()
    cores = pick_cores(args.cores)
    methods = [Method(name, name) for name in args.peers]
    methods += [Method(f"medidiff {p}", "medidiff", args.prior, p) for p in args.precision]
    facts = describe(args, cores)
    print(f"cores used by every method: {len(cores)} ({', '.join(map(str, cores))}); {facts['processor']}")
    started, rows, memory = time.perf_counter(), [], {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for method in methods:
            if not (method.kind == "bm4d" and args.cache):
                workers[method.name] = stack.enter_context(Worker(method, cores))
        for split in args.split:
            for set_name in args.sets:
                for case in load_cases(set_name, split, args.limit):
                    for percent in args.levels:
                        rows += measure(case, split, percent, methods, workers, args.cache)
        for name, worker in workers.items():
            resting_mib, peak_mib = worker.memory_mib()
            memory[name] = {"resting_mib": resting_mib, "peak_mib": peak_mib, "start_seconds": worker.start_seconds}
    facts["total_seconds"] = time.perf_counter() - started
    report = {"facts": facts, "memory": memory, "rows": rows}
    text = to_markdown(report)
    print("\n" + text)
    write(report, text, args)
    return 0


def measure(
    case: Case, split: str, percent: float, methods: list[Method], workers: dict[str, Worker], cache: Path | None
) -> list[dict[str, Any]]:
    """One noisy scan through every method; the noisy scan itself is the first row."""
    noisy = case.noisy(percent)
    common = {"split": split, "set": case.set_name, "case": case.name, "level": percent, "voxels": noisy.data.size}
    rows = [common | score(case, Answer(noisy.data, 0.0, 0.0)) | {"method": "noisy"}]
    for method in methods:
        if method.name in workers:
            answer = workers[method.name].denoise(case, noisy, percent)
        elif cache is not None:
            answer = cached_bm4d(case, noisy, percent, cache)
        else:
            raise RuntimeError(f"no worker for {method.name}")
        rows.append(common | score(case, answer) | {"method": method.name})
    print(
        f"{split} {case.name} {percent:g}%: " + ", ".join(f"{r['method']} {r['psnr']:.2f}" for r in rows),
        file=sys.stderr,
    )
    return rows


def score(case: Case, answer: Answer) -> dict[str, Any]:
    """The figures of one output against the reference."""
    reference: Volume = case.clean
    return {
        "psnr": psnr(reference.data, answer.data, case.data_range),
        "psnr_foreground": psnr(reference.data, answer.data, case.data_range, case.foreground),
        "ssim": ssim3d(reference.data, answer.data, case.data_range),
        "seconds": answer.seconds,
        "cpu_seconds": answer.cpu_seconds,
        "note": answer.note,
    }


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
    for name in ("medidiff", "torch", "numpy", "bm4d", "scikit-image"):
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
        "cached_bm4d": args.cache is not None,
        "limit": args.limit,
    }


def processor_name() -> str:
    """The processor as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write(report: dict[str, Any], text: str, args: argparse.Namespace) -> None:
    """Results go to the repository only from a full run; a development run needs --output."""
    stem = args.output or (None if args.cache or args.limit else RESULTS / "denoise")
    if stem is None:
        print("development run (--cache or --limit): nothing written; give --output STEM to keep it", file=sys.stderr)
        return
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"written: {stem.with_suffix('.json')} and {stem.with_suffix('.md')}", file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denoise", description=__doc__)
    add = parser.add_argument
    add("--levels", type=float, nargs="+", default=list(LEVELS), help="noise, percent of the reference's range")
    add("--sets", nargs="+", default=list(DEFAULT_SETS), help=f"among {', '.join(DEFAULT_SETS + REAL_SETS[2:])}")
    add("--split", nargs="+", choices=("val", "holdout"), default=["val"], help="holdout: once, for publication")
    add("--peers", nargs="*", choices=("bm4d",), default=["bm4d"], help="what to compare with")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--precision", nargs="*", default=["auto", "float32"], help="medidiff runs, each a column; none: peers only")
    add("--cores", type=int, default=2, help="every method is pinned to this many cores")
    add("--limit", type=int, help="cases per set (development)")
    add("--cache", type=Path, help="folder of cached BM4D outputs (development; its seconds are not comparable)")
    add("--output", type=Path, help="path without ending; .json and .md are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
