"""Copies of one scan under several names: one of them stays, the same one whatever order they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medidiff.cohort.checks import Rejection
from medidiff.cohort.prepare_scan import Item


def without_copies(
    found: Sequence[tuple[Item, dict[str, Any]]],
) -> tuple[list[tuple[Item, dict[str, Any], bool]], list[Rejection], list[str]]:
    """The scans without copies of one another; the copies; what to warn of.

    Args:
        found: Every scan with what was measured of it; copies have the same `voxels`.

    Returns:
        The scans that stay (of copies the first by its path), each with whether what lies in the store under its
        scan_id may be a copy's; the others as rejections; warnings.
    """
    groups: dict[str, list[tuple[Item, dict[str, Any]]]] = {}
    for item, measured in found:
        groups.setdefault(measured["voxels"], []).append((item, measured))
    chosen, copies, persons = [], [], 0
    for group in groups.values():
        group.sort(key=lambda one: (one[0].source, one[0].patient, one[1]["content_hash"]))
        item, measured = group[0]
        same = [other["content_hash"] for _, other in group if other["scan_id"] == measured["scan_id"]]
        chosen.append((item, measured, len(set(same)) > 1))
        persons += len({one.patient for one, _ in group}) > 1
        for copy, _ in group[1:]:
            if copy.patient == item.patient:
                reason = f"the same voxels as {item.source}, of the same patient"
                copies.append(Rejection(copy.source, "duplicate", reason, failed=False))
            else:
                reason = f"the same voxels as {item.source}, WHICH IS SAID TO BE OF ANOTHER PATIENT"
                copies.append(Rejection(copy.source, "duplicate of another patient", reason))
    if not persons:
        return chosen, copies, []
    what = "1 scan is" if persons == 1 else f"{persons} scans are"
    warning = (
        f"{what} said to be of TWO PATIENTS (see rejected.tsv). If they are one person, scans of that person may stand "
        "in train and in holdout, and no figure from this store can be trusted. Correct the table, and prepare again."
    )
    return chosen, copies, [warning]
