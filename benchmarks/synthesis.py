"""Synthesis: do the scans help, are they like real ones, do they show what was asked for, and what do they cost.

Every part can be run alone (`python -m benchmarks.synthesis segmentation`). Trained nets and samples are kept in
`--cache` (default .work/synthesis), keyed by what they were made from: a part that was stopped goes on where it was.
Run one part a core: `taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.synthesis segmentation`. Results go to
benchmarks/results/synthesis.json, part by part; `python -m benchmarks.synthesis_page` writes the page's tables.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any

from benchmarks._parts import Run, parser_of, run_parts
from benchmarks._synthesis_settings import QUICK, Settings

RESULTS = Path(__file__).parent / "results" / "synthesis.json"
PARTS = {
    "segmentation": "train on synthetic, test on real: at least 95% of the real Dice; both not below real alone",
    "few_labels": "10 patients' labels with synthetic pairs: at least +1 Dice point, lower limit above 0",
    "conditions": "volume asked for against measured: correlation 0.9, bias 3%, lowest fifth within 5%",
    "classifier": "8 small-volume patients with synthetic ones, sweep of the ratio; shortcut test (reported)",
    "fidelity": "unbiased MMD inside the band of real patients, four sets of features; diversity",
    "peers": "distance 2 times ahead of MONAI's DDPM and AutoencoderKL and a 3D GAN, same scans and time",
    "steps": "10 evaluations within 10% of 100; 1 s a hippocampus, 3 s a whole head",
    "insert": "outside an inserted mask at most the scan's own noise; seam test",
    "shards": "1000 samples in 4 shards, one killed ten times, equal the unsharded run file by file",
    "ray": "the same set through Ray on two local workers",
}


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 1 where one falls short, 2 for a slip in the arguments."""
    given = _parser().parse_args(argv)
    settings = _settings(given)

    def options(run: Run) -> dict[str, Any]:
        return {"settings": settings} if "settings" in inspect.signature(run).parameters else {}

    return run_parts("synthesis", PARTS, given, options, store=settings.test == "holdout")


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("synthesis", __doc__, PARTS, RESULTS)
    parser.add_argument("--store", type=Path, help="the prepared store of hippocampus crops with masks")
    parser.add_argument("--cache", type=Path, help="where nets and samples are kept")
    parser.add_argument("--prior", help="our prior, name or file")
    parser.add_argument("--few-prior", help="our prior that saw the masks of ten patients only")
    parser.add_argument("--ours", nargs="+", help="our priors trained for the peers' time, one a seed")
    parser.add_argument("--brain", help="our prior of whole heads")
    parser.add_argument("--ct-prior", help="our prior of CT, for the part insert")
    parser.add_argument("--samples", type=Path, help="a folder of medidiff synth, or .npz, in place of drawing samples")
    parser.add_argument("--count", type=int, help="synthetic pairs")
    parser.add_argument("--sample-steps", type=int, help="steps of our sampler")
    parser.add_argument("--seeds", type=int, help="runs of every training")
    parser.add_argument("--net-steps", type=int, help="steps of every segmentation net (0.13 s each)")
    parser.add_argument("--classifier-steps", type=int, help="steps of every classifier")
    parser.add_argument("--repeats", type=int, help="draws of the small-volume patients")
    parser.add_argument("--peer-minutes", type=float, help="CPU minutes of every peer and seed")
    parser.add_argument("--peer-pairs", type=int, help="pairs of a peer that a segmentation net is trained on")
    parser.add_argument("--test", choices=("val", "holdout"), help="val while trying: nothing is stored")
    return parser


def _settings(given: argparse.Namespace) -> Settings:
    chosen = {k: v for k, v in vars(given).items() if v is not None and k in Settings.__dataclass_fields__}
    if "ours" in chosen:
        chosen["ours"] = tuple(chosen["ours"])
    if given.ct_prior:
        chosen["extra"] = {"ct_prior": given.ct_prior}
    quick = {**QUICK, "cache": Settings().cache / "quick"} if given.quick else {}
    return Settings(**{**quick, **chosen})


if __name__ == "__main__":
    sys.exit(main())
