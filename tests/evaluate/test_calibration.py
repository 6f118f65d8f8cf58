"""Conformal calibration by patient: exact on hand-made patients, right in the mean on simulated ones."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medidiff.errors import UsageError
from medidiff.evaluate.calibration import calibrate, conformal_factor, coverage, scores
from medidiff.prior.calibration import CALIBRATED_KINDS, interval_factor, noise_kind


def test_the_factor_by_hand() -> None:
    """Two patients, ten and two voxels, each counting alike: 0.8 of the mean is reached at 0.6 + 1.0 over two."""
    ten, two = np.arange(1.0, 11.0), np.array([1.0, 6.0])
    assert conformal_factor([ten, two], 0.8) == 6  # 6/10 and 2/2
    assert conformal_factor([ten, two], 0.75) == 6  # at 5: (0.5 + 0.5) / 2
    assert conformal_factor([ten], 0.9) == 9
    assert conformal_factor([ten], 0.91) == 10
    assert coverage(ten, 6) == 0.6


def test_the_guaranteed_factor_is_that_of_the_paper() -> None:
    """n/(n+1) R + 1/(n+1) <= alpha with n = 19, alpha = 0.1: R <= 1/19, of one voxel a patient at most one outside."""
    patients = [np.array([float(i)]) for i in range(1, 20)]
    assert conformal_factor(patients, 0.9) == 18  # 17/19 < 0.9 <= 18/19
    assert conformal_factor(patients, 0.9, guaranteed=True) == 18
    assert conformal_factor(patients[:9], 0.9, guaranteed=True) == 9  # R = 0: nobody outside
    with pytest.raises(UsageError, match="at least 9"):
        conformal_factor(patients[:8], 0.9, guaranteed=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(0, 100), min_size=1, max_size=8), min_size=1, max_size=6), st.floats(0.05, 0.95))
def test_it_is_the_smallest_that_covers(values: list[list[float]], level: float) -> None:
    patients = [np.array(v) for v in values]
    factor = conformal_factor(patients, level)
    assert np.mean([coverage(p, factor) for p in patients]) >= level - 1e-6
    below = np.nextafter(factor, -1)
    assert np.mean([coverage(p, below) for p in patients]) < level + 1e-6


def test_a_new_patient_is_covered_in_the_mean() -> None:
    """Patients whose errors are larger or smaller than claimed by a factor of their own (sd 15%)."""
    rng = np.random.default_rng(0)
    plain, guaranteed = [], []
    for _ in range(150):
        own = np.exp(0.15 * rng.standard_normal(41))
        patients = [scale * np.abs(rng.standard_normal(300)) for scale in own]
        plain.append(coverage(patients[40], conformal_factor(patients[:40])))
        guaranteed.append(coverage(patients[40], conformal_factor(patients[:40], guaranteed=True)))
    # Coverage of a patient has a standard deviation of 5%: of the mean of 150 it is 0.4%, twice that is allowed.
    assert np.mean(plain) == pytest.approx(0.9, abs=0.009)
    assert np.mean(guaranteed) > np.mean(plain) + 0.01
    voxelwise = np.std(plain)
    assert voxelwise > 0.03, "patients differ: a binomial of their voxels would claim 1.7%"


def test_calibrate_judges_patients_by_others() -> None:
    rng = np.random.default_rng(1)
    patients = [np.abs(rng.standard_normal(2000)) for _ in range(24)]
    found = calibrate(patients)
    assert found.factor == pytest.approx(1.645, abs=0.02)  # 90% of |N(0, 1)|
    assert found.patients == 24
    assert found.coverage.low < 0.9 < found.coverage.high
    assert found.coverage.high - found.coverage.low < 0.01
    # One patient who is never covered: judged by the others he counts as 0, and the factor must rise for everybody.
    strange = calibrate([*patients, np.full(2000, 50.0)])
    assert strange.factor > found.factor
    assert strange.coverage.high - strange.coverage.low > 0.1, "one in 25 not covered at all: nobody can be sure"
    # Two patients: each is judged with the other's factor alone, so one is covered wholly and one not at all.
    assert calibrate([np.ones(4), np.full(4, 2.0)]).coverage.mean == 0.5
    same = calibrate(patients)
    assert same == found


def test_scores_of_noisy_references_are_deconvolved() -> None:
    """A Gaussian, where all is known: x0 ~ N(0, 1), own noise 0.3, total noise s: E[x0 | y] and its spread u."""
    rng = np.random.default_rng(2)
    n, tau, s = 200_000, 0.3, 0.8
    x0, own, added = rng.standard_normal((3, n))
    reference = x0 + tau * own
    y = reference + math.sqrt(s**2 - tau**2) * added
    estimate, u = y / (1 + s**2), s / math.sqrt(1 + s**2)
    assert coverage(scores(estimate - x0, np.full(n, u)), 1.645) == pytest.approx(0.9, abs=0.003)
    assert coverage(scores(estimate - reference, np.full(n, u), tau, s), 1.645) == pytest.approx(0.9, abs=0.003)
    # Own noise of half the uncertainty, left out or taken as independent of the estimate, is seen.
    assert abs(coverage(scores(estimate - reference, np.full(n, u)), 1.645) - 0.9) < 0.02
    naive = np.abs(estimate - reference) / math.hypot(u, tau)
    assert coverage(naive, 1.645) > 0.91


def test_no_uncertainty_is_no_excuse() -> None:
    assert scores(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 1.0])).tolist() == [0, math.inf, 2]


@pytest.mark.parametrize(
    ("patients", "level", "words"),
    [
        ([], 0.9, "at least one patient"),
        ([np.array([])], 0.9, "voxels"),
        ([np.array([math.nan])], 0.9, "NaN"),
        ([np.ones(3)], 1.0, "between 0 and 1"),
    ],
)
def test_refuses(patients: list[np.ndarray], level: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        conformal_factor(patients, level)


def test_one_patient_is_no_calibration() -> None:
    with pytest.raises(UsageError, match="at least two"):
        calibrate([np.ones(5)])


def test_the_card_gives_the_factor() -> None:
    card = SimpleNamespace(calibration={"level": 0.9, "factor": {"gaussian": 1.7, "rician": 1.9}})
    assert interval_factor(card, "gaussian") == 1.7  # type: ignore[arg-type]
    assert interval_factor(card, "chi") == 1.9  # type: ignore[arg-type]
    assert interval_factor(card, "ct") is None  # type: ignore[arg-type]
    assert interval_factor(SimpleNamespace(calibration=None), "gaussian") is None  # type: ignore[arg-type]


def test_kinds_are_named_by_what_is_most_particular() -> None:
    plain = {"correlated": False, "varying": False, "ct": False}
    assert noise_kind("gaussian", **plain) == "gaussian"
    assert noise_kind("chi", **plain) == "chi"
    assert noise_kind("gaussian", **{**plain, "varying": True}) == "varying"
    assert noise_kind("rician", **{**plain, "varying": True}) == "rician"
    assert noise_kind("rician", **{**plain, "correlated": True}) == "correlated"
    assert noise_kind("gaussian", correlated=True, varying=True, ct=True) == "ct"
    assert {"gaussian", "varying", "rician", "correlated", "ct"} == set(CALIBRATED_KINDS)
