"""Rows of an earlier run: the peers do not depend on our weights, so their figures are measured once and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
_PLACE = ("split", "case", "kind", "level", "voxels")


def peers_of(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Rows of peers that `rows` lacks, on the very same noisy scans.

    Args:
        path: The JSON of an earlier `benchmarks.denoise`.
        rows: Of this run; the row "noisy" of each scan is its fingerprint.

    Returns:
        The earlier rows, without medidiff's own, of scans whose noisy row has the same PSNR and SSIM.
    """
    earlier = json.loads(path.read_text(encoding="utf-8"))["rows"]
    ours = {(_place(row), row["method"]) for row in rows}
    here = {_place(row): row for row in rows if row["method"] == "noisy"}
    same = {
        _place(row)
        for row in earlier
        if row["method"] == "noisy" and _place(row) in here and _alike(row, here[_place(row)])
    }
    return [
        {"kind": "gaussian", "extra_mib": math.nan, **row}  # which the first version of the benchmark did not write
        for row in earlier
        if _place(row) in same
        and not str(row["method"]).startswith("medidiff")
        and (_place(row), row["method"]) not in ours
    ]


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(key, "gaussian") for key in _PLACE)


def _alike(a: Row, b: Row) -> bool:
    return all(abs(a[key] - b[key]) <= 2e-5 * abs(b[key]) for key in ("psnr", "ssim"))
