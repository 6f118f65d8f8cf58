"""What is thrown away, and why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medidiff.errors import UsageError
from medidiff.prior import Prior
from medidiff.synthesis.checks import LOWEST, MOST_BEYOND, default_checks, parse_checks, problems
from medidiff.tasks.measured import measure
from medidiff.tasks.sample_maker import Sample, SampleMaker

from .conftest import make_prior


def sample(volume_ml: float = 2.0, **changes: Any) -> Sample:
    """A plausible scan of 20^3 whose mask has 2000 voxels of 1 mm^3: 2 ml."""
    image = np.random.default_rng(0).uniform(-1, 1, (20, 20, 20)).astype(np.float32)
    mask = np.zeros((20, 20, 20), np.uint8)
    mask[:10, :10] = 1 + (np.arange(20) > 9)
    made = Sample(0, 0, image, mask, {"volume_ml": volume_ml}, [], 5, 0.1)
    return replace(made, **changes)


def found(made: Sample, tolerance: float = 0.1) -> list[str]:
    return [text.partition(":")[0] for text in problems(made, measure(made.mask, 1), {"volume_ml": tolerance})]


def test_volume_is_counted_in_ml() -> None:
    assert measure(sample().mask, 1) == {"volume_ml": 2.0}
    assert measure(sample().mask, 0.5) == {"volume_ml": 1.0}
    assert measure(None, 1) == {}


def test_volume_of_voxels_that_are_no_cubes() -> None:
    maker = SampleMaker(make_prior(), spacing_mm=(2, 1, 0.25), seed=0, device="cpu", threads=1)
    assert measure(sample().mask, maker.voxel_mm3) == {"volume_ml": 1.0}


def test_each_rule_throws_away_what_it_names() -> None:
    assert found(sample()) == []
    assert found(sample(volume_ml=2.21)) == []  # 2 lies 9.5% below 2.21
    assert found(sample(volume_ml=2.23)) == ["volume_ml"]  # and 10.3% below 2.23
    assert found(sample(volume_ml=2.23), 0.2) == []
    assert found(sample(mask=np.zeros((20, 20, 20), np.uint8))) == ["mask empty"]
    image = sample().image.copy()
    image.flat[: int(MOST_BEYOND * image.size)] = LOWEST - 1
    assert found(sample(image=image)) == []
    image.flat[: int(MOST_BEYOND * image.size) + 1] = LOWEST - 1
    assert found(sample(image=image)) == ["intensity range"]
    image = sample().image.copy()
    image[3, 3, 3] = np.nan
    assert found(sample(image=image)) == ["not finite"]
    assert found(sample(image=0 * sample().image)) == ["flat"]


def test_what_was_left_unknown_is_not_checked() -> None:
    assert found(sample(conditions={"volume_ml": None})) == []
    assert found(sample(conditions={})) == []


def test_what_can_be_checked_and_what_not(mask_prior: Prior) -> None:
    image_only = make_prior(masks=False).card
    assert default_checks(mask_prior.card) == {"volume_ml": 0.1}
    assert default_checks(image_only) == {}
    assert parse_checks(["volume_ml=25%"], mask_prior.card) == {"volume_ml": 0.25}
    assert parse_checks(["none"], mask_prior.card) == {}
    for text in ("sex=10%", "volume_ml", "volume_ml=-1%"):
        with pytest.raises(UsageError, match=f"--check {text}"):
            parse_checks([text], mask_prior.card)
    with pytest.raises(UsageError, match="no condition can be measured"):
        parse_checks(["volume_ml=10%"], image_only)
