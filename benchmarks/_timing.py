"""How many times faster than BM4D, in one run on the same cores, with nothing cached."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._cases import load_cases
from benchmarks._methods import Method, own_methods, peer_method
from benchmarks._noise import corrupt
from benchmarks._workers import Worker

SETS = ("head", "procedural", "hippocampus", "ixi")
PERCENT = 9.0
ROUNDS = 2
LEAST_RATIO = 25.0
QUIET_LOAD = 0.5


def run_timing(prior: str, cores: list[int], split: str, facts: dict[str, Any], output: Path | None) -> int:
    """One val case a set, every method in turn, `ROUNDS` times; the sums of the fastest rounds are compared."""
    methods: list[Method] = [peer_method("bm4d"), *own_methods(prior, ("known", "blind"), ("auto", "float32"))]
    noisy = [corrupt(case, "gaussian", PERCENT) for name in SETS for case in load_cases(name, split, 1)]
    seconds: dict[str, list[list[float]]] = {m.name: [] for m in methods}
    extra: dict[str, float] = {}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with ExitStack() as stack:
        workers = {m.name: stack.enter_context(Worker(m, cores)) for m in methods}
        for scan in noisy:
            for name, worker in workers.items():
                answers = [worker.denoise(scan) for _ in range(1 if name == "bm4d" else ROUNDS)]
                seconds[name].append([a.seconds for a in answers])
                extra[name] = max(extra.get(name, 0.0), *(a.extra_mib for a in answers))
                print(f"{scan.volume.shape} {name}: {seconds[name][-1]}", file=sys.stderr)
    total = {name: float(np.sum([min(rounds) for rounds in each])) for name, each in seconds.items()}
    ratios = {name: total["bm4d"] / total[name] for name in total if name != "bm4d"}
    voxels = sum(s.volume.data.size for s in noisy)
    facts = {**facts, "load_at_start": load, "date": time.strftime("%Y-%m-%d"), "prior": prior, "voxels": voxels}
    report = {"facts": facts, "seconds": seconds, "total": total, "ratios": ratios, "extra_mib": extra}
    text = to_markdown(report)
    print(text)
    if output is not None:
        output.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        output.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0


def to_markdown(report: dict[str, Any]) -> str:
    """One row a method, and the demand."""
    facts, ratios = report["facts"], report["ratios"]
    lines = [
        "# Speed beside BM4D",
        "",
        f"`{facts['command'].strip()}`, {facts['date']}, {facts['processor']}, {len(facts['cores'])} cores, prior "
        f"`{facts['prior']}`, load {facts['load_at_start']:.1f} at the start; Gaussian {PERCENT:g}%, one scan of each "
        f"of {', '.join(SETS)} ({facts['voxels'] / 1e6:.2f} million voxels), warm processes, BM4D once, the others the "
        f"faster of {ROUNDS}.",
        "",
        "| method | seconds | times faster than bm4d | extra memory, MiB |",
        "|---|---|---|---|",
    ]
    for name, total in report["total"].items():
        ratio = f"{ratios[name]:.1f}" if name in ratios else ""
        lines.append(f"| {name} | {total:.2f} | {ratio} | {report['extra_mib'][name]:.0f} |")
    verdict = "HOLDS" if ratios["medidiff known"] >= LEAST_RATIO else "SHORT"
    lines += ["", f"At least {LEAST_RATIO:g} times faster in the default mode: {verdict}."]
    if facts["load_at_start"] > QUIET_LOAD:
        lines += ["", "**The machine was busy when this run began: the ratio is not to be quoted.**"]
    return "\n".join(lines) + "\n"
