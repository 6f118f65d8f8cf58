"""Subgroups of a cohort: values of a category, bands of a number, and the cells of two that lack patients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medidiff.errors import InputError

Attributes = Sequence[Mapping[str, Any]]
"""What is known of each scan, by name; a name may be missing, or its value None or an empty text."""
NOT_RECORDED = "not recorded"
MOST_VALUES = 12
"""A category with more values than this is no subgroup but a name."""
LEAST = 5
"""A cell with fewer patients is a gap."""
_AGE_BAND = 20


@dataclass(frozen=True)
class Group:
    """One subgroup.

    Attributes:
        attribute: Name of the column.
        label: `F`, `20 to 40`, `under 2.4`, `not recorded`.
        value: Of a category, as text; None for a band or what is not recorded.
        low: Of a band, included; -inf where it is open.
        high: Of a band, not included.
        is_band: Whether it is one.
    """

    attribute: str
    label: str
    value: str | None = None
    low: float = -math.inf
    high: float = math.inf
    is_band: bool = False

    @property
    def stratum(self) -> str:
        """As a Finding of the audit names it: `sex F`, `volume_ml 2.4 to 2.9`."""
        return f"{self.attribute} {self.label}"

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a scan is in it."""
        found = _known(row, self.attribute)
        if found is None:
            return self.label == NOT_RECORDED
        if not self.is_band:
            return self.value == str(found)
        number = _number(found)
        return number is not None and self.low <= number < self.high

    def members(self, rows: Attributes) -> np.ndarray:
        """Which of the scans are in it, boolean."""
        return np.array([self.holds(row) for row in rows], dtype=bool)


@dataclass(frozen=True)
class Gap:
    """Patients that a cohort hardly has.

    Attributes:
        cell: Strata that a patient would be in together, one or two.
        patients: Real ones that are.
        synthetic: Scans of the synthetic set that claim to be.
    """

    cell: tuple[str, ...]
    patients: int
    synthetic: int


def groups_of(rows: Attributes, edges: Mapping[str, Sequence[float]] | None = None) -> list[Group]:
    """The subgroups that the attributes of REAL scans make.

    A column of numbers becomes bands: of 20 years where its name begins with `age`, else thirds of the scans. Any other
    becomes its values. A column with one value alone, or with more than 12 words, makes none.

    Args:
        rows: Attributes of the scans.
        edges: Limits of the bands of a column, inner ones, in place of those.

    Raises:
        InputError: `edges` names a column that holds no numbers, or is not increasing.
    """
    edges = edges or {}
    found: list[Group] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [value for row in rows if (value := _known(row, name)) is not None]
        numbers = [number for value in values if (number := _number(value)) is not None]
        if name in edges:
            limits = [float(edge) for edge in edges[name]]
            if len(numbers) < len(values) or not numbers or sorted(set(limits)) != limits:
                raise InputError(f"bands of {name}: it must hold numbers, and the limits {limits} must increase.")
            groups = _bands(name, [-math.inf, *limits, math.inf])
        elif numbers and len(numbers) == len(values):
            groups = _bands(name, _ends(name, numbers))
        else:
            words = sorted(set(map(str, values)))
            groups = [Group(name, word, word) for word in words] if 1 < len(words) <= MOST_VALUES else []
        if groups and any(_known(row, name) is None for row in rows):
            groups.append(Group(name, NOT_RECORDED))
        found += groups if len(groups) > 1 else []
    unknown = set(edges) - {name for row in rows for name in row}
    if unknown:
        raise InputError(f"bands of {', '.join(sorted(unknown))}: no scan has such an attribute.")
    return found


def gaps_of(
    groups: Sequence[Group],
    real: Attributes,
    patients: Sequence[str],
    synthetic: Attributes = (),
    least: int = LEAST,
) -> list[Gap]:
    """What the cohort lacks: subgroups, and cells of two attributes, with fewer than `least` patients.

    A cell within a subgroup that is itself a gap is not listed again. Such cells are the ones a prior knows least, and
    whose patients an audit can say least about.

    Args:
        groups: From `groups_of`.
        real: Attributes of real scans.
        patients: Whose each is.
        synthetic: Attributes of synthetic scans.
        least: Patients.
    """
    known = [group for group in groups if group.label != NOT_RECORDED]
    names = np.asarray(patients)
    inside = {group: group.members(real) for group in known}
    made = {group: group.members(synthetic) for group in known}
    found, small = [], set()
    for group in known:
        count = len(set(names[inside[group]].tolist()))
        if count < least:
            small.add(group)
            found.append(Gap((group.stratum,), count, int(made[group].sum())))
    for a, b in itertools.combinations([group for group in known if group not in small], 2):
        if a.attribute != b.attribute:
            count = len(set(names[inside[a] & inside[b]].tolist()))
            if count < least:
                found.append(Gap((a.stratum, b.stratum), count, int((made[a] & made[b]).sum())))
    return found


def _known(row: Mapping[str, Any], name: str) -> Any:
    value = row.get(name)
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "n/a", "na", "nan", "unknown")):
        return None
    return None if isinstance(value, (float, np.floating)) and not math.isfinite(value) else value


def _number(value: Any) -> float | None:
    if isinstance(value, (bool, np.bool_)):
        return None
    return float(value) if isinstance(value, (int, float, np.number)) else None


def _ends(name: str, numbers: Sequence[float]) -> list[float]:
    """Ends of the bands: whole ages that span all, or thirds, open at both ends."""
    if name.lower().startswith("age"):
        low, high = (math.floor(edge / _AGE_BAND) for edge in (min(numbers), max(numbers)))
        return [float(_AGE_BAND * k) for k in range(low, high + 2)]
    thirds = sorted({float(f"{edge:.3g}") for edge in np.quantile(numbers, [1 / 3, 2 / 3])})
    return [-math.inf, *(edge for edge in thirds if min(numbers) < edge <= max(numbers)), math.inf]


def _bands(name: str, ends: Sequence[float]) -> list[Group]:
    return [Group(name, _label(a, b), None, a, b, True) for a, b in itertools.pairwise(ends)]


def _label(low: float, high: float) -> str:
    if low == -math.inf:
        return f"under {high:g}"
    return f"{low:g} and over" if high == math.inf else f"{low:g} to {high:g}"


__all__ = ["LEAST", "NOT_RECORDED", "Attributes", "Gap", "Group", "gaps_of", "groups_of"]
