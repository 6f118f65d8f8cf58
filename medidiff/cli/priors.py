"""`medidiff priors`: which trained priors are at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from medidiff.cli.options import JsonOption
from medidiff.cli.outcome import emit_json, verb, warn

if TYPE_CHECKING:
    from medidiff.prior import PriorEntry


@verb
def priors(as_json: JsonOption = False) -> None:
    """List the trained priors.

    Those in the package, and those in the folder $MEDIDIFF_PRIORS (~/.local/share/medidiff/priors by default).

    \b
    Examples:
      medidiff priors
      medidiff priors --json
    """
    from medidiff.prior import list_priors
    from medidiff.prior.files import user_folder

    entries = list_priors()
    if as_json:
        emit_json({"status": "done", "priors": [describe_prior(entry) for entry in entries]})
        return
    usable = [entry for entry in entries if entry.problem is None]
    if usable:
        typer.echo(table([describe_prior(entry) for entry in usable]))
    else:
        typer.echo(f"No priors in the package or in {user_folder()}. `medidiff train` makes one.")
    for entry in entries:
        if entry.problem is not None:
            warn(entry.problem)


def describe_prior(entry: PriorEntry) -> dict[str, Any]:
    """A prior in a few words, for the list."""
    spacing = entry.card.get("spacing_mm", {})
    return {
        "name": entry.name,
        "version": entry.version,
        "task": entry.card.get("task", ""),
        "modalities": entry.card.get("modalities", []),
        "spacing_mm": [spacing.get("low"), spacing.get("high")] if spacing else [],
        "parameters": entry.parameters,
        "size_mib": round(entry.size_bytes / 2**20, 2),
        "weights_licence": entry.card.get("weights_licence", ""),
        "content_hash": entry.content_hash,
        "path": str(entry.path),
        "problem": entry.problem,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Aligned columns."""
    head = ("NAME", "VERSION", "TASK", "SPACING MM", "WEIGHTS", "SIZE MIB", "LICENCE", "SCANS SEEN")
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        spacing = " to ".join(f"{v:g}" for v in row["spacing_mm"])
        size = f"{row['size_mib']:.1f}"
        weights = f"{row['parameters'] / 1e6:.1f} M"
        seen = ", ".join(row["modalities"])
        lines.append((row["name"], row["version"], row["task"], spacing, weights, size, row["weights_licence"], seen))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
