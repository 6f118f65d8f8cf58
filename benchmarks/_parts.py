"""What benchmarks of parts share: `python -m benchmarks.NAME PART` runs `_NAME_PART.run`, keeps its figures."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medidiff.errors import MedidiffError
from medidiff.precision import cpu_model

Run = Callable[..., dict[str, Any]]


def parser_of(name: str, about: str | None, parts: Mapping[str, str], results: Path) -> argparse.ArgumentParser:
    """Parts, --quick and --output.

    Args:
        name: Of the benchmark, such as "audit".
        about: Its docstring.
        parts: Part -> what is demanded.
        results: Where figures go.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = "; ".join(f"{part}: {text}" for part, text in parts.items()).replace("%", "%%")
    parser.add_argument("parts", nargs="*", metavar="PART", help=what)
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, stores nothing")
    parser.add_argument("--output", type=Path, default=results)
    return parser


def run_parts(
    name: str,
    parts: Mapping[str, str],
    given: argparse.Namespace,
    options: Callable[[Run], dict[str, Any]] = lambda run: {},
    store: bool = True,
) -> int:
    """Run the parts asked for; 1 where one falls short, 2 for a part that is none.

    Args:
        name: Of the benchmark.
        parts: Part -> what is demanded.
        given: What `parser_of` read.
        options: What else a part's `run` is called with.
        store: Put each part's figures beside those in `--output`; never with --quick.
    """
    unknown = [part for part in given.parts if part not in parts]
    if unknown:
        print(f"part {unknown[0]}: must be one of {', '.join(parts)}", file=sys.stderr)
        return 2
    held = True
    for part in given.parts or parts:
        print(f"\n## {part}: {parts[part]}\n", flush=True)
        result = _measured(f"benchmarks._{name}_{part}", given.quick, options)
        if result is None:
            held = False
            continue
        holds = bool(result.get("holds", True))
        held &= holds
        print("\n".join(result["lines"]))
        print(f"\n{'HOLDS' if holds else 'SHORT'} ({result['seconds']} s)", flush=True)
        if store and not given.quick:
            stored = json.loads(given.output.read_text(encoding="utf-8")) if given.output.is_file() else {}
            given.output.parent.mkdir(exist_ok=True)
            given.output.write_text(json.dumps({**stored, part: result}, indent=1) + "\n", encoding="utf-8")
    return 0 if held else 1


def _measured(module: str, quick: bool, options: Callable[[Run], dict[str, Any]]) -> dict[str, Any] | None:
    """The part's figures with date and cost; None where it could not be run, and why is printed."""
    if importlib.util.find_spec(module) is None:
        print(f"MISSING: there is no {module}.", flush=True)
        return None
    started, busy = time.time(), time.process_time()
    run = importlib.import_module(module).run
    try:
        result = run(quick=quick, **options(run))
    except MedidiffError as error:
        print(f"NOT RUN: {error}", flush=True)
        return None
    spent = {"seconds": round(time.time() - started), "cpu_seconds": round(time.process_time() - busy)}
    return {**result, "date": time.strftime("%Y-%m-%d"), **spent, "cpu": cpu_model()}
