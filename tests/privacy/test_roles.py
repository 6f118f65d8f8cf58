from __future__ import annotations

import numpy as np

from medidiff.privacy.gallery import Gallery
from medidiff.privacy.roles import split_roles
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import p_of, shuffled, unit, world

LIMITS = Thresholds()


def test_swapped_sides_are_seen_and_right_ones_are_not_held_up() -> None:
    w = world(0, rate=0.2, noise=0.5)
    right = split_roles(w.sim, w.real, w.gallery, LIMITS)
    assert right.figures["holds"]
    swapped = split_roles(w.sim, w.real, Gallery(w.gallery.patients, ~w.gallery.is_train), LIMITS)
    assert not swapped.figures["holds"]
    assert p_of(swapped) <= 0.001
    assert "--train and --holdout are swapped" in swapped.words


def test_one_very_scan_of_a_holdout_patient_is_enough() -> None:
    w = world(1)
    made = w.made.copy()
    made[0] = w.features[np.flatnonzero(~w.gallery.is_train)[0]]
    found = split_roles(unit(made) @ unit(w.features).T, w.real, w.gallery, LIMITS)
    assert not found.figures["holds"]
    assert found.words.startswith("1 synthetics ARE scans of holdout patients")


def test_it_holds_where_nobody_is_copied_whatever_the_order() -> None:
    held = [split_roles(w.sim, w.real, w.gallery, LIMITS) for w in (world(seed, 30, 30) for seed in range(40))]
    assert sum(not found.figures["holds"] for found in held) <= 3  # 0.4 expected
    w = world(5)
    a, b = (split_roles(x.sim, x.real, x.gallery, LIMITS) for x in (w, shuffled(w, 1)))
    assert (a.p_value, a.words) == (b.p_value, b.words)
