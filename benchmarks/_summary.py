"""Means and paired differences of the benchmark's rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._methods import PEER_NAMES
from benchmarks._noise import PHANTOMS
from medidiff.evaluate import Interval, paired_t

Rows = list[dict[str, Any]]
GROUPS = ("noise-free", "real")
KNOWN, BLIND = "medidiff known", "medidiff blind"
BLIND_PEERS = tuple(name for name in PEER_NAMES if not name.endswith("informed"))


def group_of(row: dict[str, Any]) -> str:
    return GROUPS[0] if row["set"] in PHANTOMS else GROUPS[1]


def select(rows: Rows, group: str | None = None, **same: Any) -> Rows:
    """Rows of one group whose columns have these values."""
    return [r for r in rows if (group is None or group_of(r) == group) and all(r[k] == v for k, v in same.items())]


def unique(rows: Rows, key: str) -> list[Any]:
    """The values of a column in order of first appearance."""
    return list(dict.fromkeys(row[key] for row in rows))


def mean(rows: Rows, method: str, key: str) -> float:
    """Mean of a column over the cases that have it; nan where none has."""
    values = [r[key] for r in rows if r["method"] == method and np.isfinite(r.get(key, np.nan))]
    return float(np.mean(values)) if values else float("nan")


def difference(rows: Rows, method: str, peer: str, key: str = "psnr") -> tuple[int, Interval] | None:
    """Method minus peer over the cases that have both, one pair a patient; None where there is no such case.

    A case is told by its split, set, name, kind and level; the rows of one kind and level are meant.
    """
    values: dict[str, dict[tuple, float]] = {method: {}, peer: {}}
    for row in rows:
        if row["method"] in values and np.isfinite(row.get(key, np.nan)):
            values[row["method"]][row["split"], row["set"], row["case"], row["kind"], row["level"]] = row[key]
    common = [c for c in values[method] if c in values[peer]]
    if not common:
        return None
    return len(common), paired_t([values[method][c] for c in common], [values[peer][c] for c in common])


def worst_peer(rows: Rows, method: str, peers: tuple[str, ...], key: str = "psnr") -> tuple[str, int, Interval] | None:
    """The peer that `method` is the least better than: (name, cases, method minus peer)."""
    found = []
    for peer in peers:
        pair = difference(rows, method, peer, key)
        if pair is not None:
            found.append((peer, *pair))
    return min(found, key=lambda f: f[2].mean) if found else None
