"""A blinded comparison: which side shows which method, kept in a key that is committed to before anybody looks."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medidiff.errors import InputError, UsageError
from medidiff.evaluate.preference import exact_binomial

KEY_FORMAT, PACK_FORMAT = "medidiff-reader-key", "medidiff-reader-pack"
COLUMNS = ("item", "better", "confidence_A", "confidence_B", "artefacts_A", "artefacts_B", "comment")
_BETTER = {"a": "A", "b": "B", "same": "same"}
_YES_NO = {"yes": True, "no": False}
_MOST_CONFIDENT = 5


@dataclass(frozen=True)
class Item:
    """Two images of one scan side by side.

    Args:
        name: What the reader sees, such as "item-001".
        scan: Which scan it is.
        patient: Whose.
        sides: Method by side, "A" and "B".
    """

    name: str
    scan: str
    patient: str
    sides: Mapping[str, str]


def draw_items(scans: Sequence[tuple[str, str]], methods: Sequence[str], seed: int) -> list[Item]:
    """Every scan with every two methods, in random order, sides drawn for each.

    Half of the items of every two methods have the first one on side A, as near as their number allows, so that a
    reader who always likes the left favours nobody.

    Args:
        scans: (scan, patient).
        methods: Two or more.
        seed: Of order and sides.

    Raises:
        UsageError: Fewer than two methods, or no scan.
    """
    if len(methods) < 2 or not scans:
        raise UsageError(f"{len(methods)} methods on {len(scans)} scans: a blinded pack needs two methods and a scan.")
    rng = np.random.default_rng(seed)
    drawn: list[tuple[str, str, dict[str, str]]] = []
    for first, second in itertools.combinations(methods, 2):
        swapped = rng.permutation(np.arange(len(scans)) % 2 == rng.integers(2))
        for (scan, patient), swap in zip(scans, swapped, strict=True):
            drawn.append((scan, patient, {"A": second, "B": first} if swap else {"A": first, "B": second}))
    order = rng.permutation(len(drawn))
    digits = max(3, len(str(len(drawn))))
    return [Item(f"item-{place:0{digits}d}", *drawn[index]) for place, index in enumerate(order, start=1)]


def seal(items: Sequence[Item], seed: int, files: Mapping[str, str], about: Mapping[str, Any]) -> tuple[str, str]:
    """The key as text, and its commitment: the SHA-256 of that text.

    256 random bits inside keep the few possible keys from being tried against the commitment.

    Args:
        items: Of the pack.
        seed: They were drawn with.
        files: SHA-256 of the pack's files, by name.
        about: What else is to be kept.
    """
    key = {
        "format": KEY_FORMAT,
        **about,
        "seed": seed,
        "nonce": secrets.token_hex(32),
        "items": [{"item": i.name, "scan": i.scan, "patient": i.patient, **i.sides} for i in items],
        "files": dict(files),
    }
    text = json.dumps(key, indent=2) + "\n"
    return text, commitment_of(text)


def commitment_of(text: str) -> str:
    """SHA-256 of a key's text, as `sha256sum key.json` prints it."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def open_key(path: Path, commitment: str) -> tuple[dict[str, Any], list[Item]]:
    """Read a key and hold it against the commitment that was given with the pack.

    Raises:
        InputError: It cannot be read, is no key, or is not the one that was committed to.
    """
    try:
        text = path.read_text(encoding="utf-8")
        key = json.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(f"--key {path}: cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if not isinstance(key, dict) or key.get("format") != KEY_FORMAT:
        raise InputError(f"--key {path}: is no key of a reader pack. It is called key.json, in a folder of its own.")
    if commitment_of(text) != commitment:
        raise InputError(
            f"--key {path}: its SHA-256 is {commitment_of(text)[:12]}..., the pack was sealed with "
            f"{commitment[:12]}...: it is another pack's key, or was changed."
        )
    sides = ("A", "B")
    return key, [Item(i["item"], i["scan"], i["patient"], {s: i[s] for s in sides}) for i in key["items"]]


def empty_scores(items: Sequence[Item]) -> str:
    """The table that a reader fills in."""
    return "\n".join([",".join(COLUMNS), *(item.name + "," * (len(COLUMNS) - 1) for item in items)]) + "\n"


def read_scores(path: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """A reader's table. Rows whose `better` is empty are left out: not read yet.

    Returns:
        A row an item: better ("A", "B" or "same"), confidence_A and _B (1 to 5 or None), artefacts_A and _B (or None).

    Raises:
        InputError: A column is missing, an item is unknown or stands twice, or a value is none of those allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read. Save it as CSV, in UTF-8.") from error
    dialect = ";" if text.split("\n", 1)[0].count(";") > 2 else ","  # what spreadsheets write in half of Europe
    reader = csv.DictReader(text.splitlines(), delimiter=dialect)
    lacking = [column for column in COLUMNS[:-1] if column not in (reader.fieldnames or [])]
    if lacking:
        raise InputError(f"{path}: no column {', '.join(lacking)}. Keep the first line as it was.")
    rows: list[dict[str, Any]] = []
    for line, row in enumerate(reader, start=2):
        item = (row["item"] or "").strip()
        if item not in names or item in {one["item"] for one in rows}:
            raise InputError(f"{path}, line {line}: item {item!r} is not in this pack, or stands twice.")
        if (row["better"] or "").strip():
            rows.append(_checked(row, item, f"{path}, line {line}"))
    return rows


def _checked(row: Mapping[str, str | None], item: str, where: str) -> dict[str, Any]:
    def one_of(column: str, allowed: Mapping[str, Any]) -> Any:
        text = (row[column] or "").strip().lower()
        if text and text not in allowed:
            raise InputError(f"{where}: {column} is {text!r}: must be one of {', '.join(allowed)}, or empty.")
        return allowed.get(text)

    levels = {str(n): n for n in range(1, _MOST_CONFIDENT + 1)}
    return {
        "item": item,
        "better": one_of("better", _BETTER),
        **{f"confidence_{side}": one_of(f"confidence_{side}", levels) for side in "AB"},
        **{f"artefacts_{side}": one_of(f"artefacts_{side}", _YES_NO) for side in "AB"},
    }


def unblind(rows: Sequence[Mapping[str, Any]], items: Sequence[Item]) -> dict[str, Any]:
    """One reader's scores by method.

    Returns:
        `preferences`, one entry for every two methods: how often each was better, the share of the first among the
        decided with its exact 95% interval and the sign test's p; `methods`: mean confidence and share with artefacts.
    """
    by_name = {item.name: item for item in items}
    counts: dict[tuple[str, str], dict[str, int]] = {}
    patients: dict[tuple[str, str], list[str]] = {}
    marks: dict[str, dict[str, list[float]]] = {}
    for item in items:
        first, second = sorted(item.sides.values())
        counts.setdefault((first, second), {first: 0, second: 0, "same": 0})
        patients.setdefault((first, second), [])
    for row in rows:
        item = by_name[row["item"]]
        first, second = sorted(item.sides.values())
        counts[first, second][item.sides.get(row["better"], "same")] += 1
        patients[first, second].append(item.patient)
        for side, method in item.sides.items():
            mine = marks.setdefault(method, {"confidence": [], "artefacts": []})
            for mark, values in mine.items():
                if row[f"{mark}_{side}"] is not None:
                    values.append(float(row[f"{mark}_{side}"]))
    preferences = [
        {"methods": list(two), **_preference(two, count), "patients": len(set(patients[two]))}
        for two, count in counts.items()
    ]
    means = {m: {mark: sum(v) / len(v) if v else None for mark, v in one.items()} for m, one in marks.items()}
    return {"read": len(rows), "items": len(items), "preferences": preferences, "methods": means}


def _preference(two: tuple[str, str], count: Mapping[str, int]) -> dict[str, Any]:
    first, second = two
    decided = count[first] + count[second]
    told: dict[str, Any] = {"better": {first: count[first], second: count[second]}, "same": count["same"]}
    if decided:
        share = exact_binomial(count[first], decided)
        told |= {"share_of_first": share.share, "interval_95": [share.low, share.high], "p_value": share.p_value}
    return told


__all__ = [
    "COLUMNS", "PACK_FORMAT", "Item", "commitment_of", "draw_items", "empty_scores", "open_key", "read_scores", "seal",
    "unblind",
]  # fmt: skip
