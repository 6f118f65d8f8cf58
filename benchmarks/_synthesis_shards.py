"""A set in four shards, one of them killed -9 ten times: file by file the set that was made at once."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._synthesis_sets import COUNT, QUICK_COUNT, compare, finish, start, write_prior

SHARDS, KILLS, QUICK_KILLS = 4, 10, 2
SEED = 7


def run(quick: bool) -> dict[str, Any]:
    """Shards 1 to 3 work at the same time as shard 0, which is killed after a random number of new samples, and a
    random moment later."""
    rng = random.Random(SEED)
    count, kills = (QUICK_COUNT, QUICK_KILLS) if quick else (COUNT, KILLS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prior = root / "tiny.safetensors"
        write_prior(prior)
        began = time.time()
        finish(start(prior, root / "whole", count))
        seconds = {"whole": round(time.time() - began, 1)}
        began = time.time()
        others = [start(prior, root / "set", count, "--shard", f"{i}/{SHARDS}") for i in range(1, SHARDS)]
        moments = [_kill(prior, root / "set", count, rng, count // SHARDS // (kills + 1)) for _ in range(kills)]
        for process in others:
            finish(process)
        finish(start(prior, root / "set", count, "--shard", f"0/{SHARDS}"))
        seconds["shards"] = round(time.time() - began, 1)
        figures = compare(root / "whole", root / "set")
    figures |= {"samples": count, "shards": SHARDS, "kills": len(moments)}
    holds = figures["alike"] == figures["together"] and figures["files"] >= 3 * count and all(moments)
    lines = [
        "| samples | shards | kills -9 of shard 0, after samples of it | files | byte for byte alike |",
        "|---|---|---|---|---|",
        f"| {count} | {SHARDS} | {', '.join(map(str, moments))} | {figures['files']} | {figures['alike']} |",
        f"At once {seconds['whole']:.0f} s, in shards with the kills {seconds['shards']:.0f} s, with all starts.",
    ]
    return {"rows": moments, "figures": figures, "seconds_of": seconds, "holds": holds, "lines": lines}


def _kill(prior: Path, folder: Path, count: int, rng: random.Random, most: int) -> int:
    """Start shard 0, kill it at a random moment of its work; how many of its samples were finished then."""
    journal = folder / "runs" / f"shard-0000-of-{SHARDS:04d}.jsonl"
    before = _lines(journal)
    wanted = before + rng.randint(1, max(1, most))
    process = start(prior, folder, count, "--shard", f"0/{SHARDS}")
    while _lines(journal) < wanted and process.poll() is None:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.1))
    assert process.poll() is None, "the shard ended before it was killed"
    process.kill()
    process.communicate()
    return _lines(journal) - 1  # the first line says which set it is


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0
