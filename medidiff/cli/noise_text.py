"""A scan's noise in words: some lines of one scan, a line each of several."""

from __future__ import annotations

from collections.abc import Sequence

from medidiff.cli.evaluate_text import aligned
from medidiff.cli.noise_measure import Measured, interval_of

_HEADER = ["scan", "level", "interval", "% of range", "kind", "across the scan", "neighbours", "trusted"]


def lines_of(one: Measured) -> list[str]:
    """One scan."""
    if one.known is None:
        return [f"{one.name}: {one.status}: no noise can be measured"]
    interval = interval_of(one)
    level = f"noise level {one.level:.4g}"
    if interval is not None:
        level += f" (interval {interval[0]:.4g} to {interval[1]:.4g})"
    first = f"{one.name}: {level}, {one.percent:.2g}% of the scan's range"
    rows = [
        ("kind", f"{_kind(one)}: {one.known.figures.get('noise_kind_because') or 'asked for'}"),
        ("place", _place(one)),
        ("neighbours", _neighbours(one)),
        ("trusted", "yes" if one.trusted else "no, see the warnings"),
    ]
    if one.clean:
        rows.insert(0, ("status", f"{one.status}: `medidiff denoise` leaves it as it is"))
    return [first, *(f"  {name:<10}  {text}" for name, text in rows)]


def table_of(several: Sequence[Measured]) -> list[str]:
    """Several scans, a line each."""
    return aligned([_HEADER, *map(_row, several)])


def _row(one: Measured) -> list[str]:
    if one.known is None:
        return [one.name, "0", "-", "0", one.status, "-", "-", "yes"]
    interval, across = interval_of(one), one.across
    return [
        one.name,
        f"{one.level:.4g}",
        "-" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}",
        f"{one.percent:.2g}",
        f"{_kind(one)}{', already clean' if one.clean else ''}",
        "the same" if across is None else f"{across[0]:.3g} to {across[1]:.3g}",
        "white" if not one.alike else ", ".join(f"{axis} {value:.2f}" for axis, value in one.alike.items()),
        "yes" if one.trusted else "no",
    ]


def _kind(one: Measured) -> str:
    if one.known is None:
        return ""
    return f"chi of {one.known.coils} coils" if one.known.kind == "chi" else one.known.kind


def _place(one: Measured) -> str:
    if one.across is None:
        return "the same across the scan"
    low, high = one.across
    return f"varies across the scan, from {low:.4g} to {high:.4g}"


def _neighbours(one: Measured) -> str:
    if not one.alike:
        return "white: neighbouring noise values have nothing to do with each other"
    values = ", ".join(f"{value:.2f}" for value in one.alike.values())
    return f"correlated along {', '.join(one.alike)}: neighbours {values}"


__all__ = ["lines_of", "table_of"]
