from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.privacy.gallery import Gallery
from medidiff.privacy.split_gate import split_classifier, split_overlap
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import p_of, shuffled, world

LIMITS = Thresholds()


def test_a_split_by_chance_passes_and_one_by_site_does_not() -> None:
    w = world(0, scans=2, transforms=())
    fair = split_classifier(w.features, w.gallery, LIMITS)
    assert fair.figures["holds"]
    shifted = w.features + 1.5 * w.gallery.is_train[w.gallery.patients][:, None] * np.eye(60)[0]
    unfair = split_classifier(shifted, w.gallery, LIMITS)
    assert p_of(unfair) == pytest.approx(0.001)
    assert (unfair.statistic or 0) > 0.6
    assert not unfair.figures["holds"]


def test_the_p_value_is_uniform_without_a_difference() -> None:
    p = [p_of(split_classifier((w := world(i, 30, 30, transforms=())).features, w.gallery, LIMITS)) for i in range(20)]
    assert sum(value <= 0.1 for value in p) <= 7  # 2 expected; more has a probability below 0.001
    assert 0.3 < np.mean(p) < 0.7


def test_order_of_files_does_not_matter() -> None:
    w = world(1, scans=2, transforms=())
    other = shuffled(w, 2)
    a, b = split_classifier(w.features, w.gallery, LIMITS), split_classifier(other.features, other.gallery, LIMITS)
    assert (a.statistic, a.p_value) == (pytest.approx(b.statistic), b.p_value)


def test_one_person_under_two_names_is_seen_on_both_sides_and_on_one() -> None:
    w = world(2, transforms=())
    assert split_overlap(w.real, w.gallery).figures["holds"]
    train, held = np.flatnonzero(w.gallery.is_train), np.flatnonzero(~w.gallery.is_train)
    alike = w.real.copy()
    for i, j in ((train[0], held[0]), (train[1], train[2])):
        alike[i, j] = alike[j, i] = 0.97
    found = split_overlap(alike, w.gallery)
    assert (found.figures["pairs"], found.figures["pairs_across"], found.figures["holds"]) == (2, 1, False)
    assert "1 with one on each side, 1 on one side" in found.words


def test_strangers_who_are_all_alike_are_nobody_twice() -> None:
    w = world(3, transforms=())
    alike = 1 - (1 - w.real) * 0.08  # the nearest strangers of smooth little scans, 0.96 and more
    strangers = alike - 2 * np.eye(len(alike))
    assert strangers.max() > 0.955
    assert split_overlap(alike, w.gallery).figures["holds"]


def test_bad_input_is_refused() -> None:
    gallery = Gallery(np.arange(4), np.arange(4) < 2)
    with pytest.raises(InputError, match="square"):
        split_overlap(np.ones((3, 4)) / 2, gallery)
    with pytest.raises(InputError, match="finite"):
        split_classifier(np.full((4, 3), np.nan), gallery, LIMITS)
