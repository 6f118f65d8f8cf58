"""Peak memory of `medidiff.denoise` on large scans, each in a process of its own: 256x256x180, and 512^3 in 6 GiB."""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import os
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._methods import peak_mib, reset_peak

RESULTS = Path(__file__).parent / "results"
CASES = (("256x256x180", None, "over its own size", 1.5), ("512x512x512", None, "in all", 6.0))
"""Shape, --max-gb, what is held against the limit, the limit in GiB."""


def main() -> int:
    args = parse_arguments()
    rows = [measure(args, *case) for case in CASES if args.shape in (None, case[0])]
    load = os.getloadavg()[0]
    text = to_markdown(rows, args, load)
    print(text)
    if args.output:
        report = {"command": " ".join(sys.argv[1:]), "prior": args.prior, "load": load, "rows": rows}
        args.output.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        args.output.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0


def measure(args: argparse.Namespace, shape: str, max_gb: float | None, against: str, limit: float) -> dict[str, Any]:
    """One scan in a process of its own."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, shape, args.prior, max_gb, args.noise, args.threads))
    process.start()
    theirs.close()
    try:
        row: dict[str, Any] = ours.recv()
    except EOFError:
        row = {"failed": "its process ended; its own message is above"}
    process.join()
    row |= {"shape": shape, "max_gb": max_gb, "against": against, "limit_gib": limit}
    if "failed" not in row:
        gib = (row["peak_mib"] - (row["scan_mib"] if against == "over its own size" else 0)) / 1024
        row |= {"gib": gib, "holds": gib <= limit}
    print(f"{shape}: {row}", file=sys.stderr)
    return row


def _work(
    connection: Connection, shape: str, prior: str, max_gb: float | None, noise: str, threads: int | None
) -> None:
    import psutil

    import medidiff
    from medidiff.errors import MedidiffError
    from medidiff.prior import Prior
    from medidiff.volume import Volume

    rng = np.random.default_rng(0)
    sides = [int(n) for n in shape.split("x")]
    data = np.empty(sides, dtype=np.float32)
    ramp = np.linspace(0, 100, sides[1], dtype=np.float32)[:, None]
    for i in range(sides[0]):  # slice by slice, so that making it needs no more than itself
        data[i] = ramp + 50 * ((i // 16) % 2) + 10 * rng.standard_normal(data[i].shape, dtype=np.float32)
    loaded = Prior.load(prior)
    held = psutil.Process().memory_info().rss / 2**20
    reset_peak()
    start = time.perf_counter()
    try:
        result = medidiff.denoise(
            Volume.from_array(data),
            loaded,
            noise="auto" if noise == "auto" else "gaussian",
            noise_std=None if noise == "auto" else 10.0,
            max_gb=max_gb,
            threads=threads,
        )
    except MedidiffError as error:
        connection.send({"failed": str(error)})
        return
    row = {"seconds": time.perf_counter() - start, "peak_mib": peak_mib(), "held_before_mib": held}
    row |= {"scan_mib": data.nbytes / 2**20, "tile": result.provenance["tile"], "status": result.status}
    row["finite"] = bool(all(np.isfinite(result.output.data[i]).all() for i in range(sides[0])))
    connection.send(row)


def to_markdown(rows: list[dict[str, Any]], args: argparse.Namespace, load: float) -> str:
    """One row a scan."""
    lines = [
        "# Peak memory",
        "",
        f"`python -m benchmarks.memory {' '.join(sys.argv[1:])}`, {time.strftime('%Y-%m-%d')}, prior `{args.prior}`, "
        f"noise {args.noise}, load {load:.1f}. Peak resident memory of a fresh process with the scan (float32), the "
        "prior, torch and everything the result holds.",
        "",
        "| scan | --max-gb | seconds | tile | peak, GiB | held against | GiB | at most | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        if "failed" in r:
            lines.append(f"| {r['shape']} | {r['max_gb'] or ''} | failed: {r['failed']} |")
            continue
        tile = "x".join(map(str, r["tile"]))
        lines.append(
            f"| {r['shape']} | {r['max_gb'] or ''} | {r['seconds']:.0f} | {tile} | {r['peak_mib'] / 1024:.2f} | "
            f"{r['against']} | {r['gib']:.2f} | {r['limit_gib']:g} | {'HOLDS' if r['holds'] else 'SHORT'} |"
        )
    return "\n".join(lines) + "\n"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add = parser.add_argument
    add("--shape", choices=[c[0] for c in CASES], help="only this one")
    add("--prior", default="general", help="a shipped prior's name or a .safetensors file")
    add("--noise", choices=("auto", "known"), default="auto", help="auto also measures the estimators")
    add("--threads", type=int, help="processor threads")
    add("--output", type=Path, help="path without ending; .json and .md are written")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
