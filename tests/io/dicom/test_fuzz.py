"""Mutated files: a volume or an error of medidiff, nothing else. `python -m benchmarks.dicom_fuzz` runs 20 000."""

from pathlib import Path

import pydicom
import pytest

from benchmarks._dicom_corpus.series import MR, Grid, make_series, write
from benchmarks._dicom_mutate import Base, base_sets
from benchmarks.dicom_fuzz import GOOD, attempt, scan_and_read


@pytest.fixture(scope="module")
def sets() -> list[Base]:
    return base_sets()


@pytest.mark.parametrize("block", range(4))
def test_mutated_series(sets: list[Base], block: int) -> None:
    outcomes = {seed: attempt(sets, seed) for seed in range(100 * block, 100 * block + 75)}
    assert {seed: outcome for seed, outcome in outcomes.items() if not outcome.startswith(GOOD)} == {}
    assert "volume" in outcomes.values()


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "NumberOfFrames"])
def test_sizes_beyond_what_their_elements_can_hold(tmp_path: Path, keyword: str) -> None:
    """Seed 6019 of an earlier set: Rows written as 1e308 overflowed in the geometry."""
    for path in write(make_series(Grid(slices=4), MR), tmp_path):
        dataset = pydicom.dcmread(path)
        dataset[keyword] = pydicom.DataElement(keyword, "FD", 1e308)
        dataset.save_as(path)
    assert scan_and_read(tmp_path).startswith(GOOD)
