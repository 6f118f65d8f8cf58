"""How a scan was acquired is a condition like any other: from the cohort's table to what a prior is asked for."""

from pathlib import Path
from typing import cast

import pytest
import torch

from medidiff.cohort.conditions import trained_conditions
from medidiff.cohort.patches import condition_values
from medidiff.cohort.store_source import StoreCase, StoreSource, store_cases
from medidiff.errors import UsageError
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.conditions import encode_conditions

from .conftest import Run, make_scan

ROWS = [("soft", "leeds", "1.5"), ("bone", "leeds", "3"), ("soft", "kyoto", "3"), ("n/a", "kyoto", "1.5")]


def test_a_column_of_the_table_becomes_a_condition(tmp_path: Path, run: Run) -> None:
    (tmp_path / "scans").mkdir()
    lines = ["case\tsplit\tkernel\tsite\tfield_t"]
    for k, row in enumerate(ROWS):
        make_scan(tmp_path / "scans" / f"c{k}.nii.gz", seed=k, shape=(12, 14, 10))
        lines.append("\t".join([f"c{k}", "train", *row]))
    (tmp_path / "p.tsv").write_text("\n".join(lines) + "\n")
    done = run("prepare", "scans", "-o", "store", "--table", "p.tsv", "--jobs", 1)
    assert done.code == 0, done.err
    cases = store_cases(StoreSource(name="ct", url=str(tmp_path / "store")), "train")
    slots = trained_conditions(("kernel", "site", "field_t"), [cases])
    assert slots.categorical["kernel"].values == ("bone", "soft")
    assert (slots.categorical["kernel"].counts, slots.categorical["kernel"].missing) == ((1, 2), 1)
    assert (slots.continuous["field_t"].low, slots.continuous["field_t"].high) == (1.5, 3.0)
    told = {cast(StoreCase, case).row.source: condition_values(slots, case.conditions) for case in cases}
    asked = parse_requests(slots, ["kernel=bone", "site=leeds", "field_t=3"]).draw(0, 0)
    for name, value in encode_conditions(slots, asked).items():
        assert float(value) == float(told["c1.nii.gz"][name]), name
    unknown = encode_conditions(slots, {"kernel": None})["kernel"]
    assert torch.equal(unknown[0], told["c3.nii.gz"]["kernel"])
    with pytest.raises(UsageError, match=r"must be one of bone \(1 scan\), soft \(2 scans\), unknown in 1"):
        parse_requests(slots, ["kernel=sharp"])
