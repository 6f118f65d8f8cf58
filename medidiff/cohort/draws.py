"""Which scan the next patch is cut from: rare values of an attribute as often as common ones, patients evenly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

BINS = 5
"""Bins of a continuous attribute."""
_TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class Node:
    """One choice: `children` are drawn evenly; `unknown`, whose attribute is missing, with its own share.

    Attributes:
        children: Nodes, or at the end the numbers of one patient's scans.
        unknown: What has no value.
        unknown_share: Its share of the patients.
    """

    children: tuple[Node | tuple[int, ...], ...]
    unknown: Node | None = None
    unknown_share: float = 0.0


def balanced_tree(patients: Sequence[str], attributes: Mapping[str, Sequence[float | str | None]]) -> Node:
    """The choices from the first attribute down to the scans.

    Each value of an attribute is drawn evenly among those that still have a patient: sex, then the age bins of that
    sex. A continuous attribute has `BINS` bins of equal width between its 5% and 95% quantile, the outer two open to
    the ends: quantile bins would hold equally many patients and balance nothing. Scans without a value keep the share
    of their patients. Where a bin has few patients, these are seen often: look at the counts before balancing.

    Args:
        patients: Of every scan.
        attributes: Values of every scan, in the order in which they are drawn.
    """
    codes = [_codes(values) for values in attributes.values()]
    numbers = {patient: i for i, patient in enumerate(sorted(set(patients)))}
    return _node(np.arange(len(patients)), np.array([numbers[patient] for patient in patients], dtype=int), codes)


def draw_index(tree: Node, rng: np.random.Generator) -> int:
    """Number of the scan drawn."""
    node: Node | tuple[int, ...] = tree
    while isinstance(node, Node):
        if node.unknown is not None and (not node.children or rng.random() < node.unknown_share):
            node = node.unknown
        else:
            node = node.children[int(rng.integers(len(node.children)))]
    return node[int(rng.integers(len(node)))]


def _node(scans: np.ndarray, patients: np.ndarray, codes: list[np.ndarray]) -> Node:
    if not codes:
        of: dict[int, list[int]] = {}
        for scan in scans.tolist():
            of.setdefault(int(patients[scan]), []).append(scan)
        return Node(tuple(tuple(of[patient]) for patient in sorted(of)))
    here, rest = codes[0][scans], codes[1:]
    children = tuple(_node(scans[here == code], patients, rest) for code in np.unique(here[here >= 0]).tolist())
    without = scans[here < 0]
    if not len(without):
        return Node(children)
    share = len(np.unique(patients[without])) / len(np.unique(patients[scans]))
    return Node(children, _node(without, patients, rest), share)


def _codes(values: Sequence[float | str | None]) -> np.ndarray:
    """A number for every value or bin, -1 where it is missing."""
    if any(isinstance(value, str) for value in values):
        numbers = {value: i for i, value in enumerate(sorted({v for v in values if v is not None}, key=str))}
        return np.array([-1 if value is None else numbers[value] for value in values])
    number = np.array([np.nan if value is None else float(value) for value in values])
    known = np.isfinite(number)
    if not known.any():
        return np.full(len(number), -1)
    low, high = np.quantile(number[known], _TAILS)
    inner = np.linspace(low, high, BINS + 1)[1:-1]
    return np.where(known, np.searchsorted(inner, np.where(known, number, 0), side="right"), -1)


__all__ = ["BINS", "Node", "balanced_tree", "draw_index"]
