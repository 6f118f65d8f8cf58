"""Writes the tables and pictures of docs/denoising.md from benchmarks/results/: no figure there is typed."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._noise import KINDS
from benchmarks._pictures import LUNG
from benchmarks._summary import select, unique
from benchmarks._tables import HEADINGS, kind_section, notes, target_table
from benchmarks._wins import wins

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "denoising.md"
_PART = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_OTHERS = {
    "timing": "denoise_timing",
    "memory": "denoise_memory",
    "lesions": "denoise_lesions",
    "random": "denoise_random",
}
NOT_YET = "Not measured yet: {} is not there."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.denoising_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    args = parser.parse_args()
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before, RESULTS)
    if args.check:
        print("up to date" if before == after else "out of date: run python -m benchmarks.denoising_page")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    print(f"written: {PAGE}")
    return 0


def fill(page: str, results: Path) -> str:
    """The page with every marked part made anew.

    Args:
        page: Markdown with parts between `<!-- from results: NAME -->` and `<!-- end -->`.
        results: Folder of the benchmarks' JSON, Markdown and pictures.
    """
    makers: dict[str, Callable[[Path], str]] = {
        "how": _how,
        "targets": _targets,
        "blind": _blind,
        "wins": _wins,
        "kinds": _kinds,
    }

    def part(match: re.Match[str]) -> str:
        name = match[2]
        text = makers[name](results) if name in makers else _whole(results / f"{_OTHERS[name]}.md")
        return f"{match[1]}{text.strip()}\n{match[3]}"

    return _PART.sub(part, page)


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    kinds = {"kind"} <= set(report["rows"][0]) if report.get("rows") else False
    return report if kinds else None  # results of earlier versions have no kinds


def _published(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of holdout where there are some, else those of val."""
    splits = unique(report["rows"], "split")
    return select(report["rows"], split="holdout" if "holdout" in splits else splits[0])


def _how(results: Path) -> str:
    report = _read(results / "denoise.json")
    if report is None:
        return NOT_YET.format("benchmarks/results/denoise.json")
    split = "holdout" if "holdout" in unique(report["rows"], "split") else "val, not holdout"
    return "\n".join([f"Split: {split}.", "", *notes(report["facts"])])


def _targets(results: Path) -> str:
    report = _read(results / "denoise.json")
    if report is None:
        return NOT_YET.format("benchmarks/results/denoise.json")
    return "\n".join(target_table(_published(report)))


def _blind(results: Path) -> str:
    """Blind against known on whole blocks, where more voxels speak for the level."""
    report = _read(results / "denoise_whole.json")
    if report is None:
        return NOT_YET.format("benchmarks/results/denoise_whole.json")
    return "\n".join([*notes(report["facts"])[:1], "", *target_table(_published(report))])


def _wins(results: Path) -> str:
    report = _read(results / "denoise.json")
    return wins(_published(report)) if report else NOT_YET.format("benchmarks/results/denoise.json")


def _kinds(results: Path) -> str:
    report = _read(results / "denoise.json")
    if report is None:
        return NOT_YET.format("benchmarks/results/denoise.json")
    rows, lines = _published(report), []
    for kind in [k for k in KINDS if k in unique(rows, "kind")]:
        lines += [f"## {HEADINGS[kind]}", ""]
        pictures = {kind: HEADINGS[kind]} | ({LUNG: "The same in a lung window: not validated"} if kind == "ct" else {})
        for name, title in pictures.items():
            if (results / f"denoise_{name}.png").is_file():
                lines += [f"![{title}](../benchmarks/results/denoise_{name}.png)", ""]
        lines += [*kind_section(select(rows, kind=kind), kind), ""]
    return "\n".join(lines)


def _whole(path: Path) -> str:
    """Another benchmark's Markdown without its title, with its picture."""
    if not path.is_file():
        return NOT_YET.format(f"benchmarks/results/{path.name}")
    text = path.read_text(encoding="utf-8").partition("\n")[2].strip()
    pictures = [p for p in (path.with_suffix(".png"), path.with_name(f"{path.stem}_mean.png")) if p.is_file()]
    return "\n\n".join([*(f"![{p.stem}](../benchmarks/results/{p.name})" for p in pictures), text])


if __name__ == "__main__":
    sys.exit(main())
