"""The conditions of a prior in words: what may be asked for. From the card's plain JSON types, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLD_PERCENTILES = (5, 50, 95)
"""Percentiles that texts name."""
PERCENTILE_STEP = 5
"""A card has the percentiles 0, 5, ..., 100."""


def slot_lines(slots: Mapping[str, Any]) -> dict[str, str]:
    """What may be asked of each condition, by its name.

    Args:
        slots: `network.slots` of a card.
    """
    told = {name: _values(slot) for name, slot in slots.get("categorical", {}).items()}
    return told | {name: _range(slot) for name, slot in slots.get("continuous", {}).items()}


def slots_in_a_line(slots: Mapping[str, Any]) -> str:
    """All of them for a message."""
    return "; ".join(f"{name}: {text}" for name, text in slot_lines(slots).items()) or "no conditions"


def _values(slot: Mapping[str, Any]) -> str:
    values, counts = slot.get("values", []), slot.get("counts", [])
    if len(counts) != len(values):
        return ", ".join(values)
    return ", ".join(f"{value} ({_scans(n)})" for value, n in zip(values, counts, strict=True)) + _missing(slot)


def _range(slot: Mapping[str, Any]) -> str:
    text = f"{slot['low']:.4g} to {slot['high']:.4g} {slot['unit']}"
    quantiles = slot.get("quantiles", [])
    more = [f"p{p} {quantiles[p // PERCENTILE_STEP]:.4g}" for p in TOLD_PERCENTILES] if quantiles else []
    more += [_scans(slot["known"])] if slot.get("known") else []
    return text + (f" ({', '.join(more)})" if more else "") + _missing(slot)


def _missing(slot: Mapping[str, Any]) -> str:
    return f", unknown in {slot['missing']}" if slot.get("missing") else ""


def _scans(n: int) -> str:
    return f"{n} scan" if n == 1 else f"{n} scans"


__all__ = ["PERCENTILE_STEP", "TOLD_PERCENTILES", "slot_lines", "slots_in_a_line"]
