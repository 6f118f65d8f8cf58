"""Conditions from a table: in order, or drawn as a cohort has them."""

import json
import pickle
from collections import Counter
from pathlib import Path

import pytest

from medidiff.errors import ConfigError, UsageError
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.tasks.condition_table import plan_from_table, plan_like

SLOTS = ConditionSlots(
    categorical={"kind": CategoricalSlot(values=("head",)), "sex": CategoricalSlot(values=("F", "M"))},
    continuous={"age_years": ContinuousSlot(unit="years", low=20, high=90)},
)


def table(folder: Path, text: str, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_row_i_is_sample_i(tmp_path: Path) -> None:
    plan = plan_from_table(SLOTS, table(tmp_path, "participant_id,sex,age_years\na,F,71\nb,M,\nc,unknown,33.5\n"))
    expected = [{"sex": "F", "age_years": 71.0}, {"sex": "M", "age_years": None}, {"sex": None, "age_years": 33.5}]
    assert [plan.draw(5, i) for i in range(6)] == expected * 2
    assert plan.notes == ("rows.csv: no conditions, left out: participant_id.",)
    assert json.loads(json.dumps(plan.settings()))["table"]["conditions"] == ["sex", "age_years"]
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301  workers get it so
    more = plan_from_table(SLOTS, tmp_path / "rows.csv", ["kind=head"])
    assert more.draw(0, 1) == {"sex": "M", "age_years": None, "kind": "head"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sex,hair\nF,red\n", "column hair: .* takes kind: head; sex: F, M; age_years: 20 to 90 years"),
        ("sex,age_years\nF,50\nM,95\n", "row 3: age_years 95: must be from 20 to 90 years"),
        ("sex\nF\nD\n", "row 3: sex D: must be one of F, M"),
        ("participant_id\na\n", "none of its columns"),
    ],
)
def test_what_was_not_trained_is_told_with_its_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_from_table(SLOTS, table(tmp_path, text))


def test_extrapolation_is_marked(tmp_path: Path) -> None:
    plan = plan_from_table(SLOTS, table(tmp_path, "age_years\n95\n"), extrapolate=True)
    assert plan.extrapolated(plan.draw(0, 0)) == ["age_years"]


def test_a_condition_comes_from_one_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has that column too"):
        plan_from_table(SLOTS, table(tmp_path, "sex\nF\n"), ["sex=M"])
    with pytest.raises(ConfigError, match=r"--cond-table .*no such file"):
        plan_from_table(SLOTS, tmp_path / "none.csv")


COHORT = "participant_id\tsplit\tsex\tage_years\tweight\n" + "".join(
    f"p{i}\t{'holdout' if i % 4 == 3 else 'train'}\t{'F' if i % 10 else 'M'}\t{30 + i if i % 10 else 80}\t70\n"
    for i in range(40)
)


def test_like_a_cohort_conditions_occur_together(tmp_path: Path) -> None:
    plan = plan_like(SLOTS, table(tmp_path, COHORT, "p.tsv"))
    drawn = [plan.draw(1, i) for i in range(600)]
    assert drawn == [plan.draw(1, i) for i in range(600)]
    assert {d["age_years"] for d in drawn if d["sex"] == "M"} == {80.0}, "men are 80 in this cohort"
    assert not any((int(float(str(d["age_years"]))) - 30) % 4 == 3 for d in drawn), "nobody of holdout"
    men = Counter(d["sex"] for d in drawn)["M"] / 600
    assert men == pytest.approx(4 / 30, abs=0.05)  # p0, p10, p20, p30 of 30 train patients; 3.6 standard errors
    assert any("10 rows" in note for note in plan.notes)
    assert any("weight" in note for note in plan.notes)


def test_balanced_values_are_drawn_evenly(tmp_path: Path) -> None:
    plan = plan_like(SLOTS, table(tmp_path, COHORT, "p.tsv"), ["sex"])
    men = Counter(plan.draw(1, i)["sex"] for i in range(600))["M"] / 600
    assert men == pytest.approx(0.5, abs=0.07)  # 3.4 standard errors
    assert plan.settings()["table"]["balance"] == ["sex"]
    with pytest.raises(UsageError, match="--balance kind"):
        plan_like(SLOTS, tmp_path / "p.tsv", ["kind"])
