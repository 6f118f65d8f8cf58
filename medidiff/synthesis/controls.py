"""Matched controls: a classifier given only synthetic cases and only real controls learns "synthetic means disease"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medidiff.errors import UsageError
from medidiff.nets.embedding import ConditionSlots
from medidiff.prior.slot_text import PERCENTILE_STEP
from medidiff.tasks.condition_request import ConditionPlan, Request, percentile_value, stream, with_own_noise
from medidiff.tasks.conditions import Value, check_name

CASE, CONTROL = "case", "control"


@dataclass(frozen=True)
class Rest:
    """What of an attribute's trained range was not asked for.

    Attributes:
        values: The other values of a categorical attribute.
        weights: Their shares.
        pieces: Ranges that are left of a continuous one: percentiles where `quantiles` are known, else values.
        quantiles: The attribute's percentiles 0, 5, ..., 100.
    """

    values: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    pieces: tuple[tuple[float, float], ...] = ()
    quantiles: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator) -> Value:
        """One value."""
        if self.values:
            return self.values[int(rng.choice(len(self.values), p=self.weights))]
        lengths = np.array([high - low for low, high in self.pieces])
        low, high = self.pieces[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
        at = float(rng.uniform(low, high))
        return percentile_value(self.quantiles, at) if self.quantiles else at


@dataclass(frozen=True)
class MatchedPlan:
    """Every even number is a case, as asked for; the odd number after it is its control.

    The control shares every other condition with its case; the attribute is drawn from the rest of its trained range,
    as often as the training had it there.

    Attributes:
        plan: What the cases show.
        attribute: What cases and controls differ in.
        rest: What controls show of it.
    """

    plan: ConditionPlan
    attribute: str
    rest: Rest

    def draw(self, seed: int, index: int) -> dict[str, Value]:
        """The conditions of one sample."""
        case = index - index % 2
        drawn = with_own_noise(dict(self.plan.ranges), self.plan.draw(seed, case), seed, case)
        rows = self.plan.rows
        if rows is not None and rows.settings().get("order") == "rows":
            drawn |= rows.draw(seed, index // 2)  # row k for pair k: every second row would never come
        if index % 2 == 0:
            return drawn
        return drawn | {self.attribute: self.rest.draw(stream(seed, index, self.attribute))}

    def extrapolated(self, values: Mapping[str, Value]) -> list[str]:
        """Names of the values beyond the trained range."""
        return self.plan.extrapolated(values)

    def settings(self) -> dict[str, Any]:
        """What decides the conditions, in types that JSON knows."""
        return self.plan.settings() | {"balance": self.attribute, "controls": "matched"}


def matched(plan: ConditionPlan, attribute: str, slots: ConditionSlots) -> MatchedPlan:
    """A plan with a control for every case.

    Args:
        plan: What the cases show; it asks for a part of the attribute.
        attribute: What cases and controls differ in.
        slots: What the prior can be conditioned on.

    Raises:
        UsageError: The plan does not ask for a part of the attribute, or nothing is left of it.
    """
    check_name(slots, attribute, f"--balance {attribute}")
    request = next((r for r in plan.requests if r.name == attribute), None)
    if request is None or (request.value is None and request.span is None and request.percentiles is None):
        raise UsageError(
            f"--balance {attribute}: say what the cases show, --cond {attribute}=..., or --like TABLE to draw its "
            "values evenly."
        )
    if attribute in slots.categorical:
        return MatchedPlan(plan, attribute, _other_values(request, slots))
    if request.span is None and request.percentiles is None:
        raise UsageError(
            f"--balance {attribute}: its cases must be a range, such as {attribute}=p0:p20, so that controls can lie "
            "outside. Or --controls none."
        )
    return MatchedPlan(plan, attribute, _outside(request, slots))


def group_of(plan: object, index: int) -> str:
    """case or control; "" where a plan makes no such difference."""
    return group_in(plan.settings(), index) if isinstance(plan, MatchedPlan) else ""


def group_in(settings: Mapping[str, Any], index: int) -> str:
    """The same from a plan's settings."""
    if settings.get("controls") != "matched":
        return ""
    return CONTROL if index % 2 else CASE


def _other_values(request: Request, slots: ConditionSlots) -> Rest:
    slot = slots.categorical[request.name]
    counts = slot.counts or (1,) * len(slot.values)
    left = [(v, n) for v, n in zip(slot.values, counts, strict=True) if v != request.value and n > 0]
    if not left:
        raise UsageError(f"--balance {request.name}: no other value is left for controls. Give --controls none.")
    total = sum(n for _, n in left)
    return Rest(values=tuple(v for v, _ in left), weights=tuple(n / total for _, n in left))


def _outside(request: Request, slots: ConditionSlots) -> Rest:
    slot = slots.continuous[request.name]
    if slot.quantiles:
        ends = np.arange(len(slot.quantiles)) * float(PERCENTILE_STEP)
        low, high = request.percentiles or tuple(
            float(np.interp(value, slot.quantiles, ends)) for value in request.span or (0.0, 0.0)
        )
        first, last = 0.0, 100.0
    else:
        low, high = request.span or (slot.low, slot.high)
        first, last = slot.low, slot.high
    pieces = tuple((a, b) for a, b in ((first, min(low, last)), (max(high, first), last)) if b > a)
    if not pieces:
        raise UsageError(
            f"--balance {request.name}: {request.name}={request.text} leaves nothing of the trained range for "
            "controls. Ask for a part of it, or give --controls none."
        )
    return replace(Rest(pieces=pieces), quantiles=tuple(slot.quantiles))


__all__ = ["CASE", "CONTROL", "MatchedPlan", "Rest", "group_in", "group_of", "matched"]
