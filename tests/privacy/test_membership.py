from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.privacy.membership import black_box_membership, membership, patient_scores
from medidiff.privacy.permutation import all_labels
from medidiff.privacy.thresholds import Thresholds
from medidiff.significance import auc
from tests.privacy.worlds import p_of, shuffled, world

LIMITS = Thresholds(permutations=999)


def test_auc_is_the_share_of_pairs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 12), rng.integers(0, 5, 9)
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert auc(a, b) == pytest.approx(np.mean(pairs))


def test_p_value_is_the_share_of_labels_with_such_an_auc() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=9), np.arange(9) < 4
    found = membership(scores, labels, LIMITS, test="attack", source="")
    areas = [auc(scores[row == 1], scores[row == 0]) for row in all_labels(9, 4)]
    assert found.statistic == auc(scores[labels], scores[~labels])
    assert found.p_value == pytest.approx(np.mean(np.array(areas) >= (found.statistic or 0) - 1e-12))


def test_true_positives_at_few_false_ones() -> None:
    train, holdout = np.array([5.0, 4.0, 3.0, 0.5]), np.linspace(0, 1, 20)
    found = membership(np.r_[train, holdout], np.r_[[True] * 4, [False] * 20], LIMITS, test="attack", source="")
    rates = found.figures["true_positive_rate"]
    assert (rates["5%"]["rate"], rates["5%"]["false_positive_rate"]) == (0.75, 0.05)
    assert rates["1%"]["false_positive_rate"] == 0  # 20 holdout patients cannot show 1%
    assert found.figures["false_positives_no_finer_than"] == pytest.approx(0.139, abs=1e-3)


def test_a_patients_score_is_that_of_his_best_scan() -> None:
    w = world(3, 6, 6, 10, scans=2, transforms=())
    scores = patient_scores(w.sim, w.gallery)
    assert scores[4] == w.sim[:, w.gallery.patients == 4].max()


def test_copies_give_members_away_in_any_order() -> None:
    w = world(2, rate=0.3, transforms=())
    found = black_box_membership(w.sim, w.gallery, LIMITS)
    assert p_of(found) <= 0.01
    assert found.role == "secondary"
    other = shuffled(w, 4)
    again = black_box_membership(other.sim, other.gallery, LIMITS)
    assert (again.statistic, again.p_value) == (found.statistic, found.p_value)


def test_nothing_shows_in_null_and_smooth_worlds() -> None:
    p = []
    for i in range(120):
        w = world(700 + i, 40, 20, 60, spread=(1.0, 0.5)[i % 2], transforms=())
        p.append(p_of(black_box_membership(w.sim, w.gallery, LIMITS)))
    assert sum(value <= 0.05 for value in p) <= 15  # 6 expected


def test_bad_scores_are_refused() -> None:
    with pytest.raises(InputError, match="attack"):
        membership(np.array([1.0, np.nan]), np.array([True, False]), LIMITS, test="attack", source="")
