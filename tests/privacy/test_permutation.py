from __future__ import annotations

from math import comb

import numpy as np
import pytest

from medidiff.privacy.gallery import Gallery
from medidiff.privacy.permutation import all_labels, label_permutation, patient_weights, permutation_p
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import p_of, shuffled, world

LIMITS = Thresholds(permutations=999)


def test_p_value_counted_by_hand() -> None:
    # 2 of 4 are train: 6 assignments with sums 3 4 5 5 6 7 of (1, 2, 3, 4); the train patients hold 2 and 4
    values, labels = np.array([4.0, 1.0, 3.0, 2.0]), np.array([True, False, False, True])
    assert permutation_p(values, labels, 999, 0) == pytest.approx(2 / 6)  # sums 6 and 7
    # ties count as at least as large: 4 + 1 = 5 as 2 + 3
    assert permutation_p(values, np.array([True, True, False, False]), 999, 0) == pytest.approx(4 / 6)


def test_weights_of_the_test_by_hand() -> None:
    # distances sqrt(2 (1 - sim)): 0.08 -> 0.4, 0.32 -> 0.8; gaps ln 2, and ln 1.5 for the second synthetic
    sim = np.array([[0.92, 0.68, 0.0, 0.0], [0.92, 0.82, 0.0, 0.0], [0.1, 0.1, 0.5, 0.5]])
    gallery = Gallery(np.arange(4), np.array([True, False, True, False]))
    np.testing.assert_allclose(patient_weights(sim, gallery), [np.log(2) ** 2, 0, 0, 0], atol=1e-12)
    finding = label_permutation(sim, gallery, LIMITS)
    assert finding.statistic == pytest.approx(np.log(2) ** 2 / 2)
    assert finding.p_value == pytest.approx(1 / 2)  # the one weight is on a train patient in half of the assignments


def test_drawn_and_counted_p_values_agree() -> None:
    rng = np.random.default_rng(0)
    values, labels = rng.exponential(size=12), np.arange(12) < 5
    assert comb(12, 5) == len(all_labels(12, 5)) == 792
    exact = permutation_p(values, labels, 999, 0)
    ordered = np.sort(values)
    assert exact == np.mean(all_labels(12, 5) @ ordered >= values[:5].sum() - 1e-9)
    # 99999 draws of 792 equally likely ones: standard deviation sqrt(p (1 - p) / draws) < 0.0016
    wide = np.concatenate([values, np.full(8, values.min())])
    kept = np.concatenate([labels, np.zeros(8, dtype=bool)])
    once, again = (permutation_p(wide, kept, 9999, seed) for seed in (1, 2))
    assert once != again
    assert abs(once - again) < 5 * np.sqrt(2 * 0.25 / 9999)


def test_blocks_give_what_one_table_gives() -> None:
    # above the size that is kept the draws are made in blocks: same law, other draws
    rng = np.random.default_rng(3)
    values, labels = rng.random(1000), np.arange(1000) < 500
    p = [permutation_p(values, labels, draws, 0) for draws in (3999, 4999)]
    assert abs(p[0] - p[1]) < 5 * np.sqrt(0.25 / 3999 + 0.25 / 4999)


@pytest.mark.parametrize("scans", [1, 2])
def test_order_and_numbering_of_files_do_not_matter(scans: int) -> None:
    w = world(5, rate=0.03, scans=scans, transforms=())
    expected = label_permutation(w.sim, w.gallery, LIMITS)
    for seed in range(3):
        other = shuffled(w, seed)
        found = label_permutation(other.sim, other.gallery, LIMITS)
        assert found.p_value == expected.p_value
        assert found.statistic == pytest.approx(expected.statistic, rel=1e-9)


@pytest.mark.parametrize("spread", [1.0, 0.85, 0.3])
def test_false_alarms_keep_the_level_whatever_the_synthetics_are(spread: float) -> None:
    # 120 worlds at 0.05: 6 expected; more than 15 has a probability below 0.0005
    worlds = (world(100 + i, 40, 20, 60, spread=spread, transforms=()) for i in range(120))
    p = np.array([p_of(label_permutation(w.sim, w.gallery, LIMITS)) for w in worlds])
    assert (p <= 0.05).sum() <= 15
    assert 0.35 < np.mean(p) < 0.65  # uniform: 0.5 with a standard deviation of 0.026


def test_copies_are_found_and_those_of_one_patient_alone_are_out_of_reach() -> None:
    p = [p_of(label_permutation((w := world(i, rate=0.1, transforms=())).sim, w.gallery, LIMITS)) for i in range(10)]
    assert np.median(p) <= 0.01
    w = world(3, transforms=())
    sim = np.tile(w.real[np.flatnonzero(w.gallery.is_train)[0]], (100, 1))
    assert label_permutation(sim, w.gallery, LIMITS).p_value == pytest.approx(0.5, abs=0.1)


def test_more_holdout_than_train_works_too() -> None:
    w = world(1, 20, 60, rate=0.15, transforms=())
    assert p_of(label_permutation(w.sim, w.gallery, LIMITS)) <= 0.05
