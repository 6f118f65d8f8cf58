"""What the audit's similarities cost: 200 synthetics against 200 scans by pose search, 10 000 against 10 000 by index.

    python -m benchmarks._audit_speed                      # both, two threads, each in a process of its own
    python -m benchmarks._audit_speed --queries 10         # fewer queries, the time of 200 extrapolated

Random scans: the search does the same work whatever they show.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SHAPE = (40, 56, 40)
SCANS = 200
EMBEDDINGS, FEATURES = 10_000, 128
LIMIT_SECONDS, LIMIT_GIB = 600.0, 4.0


def pose_search(queries: int, threads: int) -> dict[str, Any]:
    """Seconds of setting up a gallery of 200 and of each query, in this process."""
    import torch

    from medidiff.privacy.similarity import InvariantSimilarity

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    gallery = rng.standard_normal((SCANS, *SHAPE), dtype=np.float32)
    made = rng.standard_normal((SCANS, *SHAPE), dtype=np.float32)  # all are in memory, however many are searched
    similarity = InvariantSimilarity()
    setup = _timed(lambda: similarity.matrix(made[:1], gallery))
    each = _timed(lambda: similarity.matrix(made[:queries], gallery))
    done = {name: each[name] / queries for name in each}
    return {
        "pairs": queries * SCANS,
        "setup_seconds": setup["seconds"],
        "query_seconds": done["seconds"],
        "query_cpu_seconds": done["cpu_seconds"],
        "seconds": setup["seconds"] + SCANS * done["seconds"],
        "cpu_seconds": setup["cpu_seconds"] + SCANS * done["cpu_seconds"],
    }


def index_search(threads: int) -> dict[str, Any]:
    """Seconds of the two nearest of 10 000 among 10 000 embeddings, in this process."""
    import torch

    from medidiff.privacy.index import nearest

    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    queries, gallery = (rng.standard_normal((EMBEDDINGS, FEATURES), dtype=np.float32) for _ in range(2))
    queries, gallery = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (queries, gallery))
    return {"pairs": EMBEDDINGS**2, **_timed(lambda: nearest(queries, gallery, 2))}


def measured(part: str, queries: int, threads: int) -> dict[str, Any]:
    """A part in a process of its own, with its peak memory."""
    command = [sys.executable, "-m", "benchmarks._audit_speed", part, f"--queries={queries}", f"--threads={threads}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def speed(queries: int = SCANS, threads: int = 2) -> dict[str, Any]:
    """Both parts and whether they keep the limits of issue 7."""
    found = {part: measured(part, queries, threads) for part in ("pose_search", "index_search")}
    fine = all(row["seconds"] < LIMIT_SECONDS and row["peak_gib"] < LIMIT_GIB for row in found.values())
    return {"scans": SCANS, "shape": SHAPE, "threads": threads, **found, "within_limits": fine}


def run(quick: bool = False) -> dict[str, Any]:
    """Both parts as a part of `benchmarks.audit`."""
    found = speed(10 if quick else SCANS)
    pose, index = found["pose_search"], found["index_search"]
    size = "x".join(map(str, SHAPE))
    lines = [
        "| | seconds, 2 threads | CPU seconds | peak memory |",
        "|---|---|---|---|",
        *(
            f"| {name} | {row['seconds']:.1f} | {row['cpu_seconds']:.0f} | {row['peak_gib']:.2f} GiB |"
            for name, row in (
                (f"{SCANS} x {SCANS} volumes of {size}, pose search", pose),
                (f"{EMBEDDINGS} x {EMBEDDINGS} embeddings of {FEATURES} numbers, exact index", index),
            )
        ),
        "",
        f"At most {LIMIT_SECONDS:.0f} s and {LIMIT_GIB:.0f} GiB.",
    ]
    return {**found, "holds": found["within_limits"], "lines": lines}


def _timed(work: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def _peak_gib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("both", "pose_search", "index_search"), default="both")
    parser.add_argument("--queries", type=int, default=SCANS)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.part == "both":
        print(json.dumps(speed(given.queries, given.threads), indent=2))
        return
    whole = given.part == "pose_search"
    found = pose_search(given.queries, given.threads) if whole else index_search(given.threads)
    print(json.dumps({**found, "peak_gib": _peak_gib()}))


if __name__ == "__main__":
    main()
