from __future__ import annotations

import numpy as np
import pytest

from medidiff.privacy.identity import SAME_PICTURE, identical_scans, same_pairs, same_picture_from
from tests.privacy.worlds import shuffled, unit, world


def test_one_very_scan_is_found_whatever_its_rate_and_the_order_of_files() -> None:
    w = world(0)
    made = w.made.copy()
    for slot, side in ((3, w.gallery.is_train), (5, w.gallery.is_train), (7, ~w.gallery.is_train)):
        made[slot] = w.features[np.flatnonzero(side)[slot]]
    w = w._replace(sim=unit(made) @ unit(w.features).T, made=made)
    for one in (w, shuffled(w, 1)):
        found = identical_scans(one.sim, one.real, one.gallery)
        assert (found.figures["found"], found.figures["of_holdout"]) == (2, 1)
        assert found.words.startswith("2 of 100 synthetics ARE scans")
    assert identical_scans(world(0).sim, w.real, w.gallery).figures["found"] == 0


def test_the_limit_rises_with_strangers_and_not_with_a_person_under_two_names() -> None:
    w = world(1)
    usual = same_picture_from(w.real, w.gallery)
    assert usual < 0.98
    assert same_picture_from(w.real * 0.5, w.gallery) == SAME_PICTURE  # nobody is like anybody
    twice = w.real.copy()
    twice[0, 1] = twice[1, 0] = 0.9999
    assert same_picture_from(twice, w.gallery) == pytest.approx(usual, abs=0.002)
    assert same_pairs(twice, w.gallery) == [(0, 1)]
    assert same_pairs(w.real, w.gallery) == []
    assert same_picture_from(1 - (1 - w.real) * 0.05, w.gallery) > 0.97


def test_two_scans_of_one_patient_are_no_pair() -> None:
    w = world(2, scans=2)
    alike = np.where(w.gallery.patients[:, None] == w.gallery.patients[None, :], 0.99, w.real)
    assert same_pairs(alike, w.gallery) == []
