"""Mutated files: a volume or an error of medidiff, nothing else. `python -m benchmarks.dicom_fuzz` runs 20 000."""

import pytest

from benchmarks._dicom_mutate import Base, base_sets
from benchmarks.dicom_fuzz import GOOD, attempt


@pytest.fixture(scope="module")
def sets() -> list[Base]:
    return base_sets()


@pytest.mark.parametrize("block", range(4))
def test_mutated_series(sets: list[Base], block: int) -> None:
    outcomes = {seed: attempt(sets, seed) for seed in range(100 * block, 100 * block + 75)}
    assert {seed: outcome for seed, outcome in outcomes.items() if not outcome.startswith(GOOD)} == {}
    assert "volume" in outcomes.values()


@pytest.mark.parametrize("seed", [6019])
def test_seeds_that_failed(sets: list[Base], seed: int) -> None:
    """6019: orientation of 1e308, whose length overflowed with a warning."""
    assert attempt(sets, seed).startswith(GOOD)
