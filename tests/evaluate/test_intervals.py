"""Paired intervals: worked values, and their coverage on simulated patients."""

import math

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.evaluate import paired_bootstrap, paired_t


def test_student_interval_of_three_pairs() -> None:
    interval = paired_t([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert interval.mean == pytest.approx(2.0)
    # t(0.975; 2 degrees of freedom) = 4.302653 (tables), times 1 / sqrt(3).
    assert interval.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.low == pytest.approx(4.0 - interval.high)
    assert str(interval) == "+2.00 [-0.48, +4.48]"


def test_pairs_cancel_what_patients_share() -> None:
    patients = [20.0, 30.0, 40.0]
    for interval in (
        paired_t([p + 0.5 for p in patients], patients),
        paired_bootstrap([p + 0.5 for p in patients], patients),
    ):
        assert tuple(interval) == pytest.approx((0.5, 0.5, 0.5))


def test_one_pair_has_no_interval() -> None:
    interval = paired_t([2.0], [1.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_bootstrap_is_seeded_and_agrees_with_student_on_many_pairs() -> None:
    values = np.random.default_rng(3).normal(0.3, 1.0, 400).tolist()
    zeros = [0.0] * len(values)
    first = paired_bootstrap(values, zeros, seed=7)
    assert first == paired_bootstrap(values, zeros, seed=7)
    # Both bounds estimate mean +- 1.96 / sqrt(400) = 0.098 wide; 10 000 resamples fix a quantile to about 2% of that.
    assert first == pytest.approx(paired_t(values, zeros), abs=0.01)


def test_student_covers_at_its_nominal_rate() -> None:
    draws = np.random.default_rng(5).normal(0.2, 1.0, (2000, 6))
    intervals = [paired_t(row.tolist(), [0.0] * 6) for row in draws]
    covered = np.mean([i.low <= 0.2 <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)  # 4 standard errors of a proportion of 2000


def test_bad_input_is_refused() -> None:
    for method in (paired_t, paired_bootstrap):
        with pytest.raises(UsageError, match="same patients"):
            method([1.0], [1.0, 2.0])
        with pytest.raises(UsageError, match="same patients"):
            method([], [])
        with pytest.raises(UsageError, match="confidence"):
            method([1.0, 2.0], [1.0, 2.0], 95.0)
        with pytest.raises(UsageError, match="finite"):
            method([math.inf, 1.0], [1.0, 1.0])
    with pytest.raises(UsageError, match="resamples"):
        paired_bootstrap([1.0, 2.0], [0.0, 0.0], resamples=5)
