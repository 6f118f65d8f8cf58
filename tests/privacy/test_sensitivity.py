from __future__ import annotations

import numpy as np
import pytest

from medidiff.errors import InputError
from medidiff.privacy.permutation import label_permutation
from medidiff.privacy.sensitivity import RATES, sensitivity
from medidiff.privacy.thresholds import Thresholds
from tests.privacy.worlds import p_of, shuffled, world

LIMITS = Thresholds(must_see=("exact",), permutations=999)


def test_the_rate_it_names_is_found_in_worlds_with_that_rate() -> None:
    # planting on one world foretells the power in new worlds: 40 worlds, 0.9 promised, below 30 has p < 0.002
    named = sensitivity((w := world(0, 80, 80, 150)).sim, w.gallery, w.controls, LIMITS).statistic
    assert named in RATES
    assert named is not None
    worlds = [world(50 + i, 80, 80, 150, rate=named, transforms=()) for i in range(40)]
    assert sum(p_of(label_permutation(w.sim, w.gallery, LIMITS)) <= 0.05 for w in worlds) >= 30


def test_copies_that_are_not_seen_are_found_at_no_rate() -> None:
    w = world(1, control_noise=20.0)
    found = sensitivity(w.sim, w.gallery, w.controls, LIMITS)
    assert found.statistic is None
    assert not found.figures["holds"]
    assert "not found" in found.words


def test_few_holdout_patients_and_more_strata_make_it_worse() -> None:
    w, few = world(2, 80, 80, 150), world(2, 80, 10, 150)
    rates = [sensitivity(x.sim, x.gallery, x.controls, LIMITS).statistic or 1 for x in (w, few)]
    assert rates[0] < rates[1]
    shared = sensitivity(w.sim, w.gallery, w.controls, LIMITS, tests=20).figures["power_at_copy_rate"]["exact"]
    assert shared <= sensitivity(w.sim, w.gallery, w.controls, LIMITS).figures["power_at_copy_rate"]["exact"]


def test_a_signal_of_the_data_is_no_sensitivity() -> None:
    # a third of copies in the set itself, and controls that cannot be seen
    w = world(3, rate=0.3, control_noise=20.0)
    assert sensitivity(w.sim, w.gallery, w.controls, LIMITS).statistic is None


def test_order_of_files_does_not_matter() -> None:
    w = world(4, noise=0.6)
    expected = sensitivity(w.sim, w.gallery, w.controls, LIMITS)
    other = shuffled(w, 1)
    found = sensitivity(other.sim, other.gallery, other.controls, LIMITS)
    assert found.figures == expected.figures


def test_it_needs_controls() -> None:
    w = world(4, transforms=())
    with pytest.raises(InputError, match="planted"):
        sensitivity(w.sim, w.gallery, {}, LIMITS)


def test_a_transform_that_was_not_planted_is_not_known() -> None:
    w = world(4)
    limits = Thresholds(must_see=("exact", "flip"))
    assert sensitivity(w.sim, w.gallery, w.controls, limits).statistic is None
    assert np.isfinite(sensitivity(w.sim, w.gallery, w.controls, LIMITS).statistic or np.nan)
