"""What averaging passes on shifted grids gives: `python -m benchmarks.shifts`, on the val items, level known.

Prints the gain in PSNR over one pass, mean over all scans, and the time beside one pass. Never reads holdout.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks._cases import DEFAULT_SETS, load_cases
from medidiff import denoise
from medidiff.evaluate import psnr
from medidiff.prior import Prior

SHIFTS = (1, 2, 4, 8)
LEVELS = (3.0, 9.0, 15.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", default="general", help="name or file of the prior")
    parser.add_argument("--limit", type=int, default=None, help="scans a set")
    args = parser.parse_args()
    prior = Prior.load(args.prior)
    cases = [case for name in DEFAULT_SETS for case in load_cases(name, "val", args.limit)]
    print("| level | one pass, dB | " + " | ".join(f"{k} passes" for k in SHIFTS[1:]) + " | time |")
    print("|---|---|" + "---|" * len(SHIFTS))
    for level in LEVELS:
        gains, seconds = [], []
        for case in cases:
            noisy = case.noisy(level)
            results = [
                denoise(noisy, prior, noise="gaussian", noise_std=case.noise_std(level), shifts=k) for k in SHIFTS
            ]
            gains.append([psnr(case.clean.data, r.output.data, case.data_range) for r in results])
            seconds.append([r.seconds for r in results])
        mean, time = np.mean(gains, axis=0), np.sum(seconds, axis=0)
        cells = [f"+{m - mean[0]:.2f} dB" for m in mean[1:]]
        times = ", ".join(f"{t / time[0]:.1f}" for t in time)
        print(f"| {level:g}% | {mean[0]:.2f} | " + " | ".join(cells) + f" | {times} |", flush=True)


if __name__ == "__main__":
    main()
