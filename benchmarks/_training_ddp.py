"""Two gloo processes, torchrun, or micro-batches against one process with the same global batch: the loss curves."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._training_runs import ENVIRONMENT, command, finish, losses, write_config

STEPS, QUICK_STEPS = 60, 12
TOLERANCE = 1e-4
WAYS = {
    "two processes (ddp, gloo)": ("scale.devices=2",),
    "two processes under torchrun": ("scale.devices=2",),
    "accumulation 2": ("scale.accumulate=2",),
    "two processes, accumulation 2": ("scale.devices=2", "scale.accumulate=2"),
    "activation checkpointing": ("scale.activation_checkpointing=true",),
}
"""Ways to train with a global batch of 4, and their settings."""


def run(quick: bool) -> dict[str, Any]:
    """Relative difference of the training loss, step by step, and the seconds each way took."""
    steps = QUICK_STEPS if quick else STEPS
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        one = _train(root / "one", steps, "one process", ())
        for number, (way, settings) in enumerate(WAYS.items()):
            curve = _train(root / str(number), steps, way, settings)
            if sorted(curve["losses"]) != sorted(one["losses"]):
                raise RuntimeError(f"{way}: steps {sorted(curve['losses'])} were logged")
            differences = [abs(curve["losses"][step] / loss - 1) for step, loss in one["losses"].items()]
            rows.append({"way": way, "largest": max(differences), "last": differences[-1], "seconds": curve["seconds"]})
    holds = all(row["largest"] <= TOLERANCE for row in rows)
    lines = ["| against one process, batch 4 | largest relative difference of the loss | at the end |", "|---|---|---|"]
    lines += [f"| {row['way']} | {row['largest']:.1e} | {row['last']:.1e} |" for row in rows]
    lines.append(f"{steps} steps, float32, Muon, maps and coloured noise; at most {TOLERANCE:g} is asked for.")
    return {"rows": rows, "steps": steps, "tolerance": TOLERANCE, "holds": holds, "lines": lines}


def _train(folder: Path, steps: int, way: str, settings: tuple[str, ...]) -> dict[str, Any]:
    config = write_config(folder, optimiser={"batch": 4, "steps": steps, "warmup": 5}, validate_every=steps)
    started = time.monotonic()
    if "torchrun" in way:
        call = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", *command(config, *settings)[1:]]
        environment = {**os.environ, **ENVIRONMENT, "MEDIDIFF_HOME": str(folder / "home")}
        subprocess.run(call, check=True, capture_output=True, env=environment, timeout=500)
    else:
        finish(config, *settings)
    return {"losses": losses(folder), "seconds": round(time.monotonic() - started, 1)}


if __name__ == "__main__":
    print("\n".join(run(quick=True)["lines"]))
