"""A finished set put together: manifest, labels, card; the same bytes whoever does it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medidiff.io import atomic_open, atomic_write_text
from medidiff.synthesis.cards import croissant, dataset_card
from medidiff.synthesis.layout import CARD, CROISSANT, LABELS, MANIFEST, extra_files
from medidiff.synthesis.write import Writer, hash_path, sync_folder

_TEXTS = (
    "status", "group", "image", "mask", "record", "image_sha256", "voxels_sha256", "mask_sha256", "mask_voxels_sha256",
    "record_sha256", "prior_name", "prior_version", "prior_hash", "settings_hash",
)  # fmt: skip
_NUMBERS = ("index", "seed", "attempt", "nfe")


def merge(root: Path, writer: Writer, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write what tells of the whole set.

    Args:
        root: The set's folder.
        writer: Its card, layout and settings.
        rows: Of every number, in order.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    with atomic_open(root / MANIFEST) as file:
        file.write(manifest_bytes(rows))
    atomic_write_text(root / LABELS, labels_text(rows))
    done = [row for row in rows if row["status"] == "done"]
    for name, text in extra_files(writer.layout, writer.card, len(done)).items():
        atomic_write_text(root / name, text)
    if writer.layout.kind == "bids":
        atomic_write_text(root / "participants.tsv", _participants(done))
    told = summary(rows)
    atomic_write_text(root / CARD, dataset_card(writer, told))
    hashes = {name: hash_path(root / name) for name in (MANIFEST, LABELS)}
    atomic_write_text(
        root / CROISSANT, json.dumps(croissant(writer, told, hashes, label_fields(rows)), indent=2) + "\n"
    )
    sync_folder(root)


def manifest_bytes(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The parquet table: a row a number, a column for every condition asked for and every one measured."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {name: pa.array([int(row[name]) for row in rows], pa.int64()) for name in _NUMBERS}
    columns |= {name: pa.array([str(row[name]) for row in rows], pa.string()) for name in _TEXTS}
    for kind in ("conditions", "measured"):
        prefix = "condition" if kind == "conditions" else kind
        for name in _names(rows, kind):
            columns[f"{prefix}_{name}"] = _column(pa, [row[kind].get(name) for row in rows])
    for name in ("extrapolated", "rejected"):
        columns[name] = pa.array([list(row[name]) for row in rows], pa.list_(pa.string()))
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def labels_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """labels.csv: of what is there, what it shows."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    fields = label_fields(rows)
    out.writerow(fields)
    for row in rows:
        if row["status"] == "done":
            out.writerow([_cell(_label(row, name)) for name in fields])
    return text.getvalue()


def label_fields(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns of labels.csv."""
    group = ["group"] if any(row["group"] for row in rows) else []
    measured = [f"measured_{name}" for name in _names(rows, "measured")]
    return ["index", "file", "mask", *group, *_names(rows, "conditions"), *measured]


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts and reasons."""
    rejected = Counter(
        part.partition(":")[0] for row in rows for reasons in row["rejected"] for part in reasons.split("; ")
    )
    done = [row for row in rows if row["status"] == "done"]
    return {
        "scans": len(done),
        "failed": [row["index"] for row in rows if row["status"] == "failed"],
        "draws": sum(row["attempt"] + 1 for row in rows),
        "rejected": sum(len(row["rejected"]) for row in rows),
        "reasons": dict(sorted(rejected.items())),
        "groups": dict(
            sorted(Counter(row["group"] for row in rows if row["group"] and row["status"] == "done").items())
        ),
        "extrapolated": sum(bool(row["extrapolated"]) for row in rows if row["status"] == "done"),
        "conditions": {name: _told(done, "conditions", name) for name in _names(done, "conditions")},
        "measured": {name: _told(done, "measured", name) for name in _names(done, "measured")},
    }


def _told(rows: Sequence[Mapping[str, Any]], kind: str, name: str) -> dict[str, Any]:
    values = [row[kind].get(name) for row in rows]
    numbers = sorted(v for v in values if isinstance(v, (int, float)))
    if numbers:
        return {"lowest": numbers[0], "median": numbers[len(numbers) // 2], "highest": numbers[-1]}
    return {"counts": dict(sorted(Counter("unknown" if v is None else str(v) for v in values).items()))}


def _names(rows: Sequence[Mapping[str, Any]], kind: str) -> list[str]:
    return sorted({name for row in rows for name in row[kind]})


def _column(pa: Any, values: Sequence[Any]) -> Any:
    if any(isinstance(value, str) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array([None if value is None else float(value) for value in values], pa.float64())


def _label(row: Mapping[str, Any], name: str) -> Any:
    if name == "file":
        return row["image"]
    if name in ("index", "mask", "group"):
        return row[name]
    if name.startswith("measured_") and name.removeprefix("measured_") in row["measured"]:
        return row["measured"][name.removeprefix("measured_")]
    return row["conditions"].get(name)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _participants(rows: Sequence[Mapping[str, Any]]) -> str:
    names = _names(rows, "conditions")
    group = ["group"] if any(row["group"] for row in rows) else []
    lines = ["\t".join(["participant_id", "synthetic", *group, *names])]
    for row in rows:
        values = [_cell(_label(row, name)) or "n/a" for name in [*group, *names]]
        lines.append("\t".join([row["image"].partition("/")[0], "true", *values]))
    return "\n".join(lines) + "\n"


__all__ = ["label_fields", "labels_text", "manifest_bytes", "merge", "summary"]
