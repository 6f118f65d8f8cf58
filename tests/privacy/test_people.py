from __future__ import annotations

import numpy as np
import pytest

from medidiff.privacy.gallery import Gallery
from medidiff.privacy.people import enough_people
from medidiff.privacy.plan import few_enough, fewest_patients, plan
from medidiff.privacy.thresholds import Thresholds

LIMITS = Thresholds()


@pytest.mark.parametrize(
    ("train", "holdout", "holds"), [(5, 5, False), (12, 12, False), (40, 40, True), (100, 25, True)]
)
def test_a_test_that_needs_most_patients_copied_allows_no_pass(train: int, holdout: int, holds: bool) -> None:
    gallery = Gallery(np.arange(train + holdout), np.arange(train + holdout) < train)
    found = enough_people(gallery, LIMITS)
    assert found.figures["holds"] is holds
    assert found.statistic == fewest_patients(train, holdout, 0.05)
    assert f"{found.statistic:.0f} of {train} train patients" in found.words
    assert ("More patients are needed" in found.words) is not holds


def test_a_plan_for_few_people_does_not_promise_a_pass() -> None:
    few = plan(5, 5, 200, LIMITS)
    assert few.found_copy_rate is not None
    assert few.found_copy_rate < 0.05
    assert not few.can_pass
    assert "it takes more patients" in few.words
    assert few_enough(5, 5, Thresholds(most_patients=0.8))
