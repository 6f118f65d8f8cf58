"""Conditions as a person states them, as the network takes them; what a prior does not know is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from medidiff.errors import UsageError
from medidiff.nets.embedding import ConditionSlots


def encode_conditions(slots: ConditionSlots, conditions: Mapping[str, str | float]) -> dict[str, Tensor]:
    """Indices and values for one scan.

    Args:
        slots: What the prior can be conditioned on.
        conditions: Values by name; names left out are unknown to the network (their null token).

    Returns:
        A tensor (1,) by name.

    Raises:
        UsageError: An unknown name, a value not trained on, a number out of the trained range; says what exists.
    """
    encoded: dict[str, Tensor] = {}
    for name, value in conditions.items():
        if name in slots.categorical:
            values = slots.categorical[name].values
            if value not in values:
                raise UsageError(f"condition {name}={value}: the prior knows {', '.join(values)}.")
            encoded[name] = torch.tensor([values.index(str(value)) + 1])
        elif name in slots.continuous:
            encoded[name] = torch.tensor([_number(name, value, slots)])
        else:
            known = [*slots.categorical, *slots.continuous]
            raise UsageError(f"condition {name}: the prior takes {', '.join(known) or 'no conditions'}.")
    return encoded


def _number(name: str, value: str | float, slots: ConditionSlots) -> float:
    slot = slots.continuous[name]
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not slot.low <= number <= slot.high:
        raise UsageError(f"condition {name}={value}: must be from {slot.low:g} to {slot.high:g} {slot.unit}.")
    return number


__all__ = ["encode_conditions"]
