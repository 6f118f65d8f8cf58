"""Training: speed against MONAI, loader, processes, exact resume, the price of the noise map, prepare, small cohorts.

Every part can be run alone (`python -m benchmarks.training loader`); without names all run, about three hours on two
cores. Results go to benchmarks/results/training.json, part by part, and to the table that is printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from medidiff.precision import cpu_model

RESULTS = Path(__file__).parent / "results" / "training.json"
PARTS = {
    "speed": "patches a second against MONAI's DiffusionModelUNet: at least 5 times",
    "loader": "patches a second from 512x512x300 volumes: at least 10 times what training takes; memory flat",
    "ddp": "two gloo processes give the loss curve of one: within 1e-4",
    "resume": "kill -9 at 20 random steps: bit-identical weights",
    "noise_map": "price of the noise map at constant noise: at most 0.1 dB",
    "prepare": "shuffled input, identical hashes; 50 000 tiny scans, linear, queries under 1 s",
    "cost": "time and memory of a step against voxels, parameters and batch",
    "small_cohort": "full and lora from `general` against `general`, held-out patients",
}


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="; ".join(f"{k}: {v}" for k, v in PARTS.items()))
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, stores nothing")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        print(f"part {unknown[0]}: must be one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    held = True
    for name in given.parts or PARTS:
        started = time.time()
        result: dict[str, Any] = importlib.import_module(f"benchmarks._training_{name}").run(quick=given.quick)
        result |= {"date": time.strftime("%Y-%m-%d"), "seconds": round(time.time() - started), "cpu": cpu_model()}
        held &= bool(result.get("holds", True))
        print(f"\n## {name}: {PARTS[name]}\n")
        print("\n".join(result["lines"]))
        print(f"\n{'HOLDS' if result.get('holds', True) else 'SHORT'} ({result['seconds']} s)", flush=True)
        if not given.quick:
            _store(given.output, name, result)
    return 0 if held else 1


def _store(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put one part's result beside those that are there."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**stored, name: result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
