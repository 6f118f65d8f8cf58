from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.privacy.permutation import all_labels
from medidiff.privacy.plan import all_on_train, copies_for, fewest_patients, needed_holdout, needed_synthetics, plan
from medidiff.privacy.thresholds import Thresholds

LIMITS = Thresholds()


def test_probability_by_counting() -> None:
    labels = all_labels(9, 5)
    assert all_on_train(3, 5, 4) == pytest.approx(labels[:, :3].all(axis=1).mean())
    assert all_on_train(6, 5, 4) == 0
    assert fewest_patients(5, 4, 0.05) == 4  # 1/9 of three, 5/126 of four
    assert fewest_patients(2, 2, 0.05) is None  # 1/6 at best


def test_copies_reach_that_many_patients() -> None:
    rng = np.random.default_rng(0)
    copies = round(copies_for(30, 100))
    reached = [len(set(rng.integers(0, 100, copies).tolist())) for _ in range(2000)]
    assert np.mean(reached) == pytest.approx(30, abs=0.5)


def test_the_figures_of_a_plan() -> None:
    found = plan(100, 50, 200, LIMITS)
    assert found.false_flag_bound == pytest.approx(0.058, abs=5e-4)
    assert found.smallest_bound == pytest.approx(0.0149, abs=5e-5)
    # 8 patients all train by chance: 0.034, 7: 0.053; 9 copies reach 8 of 100 patients
    assert found.smallest_copy_rate == pytest.approx(9 / 200)
    assert "of at most" in found.words
    assert "1.5%" in found.words
    assert found.to_dict()["n_holdout"] == 50


@pytest.mark.parametrize(("guessed", "epsilon"), [(20, 1.82), (50, 2.78), (100, 3.49)])
def test_largest_epsilon_of_a_plan(guessed: int, epsilon: float) -> None:
    patients = guessed * 5 // 2  # a fifth of all patients is guessed
    assert plan(patients, patients, 200, LIMITS).largest_epsilon == pytest.approx(epsilon, abs=0.005)


def test_more_patients_never_show_less() -> None:
    rates = [plan(100, h, 200, LIMITS).smallest_copy_rate or 2 for h in (2, 5, 10, 25, 50, 100, 400)]
    assert rates == sorted(rates, reverse=True)
    needed = needed_holdout(100, 200, LIMITS)
    assert needed is not None
    found = plan(100, needed, 200, LIMITS).found_copy_rate
    assert found is not None
    assert found <= LIMITS.copy_rate


def test_needed_synthetics_can_bound_the_rate_too() -> None:
    n = needed_synthetics(100, 100, LIMITS)
    assert n is not None
    assert 80 <= n <= 400
    assert needed_synthetics(3, 2, LIMITS) is None
    assert "cannot find copies" in plan(2, 2, 200, LIMITS).words


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(UsageError, match="at least"):
        plan(1, 50, 200)


def test_a_plan_says_whether_a_pass_is_possible() -> None:
    enough, few = plan(100, 100, 200, LIMITS), plan(100, 25, 200, LIMITS)
    assert enough.can_pass
    assert "enough for a PASS" in enough.words
    assert not few.can_pass
    assert f"about {needed_synthetics(100, 25, LIMITS)} synthetics" in few.words
    assert few.to_dict()["can_pass"] is False
    assert not plan(100, 100, 30, LIMITS).can_pass  # 30 samples bound no share at 5%
