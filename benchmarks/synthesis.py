"""Synthesis: do the scans help, are they like real ones, do they show what was asked for, and what do they cost.

Every part can be run alone (`python -m benchmarks.synthesis segmentation`). Trained nets and samples are kept in
`--cache` (default .work/synthesis), keyed by what they were made from: a part that was stopped goes on where it was.
Run one part a core: `taskset -c 0 env OMP_NUM_THREADS=1 python -m benchmarks.synthesis segmentation`. Results go to
benchmarks/results/synthesis.json, part by part; `python -m benchmarks.synthesis_page` writes the page's tables.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks._synthesis_settings import QUICK, Settings
from medidiff.errors import MedidiffError
from medidiff.precision import cpu_model

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
    parser = _parser()
    given = parser.parse_args(argv)
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        print(f"part {unknown[0]}: must be one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    settings = _settings(given)
    held = True
    for name in given.parts or PARTS:
        module = f"benchmarks._synthesis_{name}"
        if importlib.util.find_spec(module) is None:
            print(f"\n## {name}: {PARTS[name]}\n\nMISSING: there is no {module}.", flush=True)
            held = False
            continue
        started, busy = time.time(), time.process_time()
        part = importlib.import_module(module).run
        options = {"settings": settings} if "settings" in inspect.signature(part).parameters else {}
        try:
            result: dict[str, Any] = part(quick=given.quick, **options)
        except MedidiffError as error:
            print(f"\n## {name}: {PARTS[name]}\n\nNOT RUN: {error}", flush=True)
            held = False
            continue
        result |= {"date": time.strftime("%Y-%m-%d"), "seconds": round(time.time() - started), "cpu": cpu_model()}
        result |= {"cpu_seconds": round(time.process_time() - busy)}
        held &= bool(result.get("holds", True))
        print(f"\n## {name}: {PARTS[name]}\n")
        print("\n".join(result["lines"]))
        print(f"\n{'HOLDS' if result.get('holds', True) else 'SHORT'} ({result['seconds']} s)", flush=True)
        if not given.quick and settings.test == "holdout":
            _store(given.output, name, result)
    return 0 if held else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthesis", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=_parts_help())
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, val patients: shows that it works, stores nothing"
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
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


def _parts_help() -> str:
    return "; ".join(f"{name}: {what}" for name, what in PARTS.items()).replace("%", "%%")


def _settings(given: argparse.Namespace) -> Settings:
    chosen = {k: v for k, v in vars(given).items() if v is not None and k in Settings.__dataclass_fields__}
    if "ours" in chosen:
        chosen["ours"] = tuple(chosen["ours"])
    if given.ct_prior:
        chosen["extra"] = {"ct_prior": given.ct_prior}
    quick = {**QUICK, "cache": Settings().cache / "quick"} if given.quick else {}
    return Settings(**{**quick, **chosen})


def _store(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put one part's result beside those that are there."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**stored, name: result}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
