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


def test_a_scan_on_both_sides_is_seen_by_content_and_by_picture() -> None:
    w = world(2, transforms=())
    names = [f"{i:03}" for i in range(len(w.real))]
    assert split_overlap(w.real, w.gallery, LIMITS, names).figures["holds"]
    train, held = np.flatnonzero(w.gallery.is_train)[0], np.flatnonzero(~w.gallery.is_train)[0]
    names[held] = names[train]
    by_content = split_overlap(w.real, w.gallery, LIMITS, names)
    assert (by_content.figures["same_content"], by_content.figures["holds"]) == (1, False)
    alike = w.real.copy()
    alike[train, held] = alike[held, train] = 0.97
    by_picture = split_overlap(alike, w.gallery, LIMITS)
    assert (by_picture.figures["near_identical"], by_picture.figures["holds"]) == (1, False)
    assert "train again" in by_picture.words


def test_bad_input_is_refused() -> None:
    gallery = Gallery(np.arange(4), np.arange(4) < 2)
    with pytest.raises(InputError, match="hashes"):
        split_overlap(np.eye(4), gallery, LIMITS, ["a"])
    with pytest.raises(InputError, match="finite"):
        split_classifier(np.full((4, 3), np.nan), gallery, LIMITS)
