"""The same set through Ray on a real local cluster of two workers."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._synthesis_sets import COUNT, QUICK_COUNT, compare, finish, start, write_prior


def run(quick: bool) -> dict[str, Any]:
    """The set made at once by one process, and by two workers of Ray, in whatever order they finish."""
    if importlib.util.find_spec("ray") is None:
        lines = ["Ray is not installed: pip install -c constraints.txt 'medidiff[ray]'."]
        return {"rows": [], "figures": {}, "holds": False, "lines": lines}
    count = QUICK_COUNT if quick else COUNT
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        prior = root / "tiny.safetensors"
        write_prior(prior)
        for name, options in (("whole", ()), ("ray", ("--engine", "ray", "--workers", "2"))):
            began = time.time()
            finish(start(prior, root / name, count, *options))
            seconds[name] = round(time.time() - began, 1)
        figures = compare(root / "whole", root / "ray") | {"samples": count, "workers": 2}
    holds = figures["alike"] == figures["together"] and figures["files"] >= 3 * count
    lines = [
        "| samples | workers | files | byte for byte alike |",
        "|---|---|---|---|",
        f"| {count} | 2 | {figures['files']} | {figures['alike']} |",
        f"One process {seconds['whole']:.0f} s, Ray {seconds['ray']:.0f} s, with their start, on the same cores.",
    ]
    return {"rows": [], "figures": figures, "seconds_of": seconds, "holds": holds, "lines": lines}
