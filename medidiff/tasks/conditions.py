"""Conditions as a person states them, as the network takes them; what a prior does not know is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from medidiff.errors import UsageError
from medidiff.nets.embedding import UNKNOWN_CATEGORY, ConditionSlots, ContinuousSlot
from medidiff.prior.slot_text import slot_lines, slots_in_a_line

_END_SLACK = 1e-3
"""Share of a trained range by which a number may miss its ends: they are told with four digits."""

Value = str | float | None
"""A condition's value; None: unknown, the network's null token."""


def encode_conditions(
    slots: ConditionSlots, conditions: Mapping[str, Value], *, extrapolate: bool = False
) -> dict[str, Tensor]:
    """Indices and values for one scan.

    Args:
        slots: What the prior can be conditioned on.
        conditions: Values by name; names left out, and None, are unknown to the network (their null token).
        extrapolate: Allow numbers out of the trained range. Names and values that were not trained never are.

    Returns:
        A tensor (1,) by name.

    Raises:
        UsageError: An unknown name, a value not trained on, a number out of the trained range; says what exists.
    """
    encoded: dict[str, Tensor] = {}
    for name, given in conditions.items():
        value = checked_value(slots, name, given, extrapolate=extrapolate)
        if name in slots.categorical:
            values = slots.categorical[name].values
            encoded[name] = torch.tensor([UNKNOWN_CATEGORY if value is None else values.index(str(value)) + 1])
        else:
            encoded[name] = torch.tensor([math.nan if value is None else float(value)], dtype=torch.float32)
    return encoded


def checked_value(
    slots: ConditionSlots, name: str, value: Value, *, extrapolate: bool = False, what: str = ""
) -> Value:
    """A value that the prior can be asked for: a trained text, a number, or None.

    Args:
        slots: What the prior can be conditioned on.
        name: The condition.
        value: Its value; numbers may be texts.
        extrapolate: Allow numbers out of the trained range.
        what: How the message begins; empty: with the condition and the value.

    Raises:
        UsageError: As for `encode_conditions`.
    """
    check_name(slots, name, what)
    if value is None:
        return None
    told, what = slot_lines(slots.model_dump())[name], what or f"condition {name}={_short(value)}"
    if name in slots.categorical:
        if value not in slots.categorical[name].values:
            raise UsageError(f"{what}: must be one of {told}, or unknown.")
        return str(value)
    slot = slots.continuous[name]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{what}: must be a number from {told}.")
    if not extrapolate and not in_range(slot, number):
        raise UsageError(f"{what}: must be from {told}. --extrapolate allows and marks numbers out of this range.")
    return number


def check_name(slots: ConditionSlots, name: str, what: str = "") -> None:
    """Refuse a condition that the prior does not have.

    Raises:
        UsageError: Says which it has.
    """
    if name not in slots.categorical and name not in slots.continuous:
        what = what or f"condition {name}"
        raise UsageError(f"{what}: the prior does not know {name}. It takes {slots_in_a_line(slots.model_dump())}.")


def in_range(slot: ContinuousSlot, number: float) -> bool:
    """Whether a number was trained, the ends as texts tell them included."""
    slack = _END_SLACK * (slot.high - slot.low)
    return slot.low - slack <= number <= slot.high + slack


def _short(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


__all__ = ["Value", "check_name", "checked_value", "encode_conditions", "in_range"]
