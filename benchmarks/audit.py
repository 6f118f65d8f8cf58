"""The privacy audit: how often it cries wolf, what it finds, and what its bound on epsilon is worth.

Every part can be run alone (`python -m benchmarks.audit power`). Worlds are drawn from a bank of similarities that is
computed once (ten minutes of a core) and kept in .work/audit. Results go to benchmarks/results/audit.json, part by
part.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks._parts import parser_of, run_parts

RESULTS = Path(__file__).parent / "results" / "audit.json"
PARTS = {
    "false_alarms": "200 null and 200 smooth worlds at 100/25, 100/50, 100/100: at most 15 FAIL each",
    "power": "copies among 200 synthetics: FAIL in 90% of worlds at 5% and 100/100, 95% at 10%; never PASS where blind",
    "real": "the same on real scans, people of hippocampus: at most 15 FAIL of 200 where nobody is copied",
    "one_run": "1000 canaries, known epsilon: above it in 5% of 500 runs at most; mean 0.2 of it at 1, 0.3 at 2 to 8",
    "dp": "private priors: the one-run bound below the claimed epsilon, a second accountant within 25%",
    "overfit": "a prior of eight patients, trained until it memorises: FAIL",
    "priors": "every shipped prior with its real split: reported, whatever it says",
    "speed": "200 x 200 volumes of 40x56x40 in 10 minutes and 4 GiB; 10 000 x 10 000 embeddings by index",
}


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 1 where one falls short, 2 for a slip in the arguments."""
    return run_parts("audit", PARTS, parser_of("audit", __doc__, PARTS, RESULTS).parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
