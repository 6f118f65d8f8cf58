"""Writes the tables of docs/training.md and docs/scaling.md from results/training.json: no figure is typed."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "training.json"
PAGES = (ROOT / "docs" / "training.md", ROOT / "docs" / "scaling.md")
_PART = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
DEMANDS = {
    "speed": "patches a second at least 5 times MONAI's DiffusionModelUNet",
    "loader": "the loader at least 10 times what training takes, memory flat",
    "ddp": "processes and micro-batches change the loss by at most 1e-4",
    "resume": "kill -9 at 20 random steps: bit-identical",
    "noise_map": "the noise map costs at most 0.1 dB at constant noise",
    "prepare": "shuffled: the same hashes; 50 000 scans: linear, queries under 1 s; kill -9: nothing done twice",
    "small_cohort": "60 scans, full and lora: on time, not worse than `general`",
}
CTS, CT_VOXELS = 100_000, 512 * 512 * 300


def main() -> int:
    """Fill both pages."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    old = False
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = fill(before, results)
        old |= before != after
        if not args.check:
            page.write_text(after, encoding="utf-8")
    if args.check:
        print("out of date: run python -m benchmarks.training_page" if old else "up to date")
    return int(args.check and old)


def fill(text: str, results: dict[str, Any]) -> str:
    """The page with every part between its two comments written anew."""
    return _PART.sub(lambda found: f"{found[1]}{_part(found[2], results)}\n{found[3]}", text)


def _part(name: str, results: dict[str, Any]) -> str:
    if name == "verdicts":
        return "\n".join(_verdicts(results))
    if name == "cts":
        return "\n".join(_cts(results))
    if name not in results:
        return f"Not measured yet: `python -m benchmarks.training {name}`."
    found = results[name]
    return "\n".join(
        [*found["lines"], "", f"(`python -m benchmarks.training {name}`, {found['date']}, {found['cpu']})"]
    )


def _verdicts(results: dict[str, Any]) -> list[str]:
    rows = ["| demand | |", "|---|---|"]
    for name, demand in DEMANDS.items():
        verdict = "not measured yet" if name not in results else "HOLDS" if results[name]["holds"] else "SHORT"
        if name == "noise_map" and name in results:
            mean, half = results[name]["price_db"], results[name]["price_db_half_width"]
            verdict += (
                f" in the mean: {mean:+.2f} dB, and 3 pairs of seeds leave [{mean - half:.2f}, {mean + half:.2f}]"
            )
        rows.append(f"| {demand} | {verdict} |")
    return rows


def _cts(results: dict[str, Any]) -> list[str]:
    """What 100 000 CTs would need, every factor from a measured piece."""
    missing = {"loader", "speed", "prepare"} - results.keys()
    if missing:
        return [f"Not measured yet: `python -m benchmarks.training {' '.join(sorted(missing))}`."]
    ct = results["prepare"]["ct"]
    chunk = next(c for c in results["loader"]["chunks"] if c["chunk"] == 48)
    ours = next(row for row in results["speed"]["rows"] if row["name"].startswith("medidiff as shipped"))
    rate, once = ours["patches_per_s"], CTS * CT_VOXELS / 48**3
    hours = CTS * ct["cpu_s"] / 3600
    rows = [
        ("store", f"{ct['mb_out']:.0f} MB a scan (synthetic, with noise)", f"{CTS * ct['mb_out'] / 1e6:.0f} TB"),
        (
            "prepare, once",
            f"{ct['cpu_s']:.0f} s of a core, {ct['peak_gib']:.1f} GiB a process",
            f"{hours:.0f} core hours: {hours / 64:.1f} h on 64 cores with {64 * ct['peak_gib']:.0f} GiB",
        ),
        (
            "as many patches of 48^3 as the cohort has voxels for",
            f"{rate:.1f} patches/s on these 2 cores",
            f"{once:.2g} patches: {once / rate / 86400:.0f} days here, {once / 1000 / 3600:.0f} h at 1000 patches/s",
        ),
        (
            "reading them",
            f"{chunk['ms_48']:.1f} ms of a core and {chunk['mb_48']:.1f} MB a patch",
            f"at 1000 patches/s {chunk['ms_48']:.1f} cores and {chunk['mb_48']:.1f} GB/s",
        ),
    ]
    return ["| what | measured | comes to |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


if __name__ == "__main__":
    sys.exit(main())
