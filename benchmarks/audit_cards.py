"""Writes what `python -m benchmarks.audit priors` found into the cards of the shipped priors: `figures.privacy_audit`.

A prior's hash is over its card too, so it changes with the figure; the figure names the hash that was audited, and the
weights stay bit for bit the same. What an earlier audit of the same weights found stays in `earlier`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.audit import RESULTS
from medidiff.errors import PriorError
from medidiff.prior import Prior

WEIGHTS = Path("medidiff/weights")
_SAID = re.compile(r"\s*Privacy audit:.*$", re.DOTALL)


def main(argv: list[str] | None = None) -> int:
    """Write the cards of the priors named, or of all in the results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.audit_cards",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("priors", nargs="*", metavar="PRIOR")
    parser.add_argument("--note", default="", help="what else the limits shall say of the audit")
    given = parser.parse_args(argv)
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))["priors"]["figures"]
    for name in given.priors or figures:
        written = with_audit(Prior.load(WEIGHTS / f"{name}.safetensors"), figures[name], given.note)
        stored = written.save(WEIGHTS / f"{name}.safetensors", dtype="float16")
        print(f"{name}: {figures[name]['verdict']}, now {stored.content_hash[:12]}")
    return 0


def with_audit(prior: Prior, figure: dict[str, Any], note: str = "") -> Prior:
    """The prior with the figure in its card, and a sentence of it in its limits.

    Raises:
        PriorError: The audit was of other weights.
    """
    told = {key: value for key, value in figure.items() if key != "prior_hash"}
    before = prior.card.figures.get("privacy_audit")
    if figure["prior_hash"] not in (prior.content_hash, (before or {}).get("hash_before")):
        raise PriorError(f"{prior.card.name}: the audit is of {figure['prior_hash'][:12]}, this is another prior.")
    if figure["prior_hash"] != prior.content_hash:
        return prior  # it is in the card already
    what = "medidiff audit, before this figure was added to the card; the weights are the same"
    told |= {"hash_before": figure["prior_hash"], "what": what}
    if before is not None:
        told["earlier"] = [*before.get("earlier", ()), {k: v for k, v in before.items() if k != "earlier"}]
    said = f"Privacy audit: {figure['verdict']}{', but ' if note else ''}{note}; see figures.privacy_audit"
    said += " and docs/privacy.md."
    limits = f"{_SAID.sub('', prior.card.limits)} {said}"
    card = prior.card.model_copy(update={"figures": {**prior.card.figures, "privacy_audit": told}, "limits": limits})
    return Prior(card, prior.weights)


if __name__ == "__main__":
    sys.exit(main())
