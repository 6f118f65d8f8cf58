"""Writes the tables of docs/privacy.md from results/audit.json."""

from __future__ import annotations

import sys

from benchmarks._results_page import DOCS, ResultsPage
from benchmarks.audit import PARTS, RESULTS

PAGE = ResultsPage("audit", DOCS / "privacy.md", RESULTS, PARTS, reported=("priors",))

if __name__ == "__main__":
    sys.exit(PAGE.main())
