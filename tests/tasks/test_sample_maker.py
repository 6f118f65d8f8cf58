"""One sample: a function of prior, settings, seed, number and attempt, and of nothing else."""

from typing import Any

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.nets.embedding import OWN_NOISE, ContinuousSlot
from medidiff.prior import Prior
from medidiff.tasks.condition_request import parse_requests, with_own_noise
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


def test_own_noise_is_drawn_as_the_train_scans_have_it() -> None:
    """Where nobody asks: evenly over the percentiles, by seed and number; also beside what is asked for."""
    slot = ContinuousSlot(unit="normalised", low=0.02, high=0.08, quantiles=tuple(0.02 + 0.003 * i for i in range(21)))
    slots = SLOTS.model_copy(update={"continuous": {**SLOTS.continuous, OWN_NOISE: slot}})
    drawn = [float(with_own_noise(slots.continuous, {}, 3, i)[OWN_NOISE] or 0) for i in range(400)]
    for percentile in (5, 50, 95):
        assert np.percentile(drawn, percentile) == pytest.approx(0.02 + 0.0006 * percentile, abs=0.005)
    assert drawn[:9] == [with_own_noise(slots.continuous, {"sex": "F"}, 3, i)[OWN_NOISE] for i in range(9)]
    assert drawn[0] != with_own_noise(slots.continuous, {}, 4, 0)[OWN_NOISE]
    assert with_own_noise(slots.continuous, {OWN_NOISE: 0.05}, 3, 0) == {OWN_NOISE: 0.05}
    assert with_own_noise(slots.continuous, {OWN_NOISE: None}, 3, 0) == {OWN_NOISE: None}
    assert with_own_noise(SLOTS.continuous, {"sex": "F"}, 3, 0) == {"sex": "F"}
    prior = make_prior(slots=slots)
    made = SampleMaker(prior, seed=3, plan=parse_requests(slots, ["sex=F"]), **CPU).make(2)
    assert made.conditions == {"sex": "F", OWN_NOISE: drawn[2]}
    again = SampleMaker(prior, seed=3, **CPU)
    assert np.array_equal(again.make(2, conditions=made.conditions).image, made.image)
    assert not np.array_equal(again.make(2, conditions={"sex": "F", OWN_NOISE: None}).image, made.image)


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
