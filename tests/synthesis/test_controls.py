"""Cases and their controls."""

from pathlib import Path

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.nets.embedding import OWN_NOISE, ConditionSlots, ContinuousSlot
from medidiff.synthesis.controls import group_of, matched
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.condition_table import plan_from_table

from .conftest import SLOTS


def test_controls_share_all_but_the_attribute_with_their_case() -> None:
    plan = matched(parse_requests(SLOTS, ["volume_ml=p0:p20", "sex=F"]), "volume_ml", SLOTS)
    drawn = [plan.draw(3, i) for i in range(200)]
    cases, controls = drawn[::2], drawn[1::2]
    # Quantiles 1, 1.2, ..., 5: the lowest fifth ends at 1 + 4 * 0.2 = 1.8 ml.
    assert all(1 <= float(c["volume_ml"] or 0) <= 1.8 for c in cases)
    assert all(1.8 <= float(c["volume_ml"] or 0) <= 5 for c in controls)
    assert max(float(c["volume_ml"] or 0) for c in controls) > 4.5
    assert all(d["sex"] == "F" for d in drawn)
    assert [group_of(plan, i) for i in range(3)] == ["case", "control", "case"]
    assert plan.draw(3, 17) == plan.draw(3, 17)
    assert group_of(parse_requests(SLOTS, ["sex=F"]), 0) == ""


def test_what_is_drawn_for_a_case_is_drawn_for_its_control() -> None:
    age = ContinuousSlot(unit="years", low=20, high=80)
    slots = ConditionSlots(continuous={**SLOTS.continuous, "age": age})
    plan = matched(parse_requests(slots, ["volume_ml=p0:p20", "age=20:80"]), "volume_ml", slots)
    ages = [plan.draw(3, i)["age"] for i in range(8)]
    assert ages[::2] == ages[1::2]
    assert len(set(ages)) == 4


def test_own_noise_is_that_of_the_case() -> None:
    """Nobody asked for it: it is drawn, and noise does not tell cases from controls."""
    noise = ContinuousSlot(unit="normalised", low=0, high=1, quantiles=tuple(i / 20 for i in range(21)))
    slots = ConditionSlots(continuous={**SLOTS.continuous, OWN_NOISE: noise})
    plan = matched(parse_requests(slots, ["volume_ml=p0:p20"]), "volume_ml", slots)
    drawn = [plan.draw(3, i)[OWN_NOISE] for i in range(8)]
    assert drawn[::2] == drawn[1::2]
    assert len(set(drawn)) == 4


def test_every_row_of_a_table_has_its_pair(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("sex\nF\nM\n")
    table = plan_from_table(SLOTS, tmp_path / "rows.csv", ["volume_ml=p0:p20"])
    plan = matched(table, "volume_ml", SLOTS)
    assert [plan.draw(0, i)["sex"] for i in range(6)] == ["F", "F", "M", "M", "F", "F"]


def test_a_range_in_the_middle_leaves_both_ends() -> None:
    plan = matched(parse_requests(SLOTS, ["volume_ml=2:3"]), "volume_ml", SLOTS)
    values = np.array([float(plan.draw(0, i)["volume_ml"] or 0) for i in range(1, 800, 2)])
    assert not ((values > 2) & (values < 3)).any()
    # Uniform on [1, 2] and [3, 5] by the quantiles: a third below. 400 draws: standard error 2.4%.
    assert (values < 2).mean() == pytest.approx(1 / 3, abs=0.08)


def test_without_percentiles_the_rest_is_drawn_evenly() -> None:
    slots = ConditionSlots(continuous={"age": ContinuousSlot(unit="years", low=20, high=80)})
    plan = matched(parse_requests(slots, ["age=70:80"]), "age", slots)
    values = [float(plan.draw(0, i)["age"] or 0) for i in range(1, 400, 2)]
    assert min(values) < 25
    assert max(values) <= 70


def test_other_values_of_a_category_as_often_as_in_training() -> None:
    plan = matched(parse_requests(SLOTS, ["sex=M"]), "sex", SLOTS)
    assert {plan.draw(0, i)["sex"] for i in range(0, 20, 2)} == {"M"}
    assert {plan.draw(0, i)["sex"] for i in range(1, 20, 2)} == {"F"}


@pytest.mark.parametrize(
    ("asked", "attribute", "said"),
    [
        (["sex=F"], "volume_ml", "say what the cases show"),
        (["volume_ml=2"], "volume_ml", "must be a range"),
        (["volume_ml=p0:p100"], "volume_ml", "leaves nothing"),
        (["volume_ml=unknown"], "volume_ml", "say what the cases show"),
    ],
)
def test_what_has_no_controls_is_refused(asked: list[str], attribute: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        matched(parse_requests(SLOTS, asked), attribute, SLOTS)
