"""Writes the tables of a page in docs/ from a benchmark's results: no figure is typed.

Between `<!-- from results: PART -->` and `<!-- end -->` the part's table is written anew; PART `verdicts` is one line a
demand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
_PART = re.compile(r"(<!-- from results: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class ResultsPage:
    """A page and where its figures come from.

    Args:
        benchmark: Such as "synthesis": run as `python -m benchmarks.synthesis PART`.
        page: File in docs/.
        results: JSON that the benchmark writes, a key a part.
        parts: Part -> what is demanded.
        reported: Parts without a demand.
    """

    benchmark: str
    page: Path
    results: Path
    parts: Mapping[str, str]
    reported: Sequence[str] = ()

    def main(self) -> int:
        """Fill the page; 1 where it is out of date and only checked, 2 where there is none."""
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.benchmark}_page", description=__doc__)
        parser.add_argument(
            "--check", action="store_true", help="write nothing; exit with 1 if the page is out of date"
        )
        args = parser.parse_args()
        if not self.page.is_file():
            print(f"{self.page}: there is no such page", file=sys.stderr)
            return 2
        results = json.loads(self.results.read_text(encoding="utf-8")) if self.results.is_file() else {}
        before = self.page.read_text(encoding="utf-8")
        after = self.fill(before, results)
        if args.check:
            print(f"out of date: run python -m benchmarks.{self.benchmark}_page" if before != after else "up to date")
            return int(before != after)
        self.page.write_text(after, encoding="utf-8")
        return 0

    def fill(self, text: str, results: dict[str, Any]) -> str:
        """The page with every part between its two comments written anew."""
        return _PART.sub(lambda found: f"{found[1]}{self._part(found[2], results)}\n{found[3]}", text)

    def _part(self, name: str, results: dict[str, Any]) -> str:
        if name == "verdicts":
            return "\n".join(self._verdicts(results))
        if name not in results:
            return f"Not measured yet: `python -m benchmarks.{self.benchmark} {name}`."
        found = results[name]
        source = f"(`python -m benchmarks.{self.benchmark} {name}`, {found['date']}, {found['cpu']})"
        return "\n".join([*found["lines"], "", source])

    def _verdicts(self, results: dict[str, Any]) -> list[str]:
        rows = ["| demand | |", "|---|---|"]
        for name, demand in self.parts.items():
            if name not in results:
                verdict = "not measured yet"
            elif name in self.reported:
                verdict = "measured"
            else:
                verdict = "HOLDS" if results[name].get("holds", True) else "SHORT"
            rows.append(f"| {demand} | {verdict} |")
        return rows
