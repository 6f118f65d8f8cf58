"""Which attributes of the scans a run is conditioned on, and over which range it has seen them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from medidiff.cohort.cases import AnyCase
from medidiff.cohort.store_source import StoreCases, condition_values_of
from medidiff.errors import ConfigError
from medidiff.nets.embedding import OWN_NOISE, CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.prior.slot_text import PERCENTILE_STEP

UNITS = {"age": "years", "weight": "kg", "height": "cm", "bmi": "kg/m2", OWN_NOISE: "normalised"}
"""Units of columns that participants tables usually have."""
SUFFIXES = ("years", "months", "days", "kg", "g", "cm", "mm", "ml")
"""Units that a column's name may end with: age_years."""
PERCENTILES = tuple(range(0, 101, PERCENTILE_STEP))
"""Percentiles of a continuous condition that a slot keeps."""


def trained_conditions(
    names: Sequence[str], cohorts: Sequence[Sequence[AnyCase]], had: ConditionSlots | None = None
) -> ConditionSlots:
    """A slot for every condition, with range and percentiles, or values and counts, of the TRAIN scans of all stores.

    Args:
        names: Attributes, in any order.
        cohorts: The train cases of every source; those without the attribute are given as unknown.
        had: Slots of the prior that the run starts from: its values come first, its range is widened.

    Raises:
        ConfigError: No store has the attribute, it is of two kinds, or all its scans have the same value.
    """
    had = had or ConditionSlots()
    categorical: dict[str, CategoricalSlot] = {}
    continuous: dict[str, ContinuousSlot] = {}
    stores = [cases for cases in cohorts if isinstance(cases, StoreCases)]
    for name in names:
        values, missing = _values(name, stores)
        if isinstance(values[0], str):
            first = had.categorical[name].values if name in had.categorical else ()
            counted = Counter(map(str, values))
            known = tuple(dict.fromkeys([*first, *sorted(counted)]))
            counts = tuple(counted[value] for value in known)
            categorical[name] = CategoricalSlot(values=known, counts=counts, missing=missing)
            several = len(known) > 1
        else:
            continuous[name] = slot = _continuous(name, values, missing, had.continuous.get(name))
            several = slot.low < slot.high
        if not several:
            raise ConfigError(f"data.conditions {name}: every train scan has {values[0]}. Leave it out.")
        if name in (had.continuous if name in categorical else had.categorical):
            raise ConfigError(f"data.conditions {name}: a text in the prior and a number here, or the reverse.")
    return ConditionSlots(categorical=categorical, continuous=continuous)


def _continuous(name: str, values: Sequence[float | str], missing: int, had: ContinuousSlot | None) -> ContinuousSlot:
    numbers = np.array(values, dtype=np.float64)
    ends = [float(numbers.min()), float(numbers.max()), *((had.low, had.high) if had is not None else ())]
    return ContinuousSlot(
        unit=had.unit if had is not None else unit_of(name),
        low=min(ends),
        high=max(ends),
        quantiles=tuple(np.percentile(numbers, PERCENTILES).tolist()),
        known=len(numbers),
        missing=missing,
    )


def unit_of(name: str) -> str:
    """The unit of a column, from its name: age and age_years are in years; else "as in the table"."""
    last = name.rsplit("_", 1)[-1]
    return last if last in SUFFIXES and last != name else UNITS.get(name, "as in the table")


def _values(name: str, stores: Sequence[StoreCases]) -> tuple[list[float | str], int]:
    """What the train scans that have the attribute say, and how many have not."""
    found = [values for values in (condition_values_of(cases, name) for cases in stores) if values]
    if name == "kind" or not found:
        known = sorted({attribute for cases in stores for attribute in cases.store.attributes})
        if any(cases.source.own_noise == "kept" for cases in stores):
            known.append(OWN_NOISE)
        raise ConfigError(
            f"data.conditions {name}: no store has a train scan with it. There are: {', '.join(known) or 'none'}."
        )
    values = [value for one in found for value in one]
    if len({isinstance(value, str) for value in values}) > 1:
        raise ConfigError(f"data.conditions {name}: a number in one store and a text in another. Prepare one again.")
    return values, sum(map(len, stores)) - len(values)


__all__ = ["PERCENTILES", "UNITS", "trained_conditions", "unit_of"]
