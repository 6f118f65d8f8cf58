"""Writes the tables of docs/privacy.md from results/audit.json: no figure is typed.

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

from benchmarks.audit import PARTS, RESULTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "privacy.md"
_PART = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> int:
    """Fill the page; 1 where it is out of date and only checked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is out of date")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    before = PAGE.read_text(encoding="utf-8")
    after = fill(before, results)
    if args.check:
        print("out of date: run python -m benchmarks.audit_page" if before != after else "up to date")
        return int(before != after)
    PAGE.write_text(after, encoding="utf-8")
    return 0


def fill(text: str, results: dict[str, Any]) -> str:
    """The page with every part between its two comments written anew."""
    return _PART.sub(lambda found: f"{found[1]}{_part(found[2], results)}\n{found[3]}", text)


def _part(name: str, results: dict[str, Any]) -> str:
    if name == "verdicts":
        rows = [f"| {demand} | {_verdict(name, results)} |" for name, demand in PARTS.items()]
        return "\n".join(["| demand | |", "|---|---|", *rows])
    if name not in results:
        return f"Not measured yet: `python -m benchmarks.audit {name}`."
    found = results[name]
    return "\n".join([*found["lines"], "", f"(`python -m benchmarks.audit {name}`, {found['date']}, {found['cpu']})"])


def _verdict(name: str, results: dict[str, Any]) -> str:
    if name not in results:
        return "not measured yet"
    return "HOLDS" if results[name].get("holds", True) else "SHORT"


if __name__ == "__main__":
    sys.exit(main())
