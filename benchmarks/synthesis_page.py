"""Writes the tables of docs/synthesis.md from results/synthesis.json."""

from __future__ import annotations

import sys

from benchmarks._results_page import DOCS, ResultsPage
from benchmarks.synthesis import PARTS, RESULTS

PAGE = ResultsPage("synthesis", DOCS / "synthesis.md", RESULTS, PARTS, reported=("classifier",))
fill = PAGE.fill

if __name__ == "__main__":
    sys.exit(PAGE.main())
