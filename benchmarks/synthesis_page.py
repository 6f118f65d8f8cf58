"""Writes the tables of docs/synthesis.md from results/synthesis.json: no figure is typed.

Between `<!-- from results: PART -->` and `<!-- end -->` the part's table is written anew; PART `verdicts` is one line a
demand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.synthesis import PARTS, RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "synthesis.md"
_PART = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
REPORTED = ("classifier",)
"""Parts with no demand: they are reported whatever they show."""


def main() -> int:
    """Fill the page; 1 where it is out of date and only checked, 2 where there is none."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthesis_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    args = parser.parse_args()
    if not PAGE.is_file():
        print(f"{PAGE}: there is no such page", file=sys.stderr)
        return 2
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before, results)
    if args.check:
        print("out of date: run python -m benchmarks.synthesis_page" if before != after else "up to date")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def fill(text: str, results: dict[str, Any]) -> str:
    """The page with every part between its two comments written anew."""
    return _PART.sub(lambda found: f"{found[1]}{_part(found[2], results)}\n{found[3]}", text)


def _part(name: str, results: dict[str, Any]) -> str:
    if name == "verdicts":
        return "\n".join(_verdicts(results))
    if name not in results:
        return f"Not measured yet: `python -m benchmarks.synthesis {name}`."
    found = results[name]
    source = f"(`python -m benchmarks.synthesis {name}`, {found['date']}, {found['cpu']})"
    return "\n".join([*found["lines"], "", source])


def _verdicts(results: dict[str, Any]) -> list[str]:
    rows = ["| demand | |", "|---|---|"]
    for name, demand in PARTS.items():
        if name not in results:
            verdict = "not measured yet"
        elif name in REPORTED:
            verdict = "measured"
        else:
            verdict = "HOLDS" if results[name].get("holds", True) else "SHORT"
        rows.append(f"| {demand} | {verdict} |")
    return rows


if __name__ == "__main__":
    sys.exit(main())
