"""The coin: its shares, that it knows nothing but the patient, and what a table says before it."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.cohort.split import SHARES, Coin, Holdout, assign, told_of, warnings_of
from medidiff.errors import ConfigError, InputError


def test_the_coin_is_the_one_that_is_recorded() -> None:
    digest = hmac.digest(b"medidiff split 7", b"patient_001", hashlib.sha256)
    share = int.from_bytes(digest[:8], "big") / 2**64
    expected = "train" if share < 0.6 else "val" if share < 0.7 else "holdout"
    assert Coin("coin", 7).toss("patient_001") == expected


@pytest.mark.parametrize("holdout", ["coin", "none"])
def test_shares_are_those_that_are_promised(holdout: Holdout) -> None:
    n = 20_000
    tossed = [Coin(holdout, 3).toss(f"p{k}") for k in range(n)]
    for split, share in zip(("train", "val", "holdout"), SHARES[holdout], strict=True):
        # five standard deviations of a binomial share
        assert abs(tossed.count(split) / n - share) <= 5 * (share * (1 - share) / n) ** 0.5, split


def test_for_canaries_the_coin_is_fair() -> None:
    coin, n = Coin("coin", 3), 20_000
    canaries = [f"p{k}" for k in range(n) if coin.is_canary(f"p{k}")]
    sides = [coin.toss(name) for name in canaries]
    assert set(sides) == {"train", "holdout"}
    assert sides.count("holdout") == sum(coin.toss(f"p{k}") == "holdout" for k in range(n))
    # five standard deviations of a binomial share
    assert abs(sides.count("train") / len(sides) - 0.5) <= 2.5 * len(sides) ** -0.5
    assert not any(Coin("none", 3).is_canary(f"p{k}") for k in range(100))


@settings(max_examples=50)
@given(
    st.sets(st.text(min_size=1, max_size=12), min_size=2, max_size=30),
    st.integers(0, 2**31 - 1),
    st.randoms(use_true_random=False),
)
def test_a_patient_is_where_he_is_whoever_else_is_there(patients: set[str], seed: int, random: object) -> None:
    everybody = sorted(patients)
    random.shuffle(everybody)  # type: ignore[attr-defined]
    coin = Coin("coin", seed)
    whole = assign([*everybody, everybody[0]], {}, coin).split_of
    half = assign(everybody[: max(2, len(everybody) // 2)], {}, coin).split_of
    assert set(whole) == patients
    assert half.items() <= whole.items()


def test_the_table_is_respected_and_the_coin_decides_the_rest() -> None:
    patients = [f"p{k}" for k in range(40)]
    said = {f"p{k}": "holdout" for k in range(10)}
    done = assign(patients, said, Coin("none", 5))
    assert all(done.split_of[p] == "holdout" for p in said)
    assert all(done.split_of[p] == Coin("none", 5).toss(p) for p in patients[10:])
    assert done.record["by_table"] == 10
    assert done.record["by_coin"] == 30
    assert done.record["seed"] == 5
    assert assign(patients, dict.fromkeys(patients, "train"), Coin("coin", 1)).record["seed"] is None


def test_a_cohort_of_one_is_refused_unless_the_table_insists() -> None:
    with pytest.raises(InputError, match="cohort of one patient"):
        assign(["a", "a"], {}, Coin("coin", 0))
    done = assign(["a"], {"a": "train"}, Coin("coin", 0))
    assert done.split_of == {"a": "train"}
    assert any("no patient in val" in text for text in done.warnings)
    assert any("only 1 patient" in text for text in done.warnings)


def test_what_is_wrong_with_a_split_is_said() -> None:
    assert warnings_of({"a": "train", "b": "val", "c": "holdout"}, "coin", True) == []
    assert "NO PATIENT IN TRAIN" in warnings_of({"a": "val", "b": "val", "c": "holdout"}, "coin", True)[0]
    assert warnings_of({"a": "train", "b": "val", "c": "train"}, "none", True) == []
    assert len(warnings_of({"a": "train", "b": "train"}, "coin", True)) == 3
    with pytest.raises(ConfigError, match="split test"):
        assign(["a", "b"], {"a": "test"}, Coin("coin", 0))


def test_how_it_came_out_is_told() -> None:
    told = told_of({"a": "train", "b": "train", "c": "val"}, {"train": 5, "val": 1})
    assert told == "train 2 patients (5 scans), val 1 patient (1 scan), holdout 0 patients (0 scans)"
