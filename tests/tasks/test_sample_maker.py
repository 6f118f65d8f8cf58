"""One sample: a function of prior, settings, seed, number and attempt, and of nothing else."""

from typing import Any

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.prior import Prior
from medidiff.tasks.condition_request import parse_requests
from medidiff.tasks.sample_maker import SampleMaker, label_map

from ..synthesis.conftest import SLOTS, make_prior

CPU: dict[str, Any] = {"device": "cpu", "precision": "float32", "threads": 1, "n_steps": 3}


@pytest.fixture(scope="module")
def prior() -> Prior:
    return make_prior()


def test_the_largest_mask_channel_above_zero_wins() -> None:
    #             image  mask:2  mask:1
    channels = np.array([[9, 9, 9, 9], [-1, 0.2, 0.5, 0.0], [-0.5, 0.1, 0.6, -1]]).reshape(3, 4, 1, 1)
    found = label_map(channels, ("image", "mask:2", "mask:1"))
    assert found is not None
    assert found.dtype == np.uint8
    assert found.ravel().tolist() == [0, 2, 1, 0]
    assert label_map(channels[:1], ("image",)) is None
    plain = label_map(channels[:2], ("image", "mask"))
    assert plain is not None
    assert plain.ravel().tolist() == [0, 1, 1, 0]


def test_a_sample_does_not_depend_on_what_was_made_before(prior: Prior) -> None:
    plan = parse_requests(SLOTS, ["volume_ml=1:2", "sex=F"])
    maker = SampleMaker(prior, seed=7, plan=plan, **CPU)
    first = [maker.make(i) for i in (0, 3)]
    again = SampleMaker(prior, seed=7, plan=plan, **CPU).make(3)
    assert np.array_equal(first[1].image, again.image)
    assert first[1].conditions == again.conditions
    assert again.mask is not None
    assert first[1].mask is not None
    assert np.array_equal(first[1].mask, again.mask)
    assert not np.array_equal(first[0].image, again.image)
    assert again.image.shape == (16, 16, 16)
    assert again.image.dtype == np.float32
    assert again.nfe == maker.evaluations == 4  # 3 steps, and one that finds the start
    assert 1 <= float(again.conditions["volume_ml"] or 0) <= 2
    assert again.conditions["sex"] == "F"


def test_another_attempt_is_another_draw_under_the_same_conditions(prior: Prior) -> None:
    maker = SampleMaker(prior, seed=7, plan=parse_requests(SLOTS, ["volume_ml=1:2"]), **CPU)
    a, b = maker.make(2), maker.make(2, attempt=1)
    assert a.conditions == b.conditions
    assert not np.array_equal(a.image, b.image)
    assert np.array_equal(b.image, maker.make(2, attempt=1).image)


def test_conditions_reach_the_network(prior: Prior) -> None:
    maker = SampleMaker(prior, **CPU)
    small, large = (maker.make(0, conditions={"volume_ml": v}).image for v in (1.0, 5.0))
    assert not np.array_equal(small, large)


def test_what_must_be_given_is_asked_for(prior: Prior, tiny_prior: Prior) -> None:
    with pytest.raises(UsageError, match="--shape: must be given"):
        SampleMaker(tiny_prior, **CPU)
    with pytest.raises(UsageError, match="--spacing-mm: must be given: the prior tiny knows"):
        SampleMaker(tiny_prior, shape=(8, 8, 8), **CPU)
    with pytest.raises(UsageError, match="three sizes"):
        SampleMaker(prior, shape=(8, 8), **CPU)
