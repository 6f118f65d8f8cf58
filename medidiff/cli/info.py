"""`medidiff info`: what a prior or a scan is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from medidiff.cli.options import JsonOption, SeriesOption
from medidiff.cli.outcome import emit_json, verb
from medidiff.errors import UsageError

_CARD_ORDER = (
    "name", "version", "created", "description", "task", "modalities", "spacing_mm", "intended_use", "limits",
    "weights_licence", "output_licence", "figures", "calibration", "guidance", "sigma_data", "sigma_min", "sigma_max",
    "normalisation", "network", "training",
)  # fmt: skip
_TOLD = ("description", "intended_use", "limits", "weights_licence", "output_licence")
_COLUMNS = 110


@verb
def info(
    subject: Annotated[
        str, typer.Argument(metavar="PRIOR|SCAN", help="A prior's name or file; a NIfTI file, or DICOM.")
    ],
    series: SeriesOption = None,
    full: Annotated[
        bool, typer.Option("--full", help="A prior's whole card, with the configuration it was trained by.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Describe a prior or a scan.

    A prior: its card with training data, licences and limits. A scan: grid, orientation, number type, intensities.

    \b
    Examples:
      medidiff info general
      medidiff info general --full
      medidiff info scan.nii.gz --json
      medidiff info dicom/ --series 3
    """
    path = Path(subject)
    if subject.lower().endswith((".nii", ".nii.gz", ".hdr", ".img")) or _is_dicom(path):
        from medidiff.cli.describe import describe_scan

        described = describe_scan(path, series)
    elif path.is_dir() or (path.is_file() and path.suffix != ".safetensors"):
        raise UsageError(
            f"{subject}: must be a NIfTI file (.nii, .nii.gz), DICOM, or a prior (.safetensors, or its name)."
        )
    else:
        described = describe_prior_fully(subject)
    if as_json:
        emit_json({"status": "done", **described})
    elif described["kind"] == "prior" and not full:
        typer.echo("\n".join(_in_short(described)))
    else:
        typer.echo("\n".join(lines_of(described)))


def _is_dicom(path: Path) -> bool:
    from medidiff.io.dicom.files import looks_like_dicom

    return path.suffix != ".safetensors" and looks_like_dicom(path)


def describe_prior_fully(name_or_path: str) -> dict[str, Any]:
    """A prior's card and file.

    Raises:
        PriorError: Missing or damaged.
    """
    from medidiff.prior import read_entry, resolve_prior

    entry = read_entry(resolve_prior(name_or_path))
    network = entry.card.get("network", {})
    return {
        "kind": "prior",
        "path": str(entry.path),
        "size_mib": round(entry.size_bytes / 2**20, 2),
        "parameters": entry.parameters,
        "content_hash": entry.content_hash,
        "channels": entry.card.get("channels") or ["image"] * network.get("channels", 1),
        "conditions": conditions_of(network.get("slots", {})),
        "card": {key: entry.card[key] for key in sorted(entry.card, key=_place)},
    }


def conditions_of(slots: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What may be asked of a prior, by the condition's name: its values with counts, or its range with percentiles."""
    from medidiff.prior.slot_text import PERCENTILE_STEP

    told: dict[str, dict[str, Any]] = {}
    for name, slot in slots.get("categorical", {}).items():
        counts = slot.get("counts") or [None] * len(slot["values"])
        values = dict(zip(slot["values"], counts, strict=True))
        told[name] = {"kind": "categorical", "values": values, "missing": slot.get("missing", 0)}
    for name, slot in slots.get("continuous", {}).items():
        percentiles = {f"p{i * PERCENTILE_STEP}": value for i, value in enumerate(slot.get("quantiles", []))}
        told[name] = {"kind": "continuous", **{key: slot[key] for key in ("unit", "low", "high")}}
        told[name] |= {"percentiles": percentiles, "known": slot.get("known", 0), "missing": slot.get("missing", 0)}
    return told


def _in_short(described: Mapping[str, Any]) -> list[str]:
    """A prior on one screen: what it is for, what it has seen, under which licences."""
    from medidiff.prior.slot_text import slot_lines

    card = described["card"]
    training = card.get("training", {})
    spacing = card.get("spacing_mm", {})
    network = card.get("network", {})
    channels = card.get("channels") or ["image"] * network.get("channels", 1)
    rows: list[tuple[str, Any]] = [
        ("prior", f"{card['name']} {card['version']}, {card.get('created', '')}, trained to {card.get('task', '')}"),
        ("file", f"{described['path']} ({described['size_mib']:.1f} MiB)"),
        ("weights", f"{described['parameters'] / 1e6:.2f} M, sha256 {described['content_hash'][:16]}..."),
        *((key.replace("_", " "), card.get(key, "")) for key in _TOLD),
        ("scans seen", card.get("modalities", [])),
        ("spacing", f"{spacing.get('low', 0):.3g} to {spacing.get('high', 0):.3g} mm"),
        *([("channels", channels)] if len(channels) > 1 else []),
        *((f"condition {name}", text) for name, text in slot_lines(network.get("slots", {})).items()),
        ("trained on", [_source(source) for source in training.get("sources", [])]),
        ("training", f"{training.get('patients', 0)} patients, {training.get('steps', 0)} steps"),
    ]
    wide = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, value in rows:
        text = _text(value) or "none"
        lines += textwrap.wrap(
            f"{name + ':':<{wide}}{text}", _COLUMNS, subsequent_indent=" " * wide, break_long_words=False
        )
    return [*lines, "--full or --json shows everything, the training configuration too."]


def _source(source: Mapping[str, Any]) -> str:
    return f"{source.get('name')} ({source.get('scans')} scans, {source.get('licence')})"


def _place(key: str) -> int:
    """What people look for comes first, the architecture and the long training record last."""
    return _CARD_ORDER.index(key) if key in _CARD_ORDER else len(_CARD_ORDER)


def lines_of(values: Mapping[str, Any], indent: int = 0) -> list[str]:
    """Nested values as indented lines."""
    lines = []
    for key, value in values.items():
        head = f"{'  ' * indent}{key.replace('_', ' ')}:"
        if isinstance(value, Mapping):
            lines += [head, *lines_of(value, indent + 1)] if value else [f"{head} none"]
        elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
            lines.append(head)
            for item in value:
                lines += ["  " * (indent + 1) + "-", *lines_of(item, indent + 2)] if isinstance(item, Mapping) else [
                    "  " * (indent + 1) + _text(item)
                ]  # fmt: skip
        else:
            lines.append(f"{head} {_text(value)}".rstrip())
    return lines


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
