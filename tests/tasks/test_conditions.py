"""Conditions: what a prior knows is encoded and drawn, everything else is refused with what exists."""

import json
import pickle

import numpy as np
import pytest
import torch

from medidiff.errors import UsageError
from medidiff.nets.embedding import CategoricalSlot, ConditionSlots, ContinuousSlot
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.conditions import encode_conditions

QUANTILES = tuple(1.0 + (p / 100) ** 2 * 4 for p in range(0, 101, 5))  # 1 to 5 ml, dense at the low end
SLOTS = ConditionSlots(
    categorical={
        "kind": CategoricalSlot(values=("head", "knee"), counts=(30, 12)),
        "sex": CategoricalSlot(values=("F", "M")),
    },
    continuous={
        "age_years": ContinuousSlot(unit="years", low=20, high=80),
        "volume_ml": ContinuousSlot(unit="ml", low=1, high=5, quantiles=QUANTILES, known=42),
    },
)


def test_encodes_names_and_numbers() -> None:
    encoded = encode_conditions(SLOTS, {"kind": "knee", "age_years": "41.5"})
    assert torch.equal(encoded["kind"], torch.tensor([2]))  # 0 is the null token
    assert torch.equal(encoded["age_years"], torch.tensor([41.5]))
    assert encode_conditions(SLOTS, {}) == {}


def test_unknown_is_the_null_token() -> None:
    encoded = encode_conditions(SLOTS, {"sex": None, "age_years": None})
    assert torch.equal(encoded["sex"], torch.tensor([0]))
    assert encoded["age_years"].isnan().all()


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"kind": "liver"}, r"head \(30 scans\), knee \(12 scans\)"),
        ({"site": "a"}, "takes kind: .*sex: F, M; age_years: 20 to 80 years"),
        ({"age_years": 90}, "20 to 80 years"),
        ({"age_years": "old"}, "20 to 80 years"),
        ({"age_years": float("nan")}, "20 to 80 years"),
        ({"volume_ml": 9}, r"1 to 5 ml \(p5 1.01, p50 2, p95 4.61, 42 scans\)"),
    ],
)
def test_refuses_what_was_not_trained(conditions: dict[str, str | float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        encode_conditions(SLOTS, conditions)


def test_extrapolation_is_for_numbers() -> None:
    assert encode_conditions(SLOTS, {"age_years": 90}, extrapolate=True)["age_years"].item() == 90
    with pytest.raises(UsageError, match="one of head"):
        encode_conditions(SLOTS, {"kind": "liver"}, extrapolate=True)
    with pytest.raises(UsageError, match="must be a number"):
        encode_conditions(SLOTS, {"age_years": float("inf")}, extrapolate=True)


def test_an_end_may_be_written_as_it_is_told() -> None:
    slots = ConditionSlots(continuous={"v": ContinuousSlot(unit="ml", low=1.23456, high=2.34567)})
    for written in ("1.235", "1.2345", "2.346"):
        encode_conditions(slots, {"v": written})
    with pytest.raises(UsageError, match=r"1\.235 to 2\.346 ml"):
        encode_conditions(slots, {"v": "1.22"})


def test_a_request_is_a_function_of_seed_and_number() -> None:
    plan = parse_requests(SLOTS, ["sex=M", "volume_ml=p0:p5", "age_years=70:", "kind=unknown"])
    drawn = [plan.draw(3, i) for i in range(200)]
    copied = pickle.loads(pickle.dumps(plan))  # noqa: S301  workers get it so
    assert drawn == [copied.draw(3, i) for i in range(200)]
    assert plan.draw(4, 0) != drawn[0]
    assert {(d["sex"], d["kind"]) for d in drawn} == {("M", None)}
    ages = np.array([d["age_years"] for d in drawn], dtype=float)
    assert 70 <= ages.min() < 71 < 79 < ages.max() <= 80
    small = np.array([d["volume_ml"] for d in drawn], dtype=float)
    assert small.min() >= 1
    assert small.max() <= QUANTILES[1]
    more = parse_requests(SLOTS, ["volume_ml=p0:p5", "age_years=20:30"])
    assert [d["volume_ml"] for d in drawn] == [more.draw(3, i)["volume_ml"] for i in range(200)], "a stream of its own"
    settings = json.loads(json.dumps(plan.settings()))
    assert settings["conditions"]["volume_ml"] == "p0:p5"


def test_percentiles_are_drawn_evenly_not_values() -> None:
    values = [parse_requests(SLOTS, ["volume_ml=p0:p100"]).draw(0, i)["volume_ml"] for i in range(2000)]
    # the median of the requests is the cohort's, p50 = 2 ml; drawn evenly in ml it would be 3
    assert np.median(np.array(values, dtype=float)) == pytest.approx(2.0, abs=0.1)
    assert parse_requests(SLOTS, ["volume_ml=p50"]).draw(0, 0) == {"volume_ml": pytest.approx(2.0)}
    middle = (QUANTILES[0] + QUANTILES[1]) / 2
    assert parse_requests(SLOTS, ["volume_ml=p2.5"]).draw(0, 0) == {"volume_ml": pytest.approx(middle)}


def test_what_lies_beyond_is_allowed_on_request_and_marked() -> None:
    with pytest.raises(UsageError, match="--extrapolate"):
        parse_requests(SLOTS, ["age_years=75:95"])
    plan = parse_requests(SLOTS, ["age_years=85:95", "volume_ml=2"], extrapolate=True)
    drawn = plan.draw(0, 0)
    assert plan.extrapolated(drawn) == ["age_years"]
    assert plan.settings()["extrapolate"] is True
    assert parse_requests(SLOTS, ["age_years=30"]).extrapolated({"age_years": 30.0, "sex": None}) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("age", "name=value"),
        ("age_years=", "name=value"),
        ("site=a", "does not know site"),
        ("sex=D", "one of F, M"),
        ("age_years=old", "must be a number"),
        ("age_years=60:50", "above"),
        ("age_years=:", "at least one end"),
        ("age_years=10:30", "from 20 to 80 years"),
        ("age_years=p5", "no percentiles"),
        ("volume_ml=p5:2", "percentiles from p0 to p100"),
        ("volume_ml=p90:p10", "percentiles from p0 to p100"),
        ("volume_ml=p101", "percentiles from p0 to p100"),
        ("volume_ml=p90:", ""),
    ],
)
def test_requests_that_make_no_sense(text: str, words: str) -> None:
    if not words:
        assert 4 < float(str(parse_requests(SLOTS, [text]).draw(0, 0)["volume_ml"])) <= 5
        return
    with pytest.raises(UsageError, match=words):
        parse_requests(SLOTS, [text])


def test_a_condition_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        parse_requests(SLOTS, ["sex=F", "sex=M"])
