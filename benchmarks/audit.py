"""The privacy audit: how often it cries wolf, what it finds, and what its bound on epsilon is worth.

Every part can be run alone (`python -m benchmarks.audit power`). Worlds are drawn from a bank of similarities that is
computed once (ten minutes of a core) and kept in .work/audit. Results go to benchmarks/results/audit.json, part by
part.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from medidiff.errors import MedidiffError
from medidiff.precision import cpu_model

RESULTS = Path(__file__).parent / "results" / "audit.json"
PARTS = {
    "false_alarms": "200 null and 200 smooth worlds at 100/25, 100/50, 100/100: at most 15 FAIL each",
    "power": "copies among 200 synthetics: FAIL in 90% of worlds at 5% and 100/100, 95% at 10%; never PASS where blind",
    "one_run": "1000 canaries, known epsilon: above it in 5% of 500 runs at most; mean 0.2 of it at 1, 0.3 at 2 to 8",
    "dp": "private priors: the one-run bound below the claimed epsilon, a second accountant within 25%",
    "overfit": "a prior of eight patients, trained until it memorises: FAIL",
    "priors": "every shipped prior with its real split: reported, whatever it says",
    "speed": "200 x 200 volumes of 40x56x40 in 10 minutes and 4 GiB; 10 000 x 10 000 embeddings by index",
}


def main(argv: list[str] | None = None) -> int:
    """Run the parts asked for; 1 where one falls short, 2 for a slip in the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = "; ".join(f"{name}: {text}" for name, text in PARTS.items()).replace("%", "%%")
    parser.add_argument("parts", nargs="*", metavar="PART", help=what)
    parser.add_argument("--quick", action="store_true", help="few worlds: shows that it works, stores nothing")
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    unknown = [name for name in given.parts if name not in PARTS]
    if unknown:
        print(f"part {unknown[0]}: must be one of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    held = True
    for name in given.parts or PARTS:
        held &= _part(name, given.quick, given.output)
    return 0 if held else 1


def _part(name: str, quick: bool, output: Path) -> bool:
    module = f"benchmarks._audit_{name}"
    print(f"\n## {name}: {PARTS[name]}\n", flush=True)
    if importlib.util.find_spec(module) is None:
        print(f"MISSING: there is no {module}.", flush=True)
        return False
    started, busy = time.time(), time.process_time()
    try:
        result: dict[str, Any] = importlib.import_module(module).run(quick=quick)
    except MedidiffError as error:
        print(f"NOT RUN: {error}", flush=True)
        return False
    result |= {"date": time.strftime("%Y-%m-%d"), "seconds": round(time.time() - started), "cpu": cpu_model()}
    result |= {"cpu_seconds": round(time.process_time() - busy)}
    holds = bool(result.get("holds", True))
    print("\n".join(result["lines"]))
    print(f"\n{'HOLDS' if holds else 'SHORT'} ({result['seconds']} s)", flush=True)
    if not quick:
        stored = json.loads(output.read_text(encoding="utf-8")) if output.is_file() else {}
        output.parent.mkdir(exist_ok=True)
        output.write_text(json.dumps({**stored, name: result}, indent=1) + "\n", encoding="utf-8")
    return holds


if __name__ == "__main__":
    sys.exit(main())
