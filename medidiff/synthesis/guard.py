"""The release filter of a set: which patients it keeps away from, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from medidiff.cohort.scan_set import common_window, find_scan_set, read_scan_sets, to_window
from medidiff.cohort.scan_set_find import is_store
from medidiff.privacy.guard import Guard

RULE = "guard"
CLAIM = (
    "The set was filtered: samples that came nearer to one patient than strangers do were drawn again. An audit of it "
    "speaks of the filtered set, not of the prior, and sees less: what a filter let pass lies below the limit that the "
    "audit looks above. Audit an unfiltered set of the same prior too."
)


@dataclass(frozen=True)
class GuardRequest:
    """Which patients no sample may come too near to; picklable.

    Args:
        where: A store (its split train), or a folder of scans.
        table: Whose the folder's scans are.
        shape: Voxels of a sample.
        spacing_mm: Of a sample.
    """

    where: str
    table: Path | None
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def problem(self, image: np.ndarray) -> str | None:
        """Why a sample (x, y, z) is not kept, or None."""
        guard, window = _loaded(self)
        said = guard.judge(to_window("sample", np.asarray(image, dtype=np.float32), window))
        if not said.too_near:
            return None
        return f"{RULE}: nearer to a patient than chance allows (log gap {said.gap:.3f}, limit {said.limit:.3f})"

    def settings(self) -> dict[str, Any]:
        """What decides which samples it drops, and nothing that leads to a patient."""
        guard, window = _loaded(self)
        return {
            "scans_sha256": guard.hash,
            "scans": len(guard.images),
            "patients": guard.gallery.n_patients,
            "log_gap_limit": round(guard.limit, 6),
            "false_flag": guard.false_flag,
            "window": list(window),
        }


@lru_cache(maxsize=2)
def _loaded(request: GuardRequest) -> tuple[Guard, tuple[int, int, int]]:
    found = find_scan_set(request.where, "train" if is_store(request.where) else None, request.table)
    own = common_window([found])
    window = cast(tuple[int, int, int], tuple(min(pair) for pair in zip(own, request.shape, strict=True)))
    scans = read_scan_sets([found], window, request.spacing_mm)[0]
    return Guard(scans.images, scans.patients), window


__all__ = ["CLAIM", "RULE", "GuardRequest"]
