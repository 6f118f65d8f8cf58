"""Training: speed against MONAI, loader, processes, exact resume, the price of the noise map, prepare, small cohorts.

Every part can be run alone (`python -m benchmarks.training loader`); without names all run, about three hours on two
cores. Results go to benchmarks/results/training.json, part by part, and to the table that is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._parts import parser_of, run_parts

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


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 1 where one falls short, 2 for a slip in the arguments."""
    return run_parts("training", PARTS, parser_of("training", __doc__, PARTS, RESULTS).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
