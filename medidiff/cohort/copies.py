"""Copies of one scan under several names: one of them stays, the same one whatever order they come in.

Of copies that are said to be of several patients none stays: nobody knows whose it is, and the one that stayed could be
held out while the person's other scans are trained on.
"""

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
        The scans that stay (of one patient's copies the first by its path), each with whether what lies in the store
        under its scan_id may be a copy's; the others as rejections; warnings.
    """
    groups: dict[str, list[tuple[Item, dict[str, Any]]]] = {}
    for item, measured in found:
        groups.setdefault(measured["voxels"], []).append((item, measured))
    chosen, copies, persons = [], [], 0
    for group in groups.values():
        group.sort(key=lambda one: (one[0].source, one[0].patient, one[1]["content_hash"]))
        if len({one.patient for one, _ in group}) > 1:
            persons += 1
            copies += [_of_several(item, group) for item, _ in group]
            continue
        item, measured = group[0]
        same = [other["content_hash"] for _, other in group if other["scan_id"] == measured["scan_id"]]
        chosen.append((item, measured, len(set(same)) > 1))
        for copy, _ in group[1:]:
            reason = f"the same voxels as {item.source}, of the same patient"
            copies.append(Rejection(copy.source, "duplicate", reason, failed=False))
    if not persons:
        return chosen, copies, []
    what = "1 scan is" if persons == 1 else f"{persons} scans are"
    warning = (
        f"{what} said to be of TWO PATIENTS, and left out under every name (see rejected.tsv). If they are one person, "
        "other scans of that person may stand in train and in holdout, and no figure from this store can be trusted. "
        "Correct the table, and prepare again."
    )
    return chosen, copies, [warning]


def _of_several(item: Item, group: Sequence[tuple[Item, dict[str, Any]]]) -> Rejection:
    other = next(one for one, _ in group if one.patient != item.patient)
    reason = f"the same voxels as {other.source}, WHICH IS SAID TO BE OF ANOTHER PATIENT: all of them are left out"
    return Rejection(item.source, "duplicate of another patient", reason)
