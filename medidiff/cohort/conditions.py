"""Which attributes of the scans a run is conditioned on, and over which range it has seen them."""

from __future__ import annotations

from collections.abc import Sequence

from medidiff.cohort.cases import AnyCase
from medidiff.cohort.store_source import StoreCases, condition_ranges
from medidiff.errors import ConfigError
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot

UNITS = {"age": "years", "weight": "kg", "height": "cm", "bmi": "kg/m2"}
"""Units of columns that participants tables usually have."""
SUFFIXES = ("years", "months", "days", "kg", "g", "cm", "mm", "ml")
"""Units that a column's name may end with: age_years."""


def trained_conditions(
    names: Sequence[str], cohorts: Sequence[Sequence[AnyCase]], had: ConditionSlots | None = None
) -> ConditionSlots:
    """A slot for every condition, with the range or the values of the TRAIN scans of all stores.

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
        values = _known_values(name, stores)
        if isinstance(values[0], str):
            first = had.categorical[name].values if name in had.categorical else ()
            slot = CategoricalSlot(values=tuple(dict.fromkeys([*first, *map(str, values)])))
            categorical[name] = slot
            several = len(slot.values) > 1
        else:
            old, numbers = had.continuous.get(name), [float(value) for value in values]
            numbers += [old.low, old.high] if old is not None else []
            unit = old.unit if old is not None else unit_of(name)
            continuous[name] = ContinuousSlot(unit=unit, low=min(numbers), high=max(numbers))
            several = min(numbers) < max(numbers)
        if not several:
            raise ConfigError(f"data.conditions {name}: every train scan has {values[0]}. Leave it out.")
        if name in (had.continuous if name in categorical else had.categorical):
            raise ConfigError(f"data.conditions {name}: a text in the prior and a number here, or the reverse.")
    return ConditionSlots(categorical=categorical, continuous=continuous)


def unit_of(name: str) -> str:
    """The unit of a column, from its name: age and age_years are in years; else "as in the table"."""
    last = name.rsplit("_", 1)[-1]
    return last if last in SUFFIXES and last != name else UNITS.get(name, "as in the table")


def _known_values(name: str, stores: Sequence[StoreCases]) -> list[float | str]:
    found = [ranges for ranges in (condition_ranges(cases, name) for cases in stores) if ranges]
    if name == "kind" or not found:
        known = sorted({attribute for cases in stores for attribute in cases.store.attributes})
        raise ConfigError(
            f"data.conditions {name}: no store has a train scan with it. There are: {', '.join(known) or 'none'}."
        )
    values = {value for ranges in found for value in ranges}
    if len({isinstance(value, str) for value in values}) > 1:
        raise ConfigError(f"data.conditions {name}: a number in one store and a text in another. Prepare one again.")
    return sorted(values, key=lambda value: value if isinstance(value, str) else "")


__all__ = ["UNITS", "trained_conditions", "unit_of"]
