"""Kill -9 at random steps: the weights at the end are those of the run that nobody touched, bit by bit."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._training_runs import digest, finish, start, write_config

STEPS, KILLS, RUNS, QUICK_KILLS = 60, 20, 5, 3
SEED = 7


def run(quick: bool) -> dict[str, Any]:
    """Kills at random moments of random steps, while steps, checkpoints and validations run.

    A run is killed several times before it may finish; each time it goes on by the same command from its last
    checkpoint, which is some steps old (they are written about every tenth of a second, that is, every few steps).
    """
    rng = random.Random(SEED)
    kills, runs = (QUICK_KILLS, 1) if quick else (KILLS, RUNS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        whole = _config(root / "whole")
        finish(whole)
        wanted = digest(root / "whole")
        rows = []
        for number in range(runs):
            name = root / f"killed-{number}"
            rows.append(_killed_run(name, kills // runs, rng))
            rows[-1]["identical"] = {part: value == wanted[part] for part, value in digest(name).items()}
            shutil.rmtree(name)
    moments = [kill for row in rows for kill in row["kills"]]
    holds = all(all(row["identical"].values()) for row in rows)
    lines = [
        "| run | killed at step (resumed from) | network | averages | optimiser | prior |",
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(rows):
        where = ", ".join(f"{kill['step']} ({kill['resumed_from']})" for kill in row["kills"])
        same = [("identical" if row["identical"][part] else "DIFFERS") for part in wanted]
        lines.append(f"| {number + 1} | {where} | {' | '.join(same)} |")
    lines.append(f"{len(moments)} kills -9 in {runs} runs of {STEPS} steps, float32, one thread; sha256 of each part.")
    return {"rows": rows, "sha256": wanted, "kills": len(moments), "steps": STEPS, "holds": holds, "lines": lines}


def _config(folder: Path) -> Path:
    return write_config(
        folder,
        checkpoint_minutes=0.002,
        optimiser={"batch": 4, "steps": STEPS, "warmup": 5},
        validate_every=15,
    )


def _killed_run(folder: Path, kills: int, rng: random.Random) -> dict[str, Any]:
    """One run, killed `kills` times, then finished."""
    config = _config(folder)
    at = sorted(rng.sample(range(3, STEPS - 2), kills))
    done = []
    for step in at:
        process = start(config)
        resumed, reached = 0, 0
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("resuming"):
                resumed = int(line.split()[-1])
            if " step " in line and line.split()[1] == "step":
                reached = int(line.split()[2])
                if reached >= step:
                    break
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.communicate()
        done.append({"step": reached, "resumed_from": resumed})
    finish(config)
    return {"kills": done}


if __name__ == "__main__":
    print("\n".join(run(quick=True)["lines"]))
