"""What samples shall show: fixed values, ranges and percentiles, drawn for each sample by its seed and number alone."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medidiff.errors import UsageError
from medidiff.nets.embedding import OWN_NOISE, ConditionSlots, ContinuousSlot
from medidiff.prior.slot_text import PERCENTILE_STEP
from medidiff.tasks.conditions import Value, check_name, checked_value, in_range

UNKNOWN = "unknown"
"""What a person writes for a condition that shall be left open."""
_PERCENTILE = re.compile(r"p(\d+(\.\d+)?)")


@dataclass(frozen=True)
class Request:
    """One condition.

    Attributes:
        name: The condition.
        text: As it was written, such as "p0:p5".
        value: The one value; None: unknown, or a range.
        span: Ends of a range, in the condition's unit; drawn evenly between them.
        percentiles: Ends of a range of percentiles; the percentile is drawn evenly, the value is interpolated.
        quantiles: The condition's percentiles 0, 5, ..., 100, where `percentiles` needs them.
    """

    name: str
    text: str
    value: Value = None
    span: tuple[float, float] | None = None
    percentiles: tuple[float, float] | None = None
    quantiles: tuple[float, ...] = ()

    def draw(self, rng: np.random.Generator) -> Value:
        """One value."""
        if self.span is not None:
            return float(rng.uniform(*self.span))
        if self.percentiles is not None:
            return percentile_value(self.quantiles, float(rng.uniform(*self.percentiles)))
        return self.value


class Rows(Protocol):
    """A table that rows of conditions come from; frozen and picklable."""

    @property
    def names(self) -> tuple[str, ...]:
        """The conditions it gives."""
        ...

    def draw(self, seed: int, index: int) -> dict[str, Value]:
        """The row of one sample."""
        ...

    def settings(self) -> dict[str, Any]:
        """What decides the rows, in types that JSON knows."""
        ...


@dataclass(frozen=True)
class ConditionPlan:
    """What every sample of a set shall show.

    Attributes:
        requests: Conditions drawn by themselves.
        ranges: Trained range of every continuous condition, to tell what lies beyond.
        rows: A table that further conditions come from.
        extrapolate: Numbers out of the trained range are allowed.
        notes: What a person must know about how it was read.
    """

    requests: tuple[Request, ...] = ()
    ranges: tuple[tuple[str, ContinuousSlot], ...] = ()
    rows: Rows | None = None
    extrapolate: bool = False
    notes: tuple[str, ...] = ()

    def draw(self, seed: int, index: int) -> dict[str, Value]:
        """The conditions of sample `index`: a function of seed and number only, each condition with its own stream."""
        drawn = {} if self.rows is None else self.rows.draw(seed, index)
        return drawn | {request.name: request.draw(stream(seed, index, request.name)) for request in self.requests}

    def extrapolated(self, values: Mapping[str, Value]) -> list[str]:
        """Names of the values that lie beyond the trained range."""
        ranges = dict(self.ranges)
        beyond = [(n, v) for n, v in values.items() if n in ranges and isinstance(v, (int, float))]
        return [name for name, value in beyond if not in_range(ranges[name], float(value))]

    def settings(self) -> dict[str, Any]:
        """What decides the conditions, in types that JSON knows."""
        told: dict[str, Any] = {"conditions": {request.name: request.text for request in self.requests}}
        if self.rows is not None:
            told["table"] = self.rows.settings()
        return told | ({"extrapolate": True} if self.extrapolate else {})


def parse_requests(slots: ConditionSlots, texts: Sequence[str], *, extrapolate: bool = False) -> ConditionPlan:
    """What --cond says.

    Args:
        slots: What the prior can be conditioned on.
        texts: Each "name=value": a value (sex=F, volume_ml=2.8), unknown, a range (2.4:2.8, 70:, :30, open ends reach
            to the trained ones), a percentile of the train scans (p50) or a range of them (p0:p5).
        extrapolate: Allow numbers out of the trained range.

    Raises:
        UsageError: A condition, value or number that was not trained; says what exists.
    """
    requests: dict[str, Request] = {}
    for text in texts:
        name, equals, wanted = (part.strip() for part in text.partition("="))
        if not equals or not name or not wanted:
            raise UsageError(f"--cond {text}: write name=value, such as sex=F, volume_ml=2.4:2.8 or volume_ml=p0:p5.")
        if name in requests:
            raise UsageError(f"--cond {text}: {name} is given twice. Give it once.")
        requests[name] = _request(slots, name, wanted, extrapolate)
    return ConditionPlan(tuple(requests.values()), ranges_of(slots), extrapolate=extrapolate)


def ranges_of(slots: ConditionSlots) -> tuple[tuple[str, ContinuousSlot], ...]:
    """The continuous conditions, as a plan keeps them."""
    return tuple(slots.continuous.items())


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random numbers of one sample's condition: apart from those of its noise and of other conditions."""
    return np.random.default_rng([seed, index, zlib.crc32(name.encode())])


def percentile_value(quantiles: Sequence[float], percentile: float) -> float:
    """The value at a percentile, linear between the known ones."""
    return float(np.interp(percentile, np.arange(len(quantiles)) * PERCENTILE_STEP, quantiles))


def with_own_noise(
    slots: Mapping[str, ContinuousSlot], values: Mapping[str, Value], seed: int, index: int
) -> dict[str, Value]:
    """The conditions of a sample, and where they say nothing of it how noisy it is: drawn from the train scans'.

    Left unknown every sample would be about as noisy as the mean scan; no one asks for noise, and scans differ in it.

    Args:
        slots: The prior's continuous conditions.
        values: What is asked for; None is unknown, also here.
        seed: Of the samples.
        index: Number of the sample.
    """
    slot = slots.get(OWN_NOISE)
    if slot is None or not slot.quantiles or OWN_NOISE in values:
        return dict(values)
    percentile = float(stream(seed, index, OWN_NOISE).uniform(0, 100))
    return {**values, OWN_NOISE: percentile_value(slot.quantiles, percentile)}


def _request(slots: ConditionSlots, name: str, wanted: str, extrapolate: bool) -> Request:
    what = f"--cond {name}={wanted}"
    check_name(slots, name, what)
    if wanted.lower() == UNKNOWN and (name in slots.continuous or wanted not in slots.categorical[name].values):
        return Request(name, wanted)
    if name in slots.categorical:
        return Request(name, wanted, checked_value(slots, name, wanted, what=what))
    slot = slots.continuous[name]
    first, colon, last = (part.strip() for part in wanted.partition(":"))
    if any(_PERCENTILE.fullmatch(end) for end in (first, last)):
        return _percentile_request(slot, name, wanted, first, last or ("" if colon else first))
    if not colon:
        return Request(name, wanted, checked_value(slots, name, wanted, extrapolate=extrapolate, what=what))
    if not first and not last:
        raise UsageError(f"{what}: give at least one end, such as {name}={slot.low:.4g}:.")
    ends = [end or default for end, default in ((first, slot.low), (last, slot.high))]
    low, high = (float(checked_value(slots, name, end, extrapolate=extrapolate, what=what) or 0.0) for end in ends)
    if low > high:
        raise UsageError(f"{what}: {low:.4g} is above {high:.4g}. Give the lower end first.")
    return Request(name, wanted, span=(low, high))


def _percentile_request(slot: ContinuousSlot, name: str, wanted: str, first: str, last: str) -> Request:
    what = f"--cond {name}={wanted}"
    if not slot.quantiles:
        raise UsageError(
            f"{what}: the prior's card has no percentiles of {name}. Give numbers from {slot.low:.4g} to "
            f"{slot.high:.4g} {slot.unit}."
        )
    found = [_PERCENTILE.fullmatch(end) for end in (first or "p0", last or "p100")]
    numbers = [float(match[1]) if match else math.nan for match in found]
    if not all(0 <= number <= 100 for number in numbers) or numbers[0] > numbers[1]:
        raise UsageError(f"{what}: both ends must be percentiles from p0 to p100, the lower first, such as p0:p5.")
    if numbers[0] == numbers[1]:
        return Request(name, wanted, percentile_value(slot.quantiles, numbers[0]))
    return Request(name, wanted, percentiles=(numbers[0], numbers[1]), quantiles=slot.quantiles)


__all__ = [
    "UNKNOWN",
    "ConditionPlan",
    "Request",
    "Rows",
    "parse_requests",
    "percentile_value",
    "ranges_of",
    "stream",
    "with_own_noise",
]
