"""Subgroups: intervals held against leaving patients out one by one, bands by hand, false alarms simulated."""

import math

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.evaluate.groups import Group, gaps_of, groups_of
from medidiff.evaluate.mmd import Kernel, mmd2, mmd2_of
from medidiff.evaluate.mmd_interval import Estimate, mmd2_estimate
from medidiff.evaluate.subgroups import subgroup_rows, subgroups
from medidiff.significance import holm

RNG = np.random.default_rng(5)


def test_the_estimate_is_the_unbiased_mmd_and_its_error_that_of_leaving_each_patient_out() -> None:
    a, b, kernel = RNG.standard_normal((7, 3)), RNG.standard_normal((5, 3)) + 0.5, Kernel("rbf", bandwidth=2.0)
    owners = ["x", "x", "y", "z", "z", "z", "w"]
    found = mmd2_estimate(kernel(a, a), kernel(b, b), kernel(a, b), owners, range(5))

    def between(a: np.ndarray, b: np.ndarray) -> float:
        return mmd2_of(kernel(a, a), kernel(b, b), kernel(a, b))

    assert found.value == pytest.approx(between(a, b), abs=1e-12)
    without_a = np.array([between(a[[o != name for o in owners]], b) for name in sorted(set(owners))])
    without_b = np.array([between(a, np.delete(b, i, axis=0)) for i in range(5)])
    variance = 3 / 4 * ((without_a - without_a.mean()) ** 2).sum() + 4 / 5 * ((without_b - without_b.mean()) ** 2).sum()
    assert found.error == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert found.df == 3
    same = mmd2_estimate(kernel(a[:5], a[:5]), kernel(b, b), kernel(a[:5], b), range(5), range(5))
    assert same.value == pytest.approx(mmd2(a[:5], b, kernel), abs=1e-12)
    with pytest.raises(InputError, match="at least three"):
        mmd2_estimate(kernel(a, a), kernel(b, b), kernel(a, b), ["x"] * 7, range(5))


def test_an_interval_is_students() -> None:
    low_high = Estimate(1.0, 0.5, 4).interval()
    assert low_high.low == pytest.approx(1 - 0.5 * 2.776445, abs=1e-6)
    gap, p = Estimate(1.0, 0.3, 4).above(Estimate(0.5, 0.4, 9))
    assert (gap.mean, p) == (pytest.approx(0.5), pytest.approx(0.186950, abs=1e-5))  # t = 1 with 4 degrees of freedom


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def rows(**columns: list) -> list[dict]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def test_groups_of_words_ages_and_numbers() -> None:
    table = rows(
        sex=["F", "M", "F", None, "M", "F"],
        age_years=[23.0, 39.9, 40.0, 61.0, 79.0, None],
        volume_ml=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        site=["one"] * 6,
        name=list("abcdef"),
    )
    groups = groups_of([row | {"name": f"{row['name']}{k}"} for k in range(3) for row in table])
    assert [g.stratum for g in groups if g.attribute == "sex"] == ["sex F", "sex M", "sex not recorded"]
    assert [g.label for g in groups if g.attribute == "age_years"] == [
        "20 to 40", "40 to 60", "60 to 80", "not recorded",
    ]  # fmt: skip
    assert [g.label for g in groups if g.attribute == "volume_ml"] == ["under 2.67", "2.67 to 4.33", "4.33 and over"]
    assert not {g.attribute for g in groups} & {"site", "name"}, "one value, or a name a scan, is no subgroup"
    young = next(g for g in groups if g.label == "20 to 40")
    assert young.members(table).tolist() == [True, True, False, False, False, False]
    for attribute in ("sex", "age_years", "volume_ml"):  # every scan is in one subgroup of every column
        assert (np.sum([g.members(table) for g in groups if g.attribute == attribute], axis=0) == 1).all()
    assert [g.label for g in groups_of(table, {"volume_ml": [2.5]}) if g.attribute == "volume_ml"] == [
        "under 2.5", "2.5 and over",
    ]  # fmt: skip
    assert groups_of(rows(age=[61, 62, 70])) == []
    for edges in ({"sex": [1.0]}, {"volume_ml": [3.0, 2.0]}, {"weight": [3.0]}):
        with pytest.raises(InputError, match="bands of"):
            groups_of(table, edges)


def test_gaps_are_the_cells_without_patients() -> None:
    table = rows(sex=["F"] * 7 + ["M"] * 5, site=["a"] * 7 + ["b"] * 5)
    made = rows(sex=["F", "F", "M"], site=["b", "a", "a"])
    found = gaps_of(groups_of(table), table, [str(i) for i in range(12)], made)
    assert [(gap.cell, gap.patients, gap.synthetic) for gap in found] == [
        (("sex F", "site b"), 0, 1), (("sex M", "site a"), 0, 1),
    ]  # fmt: skip
    twins = gaps_of(groups_of(table), table, ["p"] * 7 + list("abcde"))
    assert twins[0].cell == ("sex F",), "scans of one patient are one patient"
    assert not any("sex F" in gap.cell for gap in twins[1:])


def world(rng: np.random.Generator, shift_m: float, n: int = 40, m: int = 60) -> tuple:
    """Synthetic scans all a little off, those of M by more."""
    real, made = rng.standard_normal((n, 4)), 0.3 + rng.standard_normal((m, 4))
    sex, made_sex = ["F", "M"] * (n // 2), ["F", "M"] * (m // 2)
    made[1::2, 0] += shift_m
    return real, made, rows(sex=sex), rows(sex=made_sex), [str(i // 4 * 2 + i % 2) for i in range(n)]


def test_a_subgroup_that_is_served_worse_is_found_and_others_are_not_blamed() -> None:
    """The jackknife is wide for small distances, so false alarms stay below 5%: 100 worlds, at most 5 + 3 sd = 11."""
    found = [subgroup_rows(*world(np.random.default_rng(seed), 0.0)) for seed in range(100)]
    alarms = sum(any(row.p_adjusted is not None and row.p_adjusted <= 0.05 for row in r) for r in found)
    assert alarms <= 11
    worse = [subgroup_rows(*world(np.random.default_rng(seed), 3.0)) for seed in range(10)]
    by_label = [{row.label: row for row in r} for r in worse]
    assert sum((r["M"].p_adjusted or 0) <= 0.05 for r in by_label) >= 9
    assert not any((r["F"].p_adjusted or 0) <= 0.05 for r in by_label)
    row = by_label[0]["M"]
    assert (row.patients, row.scans, row.synthetic, row.status) == (10, 20, 30, "compared")
    assert row.mmd is not None
    assert row.band is not None
    assert row.mmd.low > row.band.high
    assert row.words == "Shown less faithfully than the others."
    assert row.to_dict()["mmd"]["mean"] == row.mmd.mean


def test_the_order_of_scans_does_not_matter() -> None:
    real, made, a, b, patients = world(np.random.default_rng(1), 0.5)
    order = np.random.default_rng(2).permutation(len(real))
    again = subgroup_rows(real[order], made, [a[i] for i in order], b, [patients[i] for i in order])
    for one, two in zip(subgroup_rows(real, made, a, b, patients), sorted(again, key=lambda r: r.label), strict=True):
        assert one.mmd is not None
        assert two.mmd is not None
        assert two.mmd == pytest.approx(one.mmd)


def test_few_empty_and_unsaid_are_named_as_such() -> None:
    real, made, a, b, patients = world(np.random.default_rng(1), 0.0)
    unsaid = subgroup_rows(real, made, a, [{} for _ in b], patients)
    assert {row.status for row in unsaid} == {"not said"}
    women = subgroup_rows(real, made, a, rows(sex=["F"] * len(b)), patients)
    assert {row.label: row.status for row in women} == {"F": "compared", "M": "empty"}
    assert women[0].share_synthetic == 1
    few = subgroup_rows(real, made, a, b, patients, fewest=31)
    assert {row.status for row in few} == {"few"}
    assert "10 patients, 30 synthetic" in few[0].words
    with pytest.raises(InputError, match="one for each scan"):
        subgroup_rows(real, made, a[1:], b, patients)


def test_utility_is_by_patient_and_findings_stand_in_their_row() -> None:
    real, made, a, b, patients = world(np.random.default_rng(1), 0.0)
    dice = np.where(np.arange(len(real)) % 2, 0.8, np.nan)
    found = subgroups(real, made, a, b, patients, utility=dice, findings={"sex M": {"verdict": "PASS"}})
    women, men = found.rows
    assert women.utility is None
    assert men.utility == pytest.approx((0.8, 0.8, 0.8))
    assert men.findings == {"verdict": "PASS"}
    assert found.gaps == []
    assert found.to_dict()["rows"][1]["findings"] == {"verdict": "PASS"}


def test_a_group_is_told_as_the_audit_names_it() -> None:
    assert Group("volume_ml", "2.4 to 2.9", None, 2.4, 2.9, True).stratum == "volume_ml 2.4 to 2.9"
