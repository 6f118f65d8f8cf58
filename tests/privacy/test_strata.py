"""Rare conditions apart."""

from __future__ import annotations

import numpy as np

from medidiff.privacy.strata import FEWEST, strata_of


def test_the_ends_of_a_number_are_those_of_train() -> None:
    train = [{"age": float(a)} for a in range(101)]
    made = [{"age": float(a % 100)} for a in range(300)]
    low, high = strata_of(made, train)
    assert (low.name, high.name) == ("age up to 20", "age from 80")
    assert all(made[i]["age"] <= 20 for i in low.members)
    assert len(low.members) == 63
    assert all(made[i]["age"] >= 80 for i in high.members)


def test_every_text_is_a_stratum_where_there_are_enough() -> None:
    made = [{"sex": "F"}] * 50 + [{"sex": "M"}] * FEWEST + [{"sex": "X"}] * 3 + [{"sex": None}] * 9
    found = {s.name: s.members for s in strata_of(made, [])}
    assert set(found) == {"sex F", "sex M"}
    np.testing.assert_array_equal(found["sex M"], np.arange(50, 50 + FEWEST))


def test_what_everybody_is_or_nobody_shares_is_no_stratum() -> None:
    made = [{"kind": "MR", "file": f"{i}.nii", "dose": 1.0, "age": None} for i in range(60)]
    assert strata_of(made, [{"dose": 1.0}] * 60) == []


def test_what_was_asked_for_says_what_was_measured() -> None:
    made = [{"volume_ml": i / 10, "measured_volume_ml": i / 10 + 0.01} for i in range(100)]
    assert {s.name.split()[0] for s in strata_of(made, [])} == {"volume_ml"}
    assert {s.name.split()[0] for s in strata_of([{"measured_volume_ml": i / 10} for i in range(100)], [])} == {
        "measured_volume_ml"
    }
